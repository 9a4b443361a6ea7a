"""What an attack is let loose on: files with secrets and files to damage, as they are and as they should be."""

from __future__ import annotations

import _heapq
import contextlib
import hashlib
import os
import py_compile
import secrets
import shutil
import sqlite3
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LISTENING = ("unix", "unix_dgram")
"""Sockets that listeners hold in the folder: they are not made anew."""

PACKAGE = "plantkit"
PACKAGE_SOURCE = '''"""A small package that the administrator allowed."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

from plantkit.parts import TRIPLE


def double(n):
    return 2 * n


def play_with_files():
    os.makedirs("sub/deeper")
    Path("sub/file.txt").write_text("text")
    os.rename("sub/file.txt", "moved.txt")
    os.replace("sub/deeper", "sub/renamed")
    os.rmdir("sub/renamed")
    text = Path("moved.txt").read_text()
    return [*sorted(os.listdir()), text]


def in_threads(count):
    found = [None] * count

    def work(n):
        found[n] = n * n

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def temporary():
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("w+", dir=folder) as file:
        file.write("kept")
        file.seek(0)
        return file.read()


def masks():
    before = os.umask(0)
    asked = os.umask(before)
    return [before, asked, os.umask(0o22), os.umask(0o2), os.umask(0o77), os.umask(0o77)]


def modes(folder):
    here = Path(folder) / "modes"
    here.mkdir()
    (here / "open").write_text("x")
    os.close(os.open(here / "os.open", os.O_CREAT | os.O_WRONLY))
    os.mkdir(here / "os.mkdir")
    os.makedirs(here / "os.makedirs" / "deeper", exist_ok=True)
    (here / "Path.mkdir").mkdir(0o777, parents=True)
    (here / "Path.touch").touch()
    fd, path = tempfile.mkstemp(dir=here)
    os.close(fd)
    os.rename(path, here / "mkstemp")
    os.rename(tempfile.mkdtemp(dir=here), here / "mkdtemp")
    with open(here / "allocated", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 5000)
    mask = os.umask(0)
    (here / "after umask(0)").write_text("x")
    os.umask(0o22)
    (here / "after umask(0o22)").write_text("x")
    os.umask(mask)
    found = {entry.name: entry.stat().st_mode & 0o7777 for entry in os.scandir(here)}
    shutil.rmtree(here)
    return found


def moved(folder):
    here = Path(folder)
    (here / "one").write_text("text")
    shutil.copyfile(here / "one", here / "copy")
    shutil.move(here / "one", here / "moved")
    os.makedirs(here / "tree" / "deeper")
    shutil.rmtree(here / "tree")
    return sorted(os.listdir(here))


def own_files():
    Path("a").write_text("text")
    os.chmod("a", 0o640)
    os.utime("a", (5, 5))
    shutil.copy("a", "copy")
    shutil.copy2("a", "copy2")
    os.makedirs("tree/deeper")
    Path("tree/deeper/b").write_text("b")
    os.symlink("b", "tree/deeper/way")
    shutil.copytree("tree", "tree2", symlinks=True)
    os.link("a", "hard")
    os.symlink("tree2/deeper", "folder")
    os.truncate("hard", 2)
    Path("a").chmod(0o444)
    Path("a").touch()
    modes = [os.stat(name).st_mode & 0o7777 for name in ("a", "hard", "copy", "copy2")]
    times = [os.stat(name).st_mtime for name in ("copy2",)]
    return [modes, times, Path("folder/way").read_text(), os.readlink("tree2/deeper/way"), os.path.getsize("a")]


def foreign_modes():
    found = []
    for mode in (0o666, 0o777, 0o664, 0o2775, 0o1777, 0o4755):
        Path("m").touch()
        os.chmod("m", mode)
        found.append(os.stat("m").st_mode & 0o7777)
        with open("m") as file:
            os.fchmod(file.fileno(), 0)
            os.fchmod(file.fileno(), mode=mode)
        found.append(os.stat("m").st_mode & 0o7777 == found[-1])
    return found


def copied(folder):
    shutil.copytree(folder, "tree")
    shutil.copy2(os.path.join(folder, "file.txt"), "one")
    return [os.stat("tree/file.txt").st_mode & 0o777, Path("one").read_text(), sorted(os.listdir("tree"))]


def devices():
    with open("/dev/null", "w") as null, open("/dev/zero", "rb") as zero, open("/dev/urandom", "rb") as random:
        null.write("x")
        return [os.stat(null.fileno()).st_size, zero.read(2).hex(), len(random.read(3))]


def database(folder):
    with contextlib.closing(sqlite3.connect(f"{folder}/own.db", timeout=0)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table reading(value)")
        connection.execute("insert into reading values (42)")
        connection.commit()
        return connection.execute("select value from reading").fetchone()[0]


def own_data():
    return Path(__file__).with_name("data.txt").read_text()
'''


def token() -> str:
    return "gwtok-" + secrets.token_hex(16)


