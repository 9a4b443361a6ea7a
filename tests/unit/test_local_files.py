"""Files outside the project: what is read, what is refused with a reason, and that nothing is overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui.scripts.local_files import MAX_DEPTH, MAX_SIZE, LocalFileError, TakenError, gather, write_new


def test_a_folder_gives_its_scripts_in_order_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x.py").write_text("1")
    (tmp_path / "a.py").write_bytes(b"2\r\n")
    (tmp_path / ".hidden.py").write_text("")
    (tmp_path / "large.py").write_bytes(b"x" * (MAX_SIZE + 1))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/y.py").write_text("")
    (tmp_path / "z.py").symlink_to("a.py")
    found = list(gather(f"{tmp_path}/"))
    assert [(one.path, one.text) for one in found if one.problem is None] == [("a.py", "2\r\n"), ("b/x.py", "1")]
    assert {one.path: one.problem for one in found if one.problem} == {
        "large.py": "it is larger than a script may be (2,097,152 bytes)",
        "z.py": "it is a symbolic link, and those are not followed",
    }
    assert found[0].file == f"{tmp_path}/a.py"


def test_a_link_that_is_named_itself_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (found,) = gather(str(tmp_path / "link"))
    assert "symbolic link" in (found.problem or "")


def test_a_bottomless_folder_ends(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (MAX_DEPTH + 3))
    deep.mkdir(parents=True)
    (found,) = gather(str(tmp_path))
    assert f"more than {MAX_DEPTH} folders deep" in (found.problem or "")


@pytest.mark.parametrize("path", ["../x.py", "a/../../x.py", "/x.py", "a//x.py", "."])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(LocalFileError):
        write_new(str(tmp_path / "out"), path, b"1")
    assert list(tmp_path.iterdir()) == []


def test_links_in_the_way_are_not_followed_and_files_are_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_new(str(out), "a/x.py", b"1")
    assert not write_new(str(out), "a/x.py", b"1")
    with pytest.raises(TakenError):
        write_new(str(out), "a/x.py", b"2")
    (tmp_path / "elsewhere").mkdir()
    (out / "b").symlink_to(tmp_path / "elsewhere")
    (out / "c.py").symlink_to(tmp_path / "elsewhere/c.py")
    for path in ("b/x.py", "c.py"):
        with pytest.raises(LocalFileError):
            write_new(str(out), path, b"3")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (out / "a/x.py").read_bytes() == b"1"


def test_a_file_that_cannot_be_written_whole_is_not_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("tui.scripts.local_files.os.fsync", full)
    with pytest.raises(LocalFileError, match="no space left"):
        write_new(str(tmp_path), "x.py", b"1")
    assert list(tmp_path.iterdir()) == []
