"""Evidence as a file: one flipped byte is found anywhere, and what was forged with care is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import evidence_check
from engine.evidence_check import AUDIT_FIELDS, NoEvidence, check, content, digest, sealed
from store.audit_chain import BEGINNING
from store.audit_chain import digest as audit_digest
from tui.commands.evidence import _show
from tui.commands.invocation import Invocation

TEXT, SHARED, INPUTS, LOCK = b"result = X\n", b"X = 1\n", b'{"params":{"n":4}}', b'lock-version = "1.0"\n'


def part(data: bytes) -> dict[str, Any]:
    return content(data) | {"sha256": digest(data), "size": len(data)}


def chain(*events: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Records as the store makes them, beginning with the seventh."""
    found, before = [], "7" * 64
    for seq, (action, subject, detail) in enumerate(events, 7):
        values = (seq, 1.25 * seq, "ada", 1000, "cli", action, subject, json.dumps(detail), before)
        before = audit_digest(*values)
        found.append(dict(zip((*AUDIT_FIELDS, "sha256"), (*values, before), strict=True)))
    return found


def body() -> dict[str, Any]:
    grant = {"access": "read", "path": "/srv/data"}
    files = [{"path": "lib/x.py", "sha256": digest(SHARED)}]
    told = {"code_sha256": digest(TEXT), "inputs_sha256": digest(INPUTS), "outcome": "ok", "isolation": "full: userns"}
    told_with = {**told, "lib/x.py": digest(SHARED), "duration": 0.1}
    records = chain(
        ("save", "a.py", {"sha256": digest(TEXT)}), ("run", "#3 a.py", told_with), ("stop", "", {}), ("start", "", {})
    )
    return {
        "made": {"at": 1796095199.25, "by": "ada"},
        "run": {
            "id": 3, "name": "a.py", "actor": "ada", "grants": [grant], "shared": files, "duration": 0.1, **told,
        },
        "code": part(TEXT),
        "shared": [part(SHARED) | {"path": "lib/x.py"}],
        "inputs": part(INPUTS),
        "output": {"stdout": part("höllo\n".encode()), "stderr": part(b"")},
        "result": {"value": part(b"[1, 2.5]"), "traceback": part(b"")},
        "approval": {"sha256": digest(TEXT), "shared": files, "grants": [grant]},
        "interpreter": {"lock": part(LOCK)},
        "audit": {"head": {"seq": 10, "sha256": records[-1]["sha256"]}, "records": records, "about": [7, 8]},
        "notes": [],
    }  # fmt: skip


FILE = sealed(body())


def found_out(data: bytes) -> bool:
    try:
        return bool(check(data).problems)
    except NoEvidence:
        return True


def test_what_was_made_fits_together_and_says_the_hash_of_the_file() -> None:
    checked = check(FILE)
    assert (checked.problems, checked.sha256) == ([], digest(FILE))
    assert checked.evidence["run"]["id"] == 3
    assert FILE.isascii()
    assert FILE.endswith(b"}\n")


@pytest.mark.parametrize("bits", [0x01, *(pytest.param(one, marks=pytest.mark.slow) for one in (0x20, 0x80))])
def test_a_flipped_byte_is_found_wherever_it_is(bits: int) -> None:
    for place in range(len(FILE)):
        changed = bytearray(FILE)
        changed[place] ^= bits
        assert found_out(bytes(changed)), f"byte {place}, {FILE[place : place + 1]!r}"


def test_a_byte_that_is_missing_or_too_much_is_found() -> None:
    for place in range(len(FILE)):
        assert found_out(FILE[:place] + FILE[place + 1 :]), place
    for extra in (b" ", b"\n", b"0"):
        for place in range(0, len(FILE) + 1, 7):
            assert found_out(FILE[:place] + extra + FILE[place:]), place


@given(st.integers(0, len(FILE) - 1), st.integers(1, 40), st.binary(max_size=40))
def test_a_piece_that_was_exchanged_is_found(start: int, length: int, other: bytes) -> None:
    changed = FILE[:start] + other + FILE[start + length :]
    assert (changed == FILE) is not found_out(changed)


