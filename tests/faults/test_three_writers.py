"""Three processes add lines to the same two scripts at once: every line that was acknowledged is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from store import disk
from store.files.scripts import ScriptFiles

ROOT = Path(__file__).parents[2]
NAMES = ("a.py", "sub/b.py")
WRITER = """
import random, sys, time
from pathlib import Path
from store.errors import Conflict
from store.files.scripts import ScriptFiles
from store.files.save import sha256

root, writer, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
files = ScriptFiles(root / "scripts", root / "history")
chance = random.Random(writer)
added = {name: 0 for name in sys.argv[4:]}
conflicts = 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    name = chance.choice(list(added))
    while True:
        before = files.read(name)
        try:
            files.save(name, before + f"{writer}:{added[name]}\\n".encode(), sha256(before))
            break
        except Conflict:
            conflicts += 1
    added[name] += 1
print(conflicts, *added.values())
"""


def test_three_writers_lose_no_update(tmp_path: Path) -> None:
    append_at_once(tmp_path, seconds=2)


@pytest.mark.slow
def test_three_writers_lose_no_update_for_longer(tmp_path: Path) -> None:
    append_at_once(tmp_path, seconds=12)


def append_at_once(root: Path, seconds: float) -> None:
    for name in ("scripts", "history"):
        (root / name).mkdir()
    files = ScriptFiles(root / "scripts", root / "history")
    for name in NAMES:
        files.save(name, b"", None)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(writer), str(seconds), *NAMES],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(3)
    ]
    told = [[int(word) for word in writer.communicate(timeout=seconds + 60)[0].split()] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    lost = 0
    for column, name in enumerate(NAMES, 1):
        lines = files.read(name).decode().split()
        wanted = {f"{writer}:{number}" for writer in range(3) for number in range(told[writer][column])}
        lost += len(wanted - set(lines))
        assert sorted(lines) == sorted(wanted), "each line once"
    acknowledged, conflicts = sum(sum(counts[1:]) for counts in told), sum(counts[0] for counts in told)
    print(f"3 writers, {acknowledged} acknowledged, {conflicts} conflicts, {lost} lost updates")
    assert conflicts, "the writers never met"
    assert [path for path in (root / "scripts").rglob("*") if disk.TEMP_NAME.fullmatch(path.name)] == []
