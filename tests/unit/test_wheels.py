"""Wheels made again of what is installed: an installer takes them, and they hold what was installed and no more."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tui.commands.errors import CommandError
from tui.commands.wheels import make_wheel, needed

WHEEL = """\
Wheel-Version: 1.0
Root-Is-Purelib: false
Build: 7
Tag: cp311-cp311-manylinux1_x86_64
Tag: cp311-abi3-manylinux1_x86_64
"""
FILES = {
    "tool_a/__init__.py": "A = 1\n",
    "tool_a/__pycache__/__init__.pyc": "compiled",
    "tool_a-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Tool.A\nVersion: 1.0\n",
    "tool_a-1.0.dist-info/WHEEL": WHEEL,
    "tool_a-1.0.dist-info/entry_points.txt": "[console_scripts]\ntool = tool_a:main\n",
    "tool_a-1.0.dist-info/INSTALLER": "pip",
    "tool_a-1.0.dist-info/REQUESTED": "",
    "../../../bin/tool": "#!/venv/bin/python\ngenerated",
    "../../../bin/plain": "#!/venv/bin/python3\nprint(1)\n",
    "../../../bin/program": "\x7fELF",
    "../../../share/man/tool.1": "page",
}


@pytest.fixture
def installed(tmp_path: Path) -> Distribution:
    """A distribution in a virtual environment of its own, with one file of every kind."""
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    rows = []
    for name, text in FILES.items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(text)}")
    (site / "../../../bin/program").chmod(0o755)
    (site / "tool_a-1.0.dist-info/RECORD").write_text("\n".join([*rows, "tool_a-1.0.dist-info/RECORD,,"]) + "\n")
    return Distribution.at(site / "tool_a-1.0.dist-info")


def test_a_wheel_has_what_came_with_it_and_nothing_of_the_installer(installed: Distribution, tmp_path: Path) -> None:
    wheel = make_wheel(installed, tmp_path)
    assert wheel.name == "tool_a-1.0-7-cp311-cp311.abi3-manylinux1_x86_64.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == {
            "tool_a/__init__.py",
            "tool_a-1.0.dist-info/METADATA",
            "tool_a-1.0.dist-info/WHEEL",
            "tool_a-1.0.dist-info/entry_points.txt",
            "tool_a-1.0.dist-info/RECORD",
            "tool_a-1.0.data/scripts/plain",
            "tool_a-1.0.data/scripts/program",
            "tool_a-1.0.data/data/share/man/tool.1",
        }
        assert archive.read("tool_a-1.0.data/scripts/plain") == b"#!python\nprint(1)\n"
        assert archive.getinfo("tool_a-1.0.data/scripts/program").external_attr >> 16 & 0o777 == 0o755
        assert archive.getinfo("tool_a/__init__.py").external_attr >> 16 & 0o777 == 0o644
        record = archive.read("tool_a-1.0.dist-info/RECORD").decode()
        assert {line.split(",")[0] for line in record.splitlines()} == set(archive.namelist())
    again = tmp_path / "again"
    again.mkdir()
    assert make_wheel(installed, again).read_bytes() == wheel.read_bytes(), "the same files, the same hash"


def test_files_that_were_changed_since_are_refused(installed: Distribution, tmp_path: Path) -> None:
    file = Path(str(installed.locate_file("tool_a/__init__.py")))
    file.write_text("A = 2\n")
    with pytest.raises(CommandError, match=r"__init__\.py is not what it was when Tool\.A 1\.0 was installed"):
        make_wheel(installed, tmp_path)
    file.unlink()
    with pytest.raises(CommandError, match="cannot be read"):
        make_wheel(installed, tmp_path / "venv")


def test_what_came_from_no_wheel_is_refused(installed: Distribution, tmp_path: Path) -> None:
    home = Path(str(installed.locate_file("tool_a-1.0.dist-info")))
    (home / "direct_url.json").write_text('{"url": "file:///src", "dir_info": {"editable": true}}')
    with pytest.raises(CommandError, match="installed as a link to its source"):
        make_wheel(installed, tmp_path)
    (home / "direct_url.json").write_text('{"url": "file:///src", "dir_info": {}}')
    (home / "WHEEL").unlink()
    with pytest.raises(CommandError, match="not installed from a wheel"):
        make_wheel(installed, tmp_path)


def test_all_that_gatewright_needs_is_found_and_nothing_of_its_tests() -> None:
    names = {each.metadata["Name"].lower() for each in needed("gatewright")}
    assert {"gatewright", "textual", "rich", "smmap", "anyio"} <= names
    assert not {"pytest", "mypy", "pandas"} & names
    with pytest.raises(CommandError, match="no-such-thing is not installed"):
        needed("no-such-thing")
    assert distribution("gatewright").version