def test_the_same_evidence_written_in_another_way_is_found() -> None:
    for other in (json.dumps(json.loads(FILE), indent=1).encode(), FILE.replace(b"1796095199.25", b"1796095199.250")):
        assert any("canonical form" in problem for problem in check(other).problems)
    twice = FILE[:-2] + b',"version":1}\n'
    assert any("canonical form" in problem for problem in check(twice).problems)


@pytest.mark.parametrize("parts", [b"[],", b'{"":0},', b"1,", b'"",'])
def test_a_file_that_is_made_to_fill_the_memory_of_its_reader_is_not_read(
    parts: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_check, "SMALL", 1 << 10)
    monkeypatch.setattr(evidence_check, "MAX_PARTS", 1_000)
    with pytest.raises(NoEvidence, match="more than 1,000 parts"):
        check(b'{"format":"gatewright-evidence","version":1,"x":[' + parts * 2_000 + b"0]}\n")
    many = body() | {"output": {"stdout": part(b'[{,\\"' * 2_000), "stderr": part(b"")}}
    assert check(sealed(many)).problems == [], "in a text they are nothing but text"


def forged(change: Callable[[dict[str, Any]], object]) -> list[str]:
    """What is found of evidence that was changed and sealed again."""
    changed = copy.deepcopy(body())
    change(changed)
    return check(sealed(changed)).problems


def rehashed(records: list[dict[str, Any]], index: int, **fields: Any) -> None:
    record = records[index]
    record.update(fields)
    record["sha256"] = audit_digest(*(record[name] for name in AUDIT_FIELDS))


