"""Whatever happens to the files outside, and whatever is decided: afterwards they agree, and no text is lost."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from diff_support import INVALID, VALID, Plant, plant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.models.sync import DiffChoice, DiffReport, DiffState
from store.files.save import sha256

PATHS = ("a.py", "b.py", "in/a.py", "in/c.py", "C.py")
TEXTS = (
    VALID.format(title="one"),
    VALID.format(title="two"),
    INVALID.format(title="one"),
    "# /// script\n# [[\n# ///\n",
    "plain = 1\n",
    "plain = 2\n",
)

paths = st.sampled_from(PATHS)
texts = st.sampled_from(TEXTS)
outside = st.lists(
    st.one_of(
        st.tuples(st.just("write"), paths, texts),
        st.tuples(st.just("remove"), paths, st.just("")),
        st.tuples(st.just("rename"), paths, paths),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    begin=st.dictionaries(paths, texts, max_size=5),
    rounds=st.lists(outside, min_size=1, max_size=2),
    rebuild=st.booleans(),
    pick=st.integers(0, 5),
)
def test_what_is_decided_is_so(
    begin: dict[str, str], rounds: list[list[tuple[str, str, str]]], rebuild: bool, pick: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Path(folder), begin, rounds, rebuild, pick))


async def _play(
    root: Path, begin: dict[str, str], rounds: list[list[tuple[str, str, str]]], rebuild: bool, pick: int
) -> None:
    async with plant(root) as here:
        for path, text in begin.items():
            here.write(path, text)
        report = await here.scan()
        for changes in rounds:
            for change in changes:
                _change(here, *change)
            if rebuild:
                await here.reconciler.rebuild(lambda _, __: None)
            report = await here.scan()
            known = _texts_kept(here) | {item.database_sha256 for item in report.items if item.database_sha256}
            await _decide_until_nothing_waits(here, report, pick)
            assert {digest for digest in known if digest} <= _texts_kept(here)
        report = await here.scan()
        assert report.waiting == []
        assert {path: sha256((here.scripts / path).read_bytes()) for path in _files(here)} == {
            row.path: row.sha256 for row in await here.reconciler.scripts()
        }


async def _decide_until_nothing_waits(here: Plant, report: DiffReport, pick: int) -> None:
    """Any choice for each, but one that makes scripts alike or invalid again leads to the next question."""
    for again in range(6):
        if not report.waiting:
            return
        chosen = [
            (item, item.choices[(pick + number + again) % len(item.choices)] if again < 3 else _last_word(item.state))
            for number, item in enumerate(report.waiting)
        ]
        await here.decide(chosen)
        report = await here.scan()
    assert report.waiting == []


def _last_word(state: DiffState) -> DiffChoice:
    return {
        DiffState.MISSING_FILE: DiffChoice.DROP_ROW,
        DiffState.RENAMED: DiffChoice.FOLLOW,
        DiffState.INVALID_FILE: DiffChoice.KEEP_FILE,
        DiffState.DUPLICATE: DiffChoice.KEEP_BOTH,
        DiffState.VANISHED: DiffChoice.ACCEPT,
    }[state]


def _change(here: Plant, what: str, path: str, other: str) -> None:
    file = here.scripts / path
    if what == "write":
        here.write(path, other)
    elif what == "remove":
        file.unlink(missing_ok=True)
    elif file.exists() and path != other:
        (here.scripts / other).parent.mkdir(exist_ok=True)
        file.rename(here.scripts / other)


def _files(here: Plant) -> list[str]:
    return [str(file.relative_to(here.scripts)) for file in here.scripts.rglob("*.py")]


def _texts_kept(here: Plant) -> set[str]:
    """Hashes of every text that is in a file or in the history."""
    return {sha256((here.scripts / path).read_bytes()) for path in _files(here)} | {
        file.name for file in here.history.iterdir() if sha256(file.read_bytes()) == file.name
    }
