"""A handful of attacks that decide whether a sandbox holds, as one script that tells how each of them went.

``script(targets)`` is a RESTRICTED script and, for the control, an ordinary Python program: what it needs it takes from
modules that may be imported, since the import rule is no wall. Its ``result`` says per attack "escaped", or with which
error it was held; it ends with an error if what it is to damage is not even there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ATTACKS = (
    "read", "list", "write", "truncate_path", "truncate_open", "truncate_write", "chmod", "utime", "fork", "exec",
    "inet", "unix", "kill",
)  # fmt: skip

_SCRIPT = """
import random
os = random._os
load = os.__builtins__["__import__"]
open = load("io").open
if "may read" not in open({library!r}).read():
    raise SystemExit("what is to be damaged is not there to be read")
result = {{}}

def attack(work):
    try:
        work()
        result[work.__name__] = "escaped"
    except BaseException as error:
        result[work.__name__] = type(error).__name__

def read():
    open({secret!r}).read()

def list():
    os.listdir({folder!r})

def write():
    open({folder!r} + "/new", "w").close()

def truncate_path():
    os.truncate({library!r}, 10)

def truncate_open():
    os.close(os.open({library!r}, os.O_RDONLY | os.O_TRUNC))

def truncate_write():
    open({library!r}, "w").close()

def chmod():
    os.chmod({library!r}, 0o600)

def utime():
    os.utime({library!r}, (1, 1))

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def exec():
    os.posix_spawn("/bin/true", ["true"], {{}})

def inet():
    load("_socket").socket(2, 1)

def unix():
    load("_socket").socket(1, 1).connect({socket!r})

def kill():
    os.kill({pid}, 0)

for work in (
    read, list, write, truncate_path, truncate_open, truncate_write, chmod, utime, fork, exec, inet, unix, kill,
):
    attack(work)
"""

SECRET = "what the plant makes"
LIBRARY = "# a module that scripts may read\n" * 10


@dataclass(frozen=True)
class Targets:
    """What on the host is attacked. ``library`` lies where RESTRICTED scripts may read."""

    folder: Path
    library: Path
    socket: Path
    pid: int

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    def put(self) -> None:
        """Make the files, as they are before an attack."""
        self.secret.write_text(SECRET)
        self.library.write_text(LIBRARY)
        self.library.chmod(0o644)
        os.utime(self.library, (1_000_000, 1_000_000))
        (self.folder / "new").unlink(missing_ok=True)

    def unharmed(self) -> bool:
        """Whether an attack has left everything as it was."""
        info = self.library.stat()
        return (
            self.secret.read_text() == SECRET
            and self.library.read_text() == LIBRARY
            and (info.st_mode & 0o777, info.st_mtime) == (0o644, 1_000_000)
            and not (self.folder / "new").exists()
        )


def script(targets: Targets) -> str:
    return _SCRIPT.format(
        secret=str(targets.secret),
        folder=str(targets.folder),
        library=str(targets.library),
        socket=str(targets.socket),
        pid=targets.pid,
    )
