"""The chain by itself and in exported files: the first record that does not fit is named, whatever became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.audit_chain import BEGINNING, ChainWalk, Record, digest
from store.state.audit import PAGE, AuditEvent
from store.state.database import StateDB
from tui.commands.audit_files import check_files
from tui.commands.errors import CommandError

TEXT = st.text(max_size=20)
FIELDS = st.tuples(
    st.floats(allow_nan=False, allow_infinity=False), TEXT, st.integers(-1, 2**31), TEXT, TEXT, TEXT, TEXT
)


def chain(count: int, first: int = 1, previous: str = BEGINNING) -> list[Record]:
    made: list[Record] = []
    for seq in range(first, first + count):
        fields = (seq, seq + 0.5, "alice", 1000, "cli", "save", f"s{seq}.py", '{"sha256": "ab"}', previous)
        previous = digest(*fields)
        made.append((*fields, previous))
    return made


@given(st.integers(1, 2**62), FIELDS, TEXT)
def test_a_records_hash_is_of_its_canonical_json(
    seq: int, fields: tuple[float, str, int, str, str, str, str], previous: str
) -> None:
    text = json.dumps([seq, *fields, previous], ensure_ascii=True, separators=(",", ":"))
    assert digest(seq, *fields, previous) == hashlib.sha256(text.encode()).hexdigest()


@given(st.integers(2, 40), st.data())
def test_the_first_record_that_does_not_fit_is_named(count: int, data: st.DataObject) -> None:
    records = chain(count)
    pieces = data.draw(st.integers(1, count))
    at = data.draw(st.integers(0, count - 2))
    harm = data.draw(st.sampled_from(["changed", "replaced", "removed", "removed and numbered again", "swapped"]))
    number = at + 1
    if harm == "changed":
        field = data.draw(st.integers(1, 9))
        value = records[at][field]
        other = value + 1 if isinstance(value, int | float) else f"{value}x"
        records[at] = (*records[at][:field], other, *records[at][field + 1 :])  # type: ignore[assignment]
        sentence = f"Audit record {number} was changed."
    elif harm == "replaced":
        fields = (*records[at][:6], "another.py", *records[at][7:9])
        records[at] = (*fields, digest(*fields))
        sentence = f"Audit record {number} was replaced: record {number + 1} follows from another one."
    elif harm == "removed":
        del records[at]
        sentence = f"Audit record {number} is missing."
    elif harm == "removed and numbered again":
        records = records[:at] + [(one[0] - 1, *one[1:]) for one in records[at + 1 :]]
        sentence = f"Audit record {number} is not in its place: record {number + 1} stands there."
    else:
        records[at], records[at + 1] = (number, *records[at + 1][1:]), (number + 1, *records[at][1:])
        sentence = f"Audit record {number} is not in its place: record {number + 1} stands there."
    walk, found = ChainWalk(), None
    for begin in range(0, len(records), pieces):
        page = records[begin : begin + pieces]
        if found := walk.look(page, min(begin + pieces, count)):
            break
    assert found == sentence


def test_lines_in_another_order_and_a_chain_without_its_beginning() -> None:
    records = chain(5)
    assert ChainWalk().look([records[0], records[2], records[1]]) == (
        "Audit record 2 is not in its place: record 3 stands there."
    )
    later = ChainWalk(2, None)
    assert later.look(records[2:]) is None
    assert (later.seq, later.previous) == (5, records[4][9])
    assert ChainWalk(0, "f" * 64).look(records) == (
        "Audit record 1 is not the first one of its chain: records before it were removed."
    )
    assert ChainWalk().look(records[:3], 5) == "Audit records 4 to 5 are missing."
    bytes_for_text = (*records[0][:7], b"x", *records[0][8:])
    assert ChainWalk().look([bytes_for_text]) == "Audit record 1 was changed."  # type: ignore[list-item]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Exported records, as an engine of some days leaves them."""
    state = await StateDB.open(tmp_path / "state.db")
    try:
        details = ('{"sha256": "ab"}', '["no object"]', '{"b": 1, "a": "\\u00fc"}', "not JSON")
        events = [AuditEvent(n + 0.1, "alice", 1, "cli", "save", "ü.py", details[n % 4]) for n in range(PAGE + 3)]
        await state.audit.append(events)
        assert await state.audit_export.bring_up_to_date(now=1e9) == PAGE + 3
        await state.audit.append(events[:2])
        assert await state.audit_export.bring_up_to_date(now=1e9) == 2
    finally:
        await state.close()
    return tmp_path / "audit"


def lines(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for file in sorted(folder.iterdir()):
        yield file, file.read_text().splitlines(keepends=True)


def test_exported_files_are_verified_together_and_without_an_engine(folder: Path) -> None:
    found = check_files([str(folder)], "")
    assert (found.files, found.first, found.last, found.problem) == (3, 1, PAGE + 5, None)
    files = sorted(folder.iterdir())
    last = json.loads(files[-1].read_text().splitlines()[-1])
    assert found.head == last["sha256"]
    asked = check_files([str(folder)], last["sha256"])
    assert (asked.problem, asked.head_at) == (None, PAGE + 5)
    assert check_files([str(folder)], "0" * 64).problem == "No record in these files has that head."
    some = check_files([str(file) for file in reversed(files[1:])], "")
    assert (some.files, some.first, some.problem) == (2, PAGE + 1, None)
    gap = check_files([str(files[0]), str(files[2])], "")
    assert gap.problem == f"{files[2].name}: Audit records {PAGE + 1} to {PAGE + 3} are missing."
    with pytest.raises(CommandError, match="cannot be read"):
        check_files([str(folder.parent / "none")], "")
    with pytest.raises(CommandError, match="There are no exported audit records"):
        check_files([str(folder.parent)], "")


@pytest.mark.parametrize("kind", ["changed", "removed", "moved", "torn", "no JSON", "told otherwise", "no number"])
def test_harm_to_an_exported_file_is_named(folder: Path, kind: str) -> None:
    file, found = next(lines(folder))
    if kind == "changed":
        found[4] = found[4].replace('"alice"', '"alicf"')
    elif kind == "removed":
        del found[4]
    elif kind == "moved":
        found[4], found[5] = found[5], found[4]
    elif kind == "torn":
        found[-1] = found[-1][:40]
    elif kind == "told otherwise":  # the hash is of the text that is kept, a reader reads the other one
        record = json.loads(found[4])
        text = json.dumps(record["detail"], sort_keys=True)
        found[4] = json.dumps({**record, "detail": {"sha256": "cd"}, "detail_text": text}) + "\n"
    elif kind == "no number":
        found[4] = found[4].replace('"seq": 5', '"seq": 1e999')
    else:
        found[4] = "[" * 100_000 + "\n"
    file.write_text("".join(found))
    sentence = {
        "changed": "Audit record 5 was changed.", "removed": "Audit record 5 is missing.",
        "moved": "Audit record 5 is not in its place: record 6 stands there.",
        "torn": f"line {PAGE} is no audit record.", "no JSON": "line 5 is no audit record.",
        "told otherwise": "line 5 has another detail than its detail_text says.",
        "no number": "line 5 is no audit record.",
    }  # fmt: skip
    assert check_files([str(folder)], "").problem == f"{file.name}: {sentence[kind]}"