class Place:
    """A folder of the host with everything that attacks aim at. All of it belongs to the account of the engine.

    Attributes:
        tokens: The secrets of this trial by what holds them.
        tag: In the names of whatever attacks make elsewhere, so that it is found.
    """

    def __init__(self, folder: Path, packages: Path, tokens: Mapping[str, str], tag: str) -> None:
        self.folder = folder
        self.tag = tag
        self.key = 0x67000000 | secrets.randbits(20)
        self.tokens = {name: token() for name in ("file", "project", "name", "pointer", "xattr")} | dict(tokens)
        self.package = packages / PACKAGE
        self.build()
        self.descriptor = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.descriptor, True)

    @property
    def readable(self) -> Path:
        """A folder that may be approved for reading."""
        return self.folder / "readable"

    @property
    def readable_file(self) -> Path:
        return self.folder / "read" / "file.txt"

    @property
    def writable_file(self) -> Path:
        return self.folder / "write" / "file.txt"

    @property
    def secret(self) -> Path:
        return self.folder / "secret.txt"

    @property
    def compiled(self) -> Path:
        return next((self.package / "__pycache__").glob("__init__.*.pyc"))

    def build(self) -> None:
        """Make everything anew, in the places where it was."""
        for path in list(self.folder.iterdir()):
            if path.name not in LISTENING:
                _remove(path)
        self._secrets()
        self._victims()
        self._package()
        self.pristine = self.snapshot()

    def _secrets(self) -> None:
        value, folder = self.tokens["file"], self.folder
        self.secret.write_text(value)
        with contextlib.suppress(OSError):
            os.setxattr(self.secret, "user.secret", self.tokens["xattr"].encode())
        (folder / "secret_module.py").write_text(f"TOKEN = {value!r}\nprint(TOKEN)\n")
        (folder / f"named-{self.tokens['name']}").touch()
        (folder / "pointer").symlink_to(self.tokens["pointer"])
        with zipfile.ZipFile(folder / "secret.zip", "w") as archive:
            archive.writestr("zipped.py", f"TOKEN = {value!r}\n")
        with contextlib.closing(sqlite3.connect(folder / "secret.sqlite", isolation_level=None)) as database:
            database.execute("pragma synchronous = off")
            database.execute("create table secrets (value text)")
            database.execute("insert into secrets values (?)", (value,))
        certificate = Path(__file__).with_name("certificate.pem")
        shutil.copyfile(certificate, folder / "certificate.pem")
        shared = _heapq.__file__
        shutil.copyfile(shared, folder / "shared.so")
        project = folder / "project"
        (project / ".gatewright").mkdir(parents=True, mode=0o700)
        (project / "scripts").mkdir()
        (project / ".gatewright" / "state.db").write_text(self.tokens["project"])
        (project / "scripts" / "own.py").write_text(f"# {self.tokens['project']}\n")

    def _victims(self) -> None:
        (self.folder / "empty").mkdir()
        victim = self.folder / "victim.txt"
        victim.write_text("untouched\n" * 10)
        victim.chmod(0o644)
        os.setxattr(victim, "user.own", b"own")
        self.readable.mkdir()
        for folder in (self.readable_file.parent, self.writable_file.parent):
            folder.mkdir()
        for path in (self.readable / "file.txt", self.readable_file, self.writable_file):
            path.write_text("as it was\n")
            path.chmod(0o644)

    def _package(self) -> None:
        _remove(self.package)
        _remove(self.package.parent / "sitecustomize.py")
        self.package.mkdir()
        (self.package / "__init__.py").write_text(PACKAGE_SOURCE)
        (self.package / "parts.py").write_text("TRIPLE = 3\n")
        (self.package / "data.txt").write_text("data of the package")
        for source in ("__init__.py", "parts.py"):
            py_compile.compile(str(self.package / source), doraise=True)

    def for_scripts(self) -> dict[str, Any]:
        """Where everything is; never a secret."""
        folder = self.folder
        return {
            "folder": str(folder), "secret": str(self.secret), "module": str(folder / "secret_module.py"),
            "zip": str(folder / "secret.zip"), "sqlite": str(folder / "secret.sqlite"),
            "pointer": str(folder / "pointer"), "certificate": str(folder / "certificate.pem"),
            "shared_object": str(folder / "shared.so"), "empty": str(folder / "empty"),
            "state": str(folder / "project" / ".gatewright" / "state.db"),
            "script": str(folder / "project" / "scripts" / "own.py"), "victim": str(folder / "victim.txt"),
            "readable": str(self.readable), "readable_file": str(self.readable_file),
            "writable_file": str(self.writable_file), "package": str(self.package),
            "compiled": str(self.compiled), "tag": self.tag, "key": self.key,
        }  # fmt: skip

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        """Every file, with whatever of it an attack could change."""
        found: dict[str, tuple[object, ...]] = {}
        for top in (self.folder, self.package):
            for parent, folders, names in os.walk(top):
                for name in [*folders, *names]:
                    path = os.path.join(parent, name)
                    found[path] = _state(path)
        found["beside the package"] = tuple(sorted(os.listdir(self.package.parent)))
        return found

    def changes(self) -> list[str]:
        """The paths that are not as they were built."""
        now = self.snapshot()
        return sorted(path for path in now.keys() | self.pristine.keys() if now.get(path) != self.pristine.get(path))


def _state(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    content = os.readlink(path) if os.path.islink(path) else ""
    attributes: list[tuple[str, bytes]] = []
    if os.path.isfile(path) and not os.path.islink(path):
        content = "of no use to its owner any more"
        with contextlib.suppress(PermissionError), open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    with contextlib.suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
    return (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_size if content else 0,
            status.st_nlink, status.st_mtime_ns, content, tuple(attributes))  # fmt: skip


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
