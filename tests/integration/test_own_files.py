"""What a run may do to the files in its scratch folder, and what it is told where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from pool_kit import FREE_IMPORTS, Done, plain_plans, pool_of, run

from engine.models.permissions import Access
from engine.models.runs import Outcome
from engine.pool.job import Profile
from engine.sandbox.grants import OpenedGrant

COPY = "import shutil\nopen('a', 'w').write('text')\nshutil.{function}('a', {target!r})"
WHOLE = (
    "Modes, times, links and lengths by path can be changed only where a run writes to nothing but its working folder"
)


def granted(folder: Path, access: Access) -> Profile:
    found = folder.stat()
    grant = OpenedGrant(access, str(folder), found.st_dev, found.st_ino, True)
    return Profile(tools=FREE_IMPORTS.tools, grants=(grant,))


def expect_explained(done: Done) -> None:
    assert done.outcome is Outcome.SCRIPT_ERROR, done.ending
    assert done.ending.error is not None
    assert done.ending.error.type == "PermissionError"
    assert (done.ending.traceback or "").count(WHOLE) == 1
    assert (done.ending.error.hint or "").startswith(WHOLE)


@pytest.mark.parametrize("function", ["copy", "copy2", "copymode", "copystat"])
async def test_a_copy_to_a_folder_to_write_to_says_what_copies_without_the_mode(tmp_path: Path, function: str) -> None:
    target = tmp_path.resolve() / "report"
    target.write_text("")
    async with pool_of(1) as pool:
        profile = granted(target.parent, Access.WRITE)
        expect_explained(await run(pool, COPY.format(function=function, target=str(target)), profile=profile))
        done = await run(pool, COPY.format(function="copyfile", target=str(target)), profile=profile)
    assert done.outcome is Outcome.OK, done.ending
    assert target.read_text() == "text"


@pytest.mark.parametrize("call", ["os.chmod('x', 0o600)", "os.utime('x')", "os.symlink('x', 'y')", "os.link('x', 'y')"])
async def test_without_a_scratch_folder_it_says_so_too(call: str) -> None:
    async with pool_of(1, **plain_plans()) as pool:
        expect_explained(await run(pool, f"import os\n{call}"))


async def test_a_link_is_returned_as_the_file_that_it_is_and_never_as_what_it_leads_to(tmp_path: Path) -> None:
    """A hard link of the scratch folder's own is such a file; a symbolic link is none, wherever it leads to."""
    folder = tmp_path.resolve()
    (folder / "plant.txt").write_text("the plant's")
    code = f"""
import os
open("own.txt", "w").write("own")
os.link("own.txt", "second.txt")
os.symlink("own.txt", "way.txt")
os.symlink({str(folder / "plant.txt")!r}, "plant.txt")
os.symlink({str(folder)!r}, "folder")
result = {{"read": open("plant.txt").read(), "files": ["second.txt", "way.txt", "plant.txt", "folder/plant.txt"]}}
"""
    async with pool_of(1) as pool:
        done = await run(pool, code, profile=granted(folder, Access.READ))
    assert done.value["read"] == "the plant's"
    assert [file.name for file in done.ending.files] == ["second.txt"]
    assert (done.ending.note or "").count("was not kept") == 3


async def test_what_a_run_did_to_its_folder_is_gone_with_it() -> None:
    """Modes that keep out whoever looks, times of long ago, links by the hundred."""
    mess = """
import os
os.makedirs("a/b")
for number in range(300):
    os.symlink("nowhere", f"a/b/{number}")
os.chmod("a", 0)
os.utime(".", (1, 1))
os.chmod(".", 0)
"""
    looking = "import os\nstatus = os.stat('.')\nresult = [os.listdir(), status.st_mode & 0o777, status.st_mtime > 9]"
    async with pool_of(1) as pool:
        assert (await run(pool, mess)).outcome is Outcome.OK
        assert (await run(pool, looking)).value == [[], 0o700, True]