def swap(records: list[dict[str, Any]]) -> None:
    records[1], records[2] = records[2], records[1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda it: it["code"].update(text="result = 2\n"), "The text that ran was changed"),
        (lambda it: it.update(code=part(b"result = 2\n")), "not the one that the run's record names"),
        (lambda it: it["shared"][0].update(text="X = 2\n"), "The text of lib/x.py was changed"),
        (lambda it: it["shared"].clear(), "The shared code is not what the run's record names"),
        (lambda it: it["inputs"].update(text="{}"), "What the run was given was changed"),
        (lambda it: it.update(inputs=part(b"{}")), "not what the run's record names"),
        (lambda it: it["output"]["stdout"].update(text="hello\n"), "wrote to stdout was changed"),
        (lambda it: it["output"]["stdout"].update(size=3), "wrote to stdout does not have the size"),
        (lambda it: it["result"]["value"].update(text="[1]"), "The result was changed"),
        (lambda it: it["approval"].update(sha256="0" * 64), "another text than the one that ran"),
        (lambda it: it["approval"].update(shared=[]), "other shared code"),
        (lambda it: it["approval"].update(grants=[]), "permissions that the approval does not give"),
        (lambda it: it["interpreter"]["lock"].update(text=""), "The lock of the packages was changed"),
        (lambda it: it["audit"]["records"][1].update(actor="bob"), "Audit record 8 was changed"),
        (lambda it: it["audit"]["records"][1].update(at=3), "Audit record 8 was changed"),
        (lambda it: rehashed(it["audit"]["records"], 2, actor="bob"), "record 10 does not follow from record 9"),
        (lambda it: rehashed(it["audit"]["records"], 1, actor="bob"), "names another caller"),
        (lambda it: rehashed(it["audit"]["records"], 1, detail='{"outcome": "timeout"}'), "another outcome"),
        (lambda it: it["audit"].update(about=[8, 6]), "names audit records about the run that are not in it"),
        (lambda it: it["code"].update(base64="cnVuKCk="), "What the file says about the text is not complete"),
        (lambda it: swap(it["audit"]["records"]), "record 8 does not stand in its place"),
        (lambda it: it["audit"]["records"].pop(), "not the one that the file names as the head"),
        (lambda it: it["audit"]["head"].update(sha256=BEGINNING), "not the one that the file names as the head"),
        (lambda it: it["run"].update(outcome="script_error"), "record 8 tells another outcome"),
        (lambda it: it["run"].update(isolation="core: userns"), "record 8 tells another isolation"),
        (lambda it: rehashed(it["audit"]["records"], 1, detail='{"lib/x.py": "0"}'), "text of its shared code"),
        (lambda it: it["run"].update(inputs_sha256="0" * 64), "not what the run's record names"),
    ],
)  # fmt: skip
def test_evidence_that_was_forged_and_sealed_anew_is_named_by_its_part(
    change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    assert any(sentence in problem for problem in forged(change)), forged(change)


def test_a_record_that_stands_for_the_calls_of_a_minute_has_the_inputs_of_all() -> None:
    def condense(it: dict[str, Any], inputs: str) -> None:
        it["run"]["condensed"] = {"runs": 3, "inputs_sha256": inputs}
        detail = json.dumps({"runs": 3, "inputs_sha256": "8" * 64, "code_sha256": digest(TEXT), "outcome": "ok"})
        records = it["audit"]["records"]
        rehashed(records, 1, detail=detail)
        for index in (2, 3):
            rehashed(records, index, prev=records[index - 1]["sha256"])
        it["audit"]["head"]["sha256"] = records[-1]["sha256"]

    assert forged(lambda it: condense(it, "8" * 64)) == []
    assert forged(lambda it: condense(it, "9" * 64)) == [
        "Audit record 8 tells another input of the run than the run's record."
    ]


def test_a_record_that_is_left_out_of_the_middle_is_a_gap_and_no_chain() -> None:
    """A file has pieces of the chain: that of a gap nothing follows is what the audit itself is asked for."""
    assert forged(lambda it: it["audit"]["records"].pop(2)) == []


@pytest.mark.parametrize("name", ["run", "code", "shared", "inputs", "output", "result", "interpreter", "audit"])
@pytest.mark.parametrize("junk", [None, 3, "x", [1], {"sha256": 3}, [[]], {"records": {}, "head": []}])
def test_hostile_evidence_is_a_sentence_and_never_a_traceback(name: str, junk: Any) -> None:
    for problem in forged(lambda it: it.update({name: junk})):
        assert problem.endswith(".")
        assert problem.isprintable()


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"{}", b"3", b"[" * 200_000, b'{"format":"gatewright-evidence"}', b"9" * 5_000,
     b'{"format":"gatewright-evidence","version":2}', b'{"format":"gatewright-evidence","version":"\x1b"}'],
)  # fmt: skip
def test_what_is_no_evidence_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(NoEvidence, match=r"\.$"):
        check(data)


def test_texts_that_are_no_utf8_are_carried_as_they_are() -> None:
    changed = body()
    changed["code"] = part(b"\xff\xfe")
    changed["run"]["code_sha256"] = digest(b"\xff\xfe")
    changed["approval"] = None
    changed["audit"] = {"head": {"seq": 7, "sha256": ""}, "records": chain(("save", "a.py", {})), "about": []}
    changed["audit"]["head"]["sha256"] = changed["audit"]["records"][0]["sha256"]
    assert check(sealed(changed)).problems == []
    changed["code"]["base64"] = "AAA="
    assert check(sealed(changed)).problems == ["The text that ran was changed: it does not have its SHA-256."]


def test_whatever_a_forged_file_says_is_shown_or_left_out(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Each part is exchanged for something else in its turn; a traceback would end it."""

    def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, one in members:
            yield (*path, name)
            yield from places(one, *path, name)

    for path in places(body()):
        for other in (None, "\ud800\x1b[31m", 10**400, [[]], {"text": 1}):
            changed = body()
            inner = changed
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = other
            checked = check(sealed(changed))
            for as_json in (False, True):
                _show(Invocation(json=as_json), "file", checked)
    assert b"\x1b" not in capsysbinary.readouterr().out.replace(b"\\u001b", b"")
