"""Gatewright as its users get it: a wheel that is complete, a bundle, an upgrade under a project in use, a backup."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("engine", "tui", "store", "default_scripts")
VERSION_LINE = re.compile(r'^VERSION = "(.+)"$', re.MULTILINE)
OLDER = "0.0.9"
PATIENCE = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def sources() -> dict[str, bytes]:
    """Every file of the packages as it is in the source tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=PROJECT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    names = filter(None, listed.decode().split("\0"))
    return {name: (PROJECT / name).read_bytes() for name in names if (PROJECT / name).is_file()}


def built(folder: Path, version: str | None = None) -> Path:
    """A wheel of this tree, offline; with another ``version`` if one is given."""
    tree = folder / "tree"
    for name, data in sources().items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tree)
    base = tree / "engine" / "models" / "base.py"
    if version is not None:
        base.write_text(VERSION_LINE.sub(f'VERSION = "{version}"', base.read_text()))
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", folder, tree], check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


def test_a_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert found == sources()
    kinds = {Path(name).suffix for name in found}
    assert {".py", ".pyi", ".md", ".sql", ".tcss", ".scm", ".typed"} <= kinds, "nothing is compared with nothing"


@pytest.fixture(scope="module")
def bundle(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this version makes of itself."""
    return bundled(tmp_path_factory.mktemp("bundle") / "new", wheel)


class Home:
    """An empty home folder, and Gatewright in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHON": str(base_python()), "TERM": "xterm"}

    @property
    def program(self) -> str:
        return str(self.folder / ".local" / "bin" / "gatewright")

    def install(self, bundle: Path) -> None:
        """Run the installer of ``bundle`` without a network, where we may take it away."""
        self._offline("sh", f"{self._unpacked(bundle)}/install.sh")

    def install_instead(self, bundle: Path, wheel: Path) -> None:
        """Install ``bundle`` with another wheel of Gatewright in it."""
        folder = self._unpacked(bundle)
        [own] = (folder / "wheels").glob("gatewright-*.whl")
        own.unlink()
        shutil.copy(wheel, folder / "wheels")
        pins = (folder / "requirements.txt").read_text().splitlines()
        pins = [pin for pin in pins if not pin.startswith("gatewright==")]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        pins.append(f"gatewright=={wheel.name.split('-')[1]} --hash=sha256:{digest}")
        (folder / "requirements.txt").write_text("\n".join(pins) + "\n")
        self._offline("sh", f"{folder}/install.sh")
        shutil.rmtree(folder.parent)

    def install_with_uv(self, bundle: Path) -> None:
        """Do what INSTALL.txt says of uv."""
        folder = self._unpacked(bundle)
        [line] = [line for line in (folder / "INSTALL.txt").read_text().splitlines() if line.startswith("    uv tool")]
        line = line.replace("find-links wheels", f"find-links {folder}/wheels")
        line = re.sub(r"--python \S+", f"--python {base_python()}", line)
        program = Path(sys.prefix, "bin", "uv")
        self._offline(str(program), *line.split()[1:])

    def _unpacked(self, bundle: Path) -> Path:
        place = self.folder / "unpacked" / bundle.parent.name
        with tarfile.open(bundle) as archive:
            archive.extractall(place, filter="data")
        [folder] = place.iterdir()
        return folder

    def _offline(self, *command: str) -> None:
        """Run a command without a network, where we may take it away."""
        offline = ["unshare", "--net"] if os.geteuid() == 0 else []
        done = subprocess.run([*offline, *command], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def call(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.program, *arguments], env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.call("--json", *arguments))

    def console(self, project: Path) -> str:
        """Open the console, leave it when it shows the project, and return what the terminal got."""
        controller, terminal = pty.openpty()
        process = subprocess.Popen(
            [self.program, str(project)], env=self.environment, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        seen, asked, deadline = b"", 0.0, time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if select.select([controller], [], [], 1.0)[0]:
                    seen += os.read(controller, 65536)
                if b"tour" in seen and time.monotonic() > asked + 5:
                    os.write(controller, b"\x11")  # Ctrl+Q
                    asked = time.monotonic()
            except OSError:  # EIO: it has left
                break
        if time.monotonic() > deadline:
            process.kill()
        assert process.wait(PATIENCE) == 0, seen[-2000:]
        os.close(controller)
        return seen.decode(errors="replace")


def base_python() -> Path:
    """The interpreter that this virtual environment was made from."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Path(sys.base_prefix, "bin", version).resolve()


def bundled(folder: Path, wheel: Path) -> Path:
    """What ``gatewright bundle`` makes, called by that version itself; its packages are those of these tests."""
    folder.mkdir()
    subprocess.run([base_python(), "-m", "venv", "--without-pip", folder / "venv"], check=True)
    [site] = (folder / "venv" / "lib").glob("python3*/site-packages")
    [ours] = Path(sys.prefix, "lib").glob("python3*/site-packages")
    (site / "packages.pth").write_text(f"{ours}\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python", "install", "-q"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-compile", wheel], check=True, capture_output=True)
    done = subprocess.run(
        [folder / "venv" / "bin" / "gatewright", "--json", "bundle", folder], capture_output=True, check=True
    )
    made = json.loads(done.stdout)
    assert any(name.startswith("textual-") for name in made["wheels"])
    return Path(made["file"])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    for project in (home.folder / "gatewright-demo", home.folder / "elsewhere"):
        if project.exists():
            home.call("engine", "stop", "--force", "--project", str(project))


def test_uv_installs_the_bundle_as_a_tool(home: Home, bundle: Path) -> None:
    home.install_with_uv(bundle)
    assert home.call("--version").startswith("gatewright ")
    found = home.json("doctor")["findings"]
    assert not [finding for finding in found if "itself failed" in finding["found"]]


def test_installed_used_upgraded_backed_up_and_restored_with_nothing_lost(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    older.mkdir()
    [newer] = VERSION_LINE.findall((PROJECT / "engine" / "models" / "base.py").read_text())

    home.install_instead(bundle, built(older, OLDER))
    demo = home.folder / "gatewright-demo"
    assert "tour" in home.console(demo)
    assert home.json("engine", "status", "--project", str(demo))["engine"]["version"] == OLDER
    (demo / "scripts" / "mine.py").write_text("print('mine')\n")
    home.call("scripts", "set", "mine", "title=Mine", "--project", str(demo))
    assert home.call("run", "mine", "--project", str(demo)) == "mine\n"
    busy = subprocess.Popen(
        [home.program, "--project", demo, "exec", "print('begun', flush=True)\nimport time\ntime.sleep(600)"],
        env=home.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"begun\n"

        home.install(bundle)
        assert home.call("--version") == f"gatewright {newer}\n"
        assert home.call("run", "mine", "--project", str(demo)) == "mine\n", "beside the run that goes on"
        engine = home.json("engine", "status", "--project", str(demo))["engine"]
        assert engine["version"] == OLDER, "it is not taken away under a run"
        assert [problem for problem in engine["problems"] if f"Gatewright {newer} was installed" in problem]
    finally:
        busy.kill()
        busy.communicate()
    [number] = [run["id"] for run in home.json("runs", "list", "--project", str(demo))["runs"] if run["kind"] == "exec"]
    home.call("runs", "cancel", str(number), "--project", str(demo))
    deadline = time.monotonic() + PATIENCE
    while engine["version"] == OLDER and time.monotonic() < deadline:  # a task may go on for a moment
        home.call("runs", "list", "--project", str(demo))
        engine = home.json("engine", "status", "--project", str(demo))["engine"]
    assert engine["version"] == newer

    file = home.folder / "demo.gwbackup"
    home.call("backup", str(file), "--project", str(demo))
    home.call("restore", str(file), str(home.folder / "elsewhere"))
    for project in (demo, home.folder / "elsewhere"):
        names = [run["name"] for run in home.json("runs", "list", "--project", str(project))["runs"]]
        assert sorted(names) == ["<exec>", "mine.py", "mine.py"]
        assert len(home.json("history", "mine", "--project", str(project))["versions"]) == 1
        assert home.call("run", "mine", "--project", str(project)) == "mine\n"
    told = [home.json("engine", "status", "--project", str(at))["engine"] for at in (demo, home.folder / "elsewhere")]
    assert told[0].get("problems") == told[1].get("problems")
    assert kept(demo) == kept(home.folder / "elsewhere")


def kept(project: Path) -> dict[str, bytes]:
    files = [file for name in ("scripts", "documents") for file in (project / name).rglob("*")]
    return {str(file.relative_to(project)): file.read_bytes() for file in files if file.is_file()}
