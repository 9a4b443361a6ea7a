"""A project full of files that cannot be used: each is listed with one sentence, and everything else works on."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine import Engine
from engine.models.scripts import SaveRequest
from engine.services.access import ServiceError
from store.files.names import shown


def block(*lines: str) -> bytes:
    return b"# /// script\n" + b"".join(f"# {line}\n".encode() for line in lines) + b"# ///\nresult = 1\n"


def own(*lines: str) -> bytes:
    return block("[tool.gatewright]", *lines)


TEXTS: dict[str, tuple[bytes, str]] = {
    "malformed": (own("title = "), "TOML"),
    "number_for_text": (own("title = 3"), "title must be text, not a number"),
    "text_for_flag": (own("enabled = 'yes'"), "enabled must be true or false"),
    "text_for_list": (own("tags = 'a'"), "tags must be a list"),
    "twice": (own("title = 'a'", "title = 'b'"), "Cannot overwrite a value"),
    "table_twice": (block("[tool.gatewright]", "[tool.gatewright]"), "TOML"),
    "megabyte": (block("x = '" + "x" * (1 << 20) + "'"), "larger than 64 KiB"),
    "brackets": (own("x = " + "[" * 20_000), "nested too deeply"),
    "braces": (own("x = " + "{a = " * 5_000), "nested too deeply"),
    "dots": (own("x" + ".x" * 20_000 + " = 1"), "nested too deeply"),
    "tool_is_3": (block("tool = 3"), "[tool] must be a table"),
    "ours_is_3": (block("[tool]", "gatewright = 3"), "[tool.gatewright] must be a table"),
    "ours_is_3_dotted": (block("tool.gatewright = 3"), "[tool.gatewright] must be a table"),
    "ours_is_a_list": (block("[[tool.gatewright]]"), "[tool.gatewright] must be a table"),
    "a_date": (own("title = 1979-05-27"), "not a date or time"),
    "a_date_in_params": (own("params.x = {type = 'str', default = 1979-05-27}"), "default does not fit"),
    "too_large_a_number": (own("params.x = {type = 'int', default = 9223372036854775808}"), "default does not fit"),
    "too_large_a_limit": (own("limits.open_files = 9223372036854775808"), "open_files"),
    "nul_in_the_block": (b"# /// script\n# a\0b = 1\n# ///\n", "NUL"),
    "open_ended": (b"# /// script\n# a = 1\n", "no closing line"),
    "two_megabytes": (b"#" * ((2 << 20) + 1), "2,097,153 bytes"),
    "binary": (bytes(range(256)) * 64, "not UTF-8"),
    "latin_1": ("name = 'Gr\xf6\xdfe'\n".encode("latin-1"), "not UTF-8"),
    "utf_16": ("x = 1\n".encode("utf-16"), "not UTF-8"),
    "with_nul": (b"x = 1\0\n", "NUL"),
}


def fifo(place: Path) -> None:
    os.mkfifo(place)


def bound_socket(place: Path) -> None:
    folder = os.open(place.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"/proc/self/fd/{folder}/{place.name}")
    os.close(folder)


def device(place: Path) -> bool:
    try:
        os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        return False
    return True


def loop(place: Path) -> None:
    place.symlink_to(place.name)


def link_to_a_folder(place: Path) -> None:
    place.symlink_to("/")


def dangling(place: Path) -> None:
    place.symlink_to("nowhere")


def unreadable(place: Path) -> bool:
    if os.geteuid() == 0:  # may read everything
        return False
    place.write_bytes(b"x = 1\n")
    place.chmod(0)
    return True


def text(place: Path) -> None:
    place.write_bytes(b"x = 1\n")


# What ``make`` answers with False cannot be made by this account.
PLACES: list[tuple[bytes, Callable[[Path], object], str]] = [
    (b"folder.py", Path.mkdir, "a folder's name must not end in .py"),
    (b"pipe.py", fifo, "It is a named pipe"),
    (b"socket.py", bound_socket, "It is a socket"),
    (b"zero.py", device, "It is a device"),
    (b"loop.py", loop, "It is a symbolic link"),
    (b"root.py", link_to_a_folder, "It is a symbolic link"),
    (b"nowhere.py", dangling, "It is a symbolic link"),
    (b"closed.py", unreadable, "permission denied"),
    (b"two\nlines.py", text, "Its name cannot be used"),
    (b"\x1b]0;owned\x07.py", text, "Its name cannot be used"),
    ("c1\x9b2J.py".encode(), text, "Its name cannot be used"),
    (b"gr\xf6\xdfe.py", text, "Its name cannot be used"),
    ("a\u202eb.py".encode(), text, "Its name cannot be used"),
    (b"a\\b.py", text, "Its name cannot be used"),
]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        (opened.project.scripts / "good.py").write_text("# chrysanthemum\nprint('works')\nresult = 6 * 7\n")
        yield opened


async def problems(engine: Engine) -> dict[str, str]:
    """The sentence of everything that has one; each is one line that a terminal only draws."""
    found = {info.path: info.problem for info in (await engine.scripts.list()).scripts if info.problem}
    for path, sentence in found.items():
        assert path.isprintable()
        assert sentence.isprintable()
        assert sentence.endswith(".")
        assert len(sentence) < 400
    return found


async def check_the_rest(engine: Engine) -> None:
    """List, search, run, save and rebuild of what is good."""
    listed = {info.path: info.problem for info in (await engine.scripts.list()).scripts}
    assert listed["good.py"] is None
    assert listed["defaults/tour.py"] is None
    assert [hit.path for hit in (await engine.scripts.search("chrysanthemum")).scripts] == ["good.py"]
    run = await engine.execute((await engine.scripts.load("good.py")).text)
    assert (run.value, run.stdout) == (42, "works\n")
    info = await engine.scripts.save("another.py", SaveRequest(text="x = 1\n"), engine.owner)
    assert info.problem is None
    before = await problems(engine)
    report = await engine.sync.rebuild(engine.owner)
    assert {problem.path for problem in report.problems} == before.keys()
    assert await problems(engine) == before


async def test_texts_that_cannot_be_used(engine: Engine) -> None:
    for name, (data, _) in TEXTS.items():
        (engine.project.scripts / f"{name}.py").write_bytes(data)
    found = await problems(engine)
    assert found.keys() == {f"{name}.py" for name in TEXTS}
    for name, (_, said) in TEXTS.items():
        assert said in found[f"{name}.py"]
        with pytest.raises(ServiceError, match=r"^\w+\.py (cannot run: .*|is too large: .*)\.$"):
            await engine.scripts.source(f"{name}.py")
    await check_the_rest(engine)


async def test_places_that_are_no_scripts(engine: Engine) -> None:
    wanted = []
    for name, make, said in PLACES:
        if make(engine.project.scripts / os.fsdecode(name)) is not False:
            wanted.append((shown(os.fsdecode(name)), said))
    found = await problems(engine)
    assert [path for path, said in wanted if said not in found.get(path, "")] == [], found
    assert len(found) == len(wanted)
    for path in found:
        with pytest.raises(ServiceError) as refusal:
            await engine.scripts.load(path)
        assert refusal.value.message.endswith(".")
        assert refusal.value.message.isprintable()
    await check_the_rest(engine)
