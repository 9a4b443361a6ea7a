"""What an attack is, and the script that carries one.

An attack is plain data: code that runs as a script, and the sign by which the host tells that it got through. It is
run twice: in a plain process, where the sign must show (else the attack proves nothing), and in RESTRICTED, where no
sign of any kind may show, whatever the run's outcome is.

Signs:
    ``token:NAME``: one of the random secrets of this trial came back.
    ``claim``: the code says it got what it was after, where only it can tell (a system call that was let in).
    ``host:WHAT``: the host sees an effect: a changed file, bytes at a listener, a signal, a bound exceeded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

CLAIM = "got-through"
LACKS = "host-lacks"
REACHED = "reached-the-modules"
TOKEN = re.compile(r"gwtok-[0-9a-f]{32}")

LONG = 8.0
"""Seconds that an attack may take before it is ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack.

    Attributes:
        code: Runs below ``KIT``, with the modules of the real interpreter.
        shows: How the sign begins that the plain run must show.
        then: A second script, run after the first: what was left behind is looked for there.
        root: Only root gets through even without a sandbox; another account's plain run proves nothing.
        may_lack: Why a host may be unable to let it through; its plain run then has to say ``LACKS``.
        wall: Seconds until the run is ended.
        watched: The host measures memory, tasks and delay while it runs.
        tiny_frames: It writes frames of a byte each, so that the size of its output is their number.
        outcomes: How the sandboxed run may end; empty: in any way.
        admin: How it must end in ADMIN, without a sign there too; empty: an administrator may.
        core: Why it gets through where there are no namespaces, as the documents say.
        granted: The run has an approved folder to write to, ``place['granted']``.
        read_granted: It has a folder and a file to read, ``place['readable']`` and ``place['readable_file']``.
        file_granted: It has a file to write to, ``place['writable_file']``.
    """

    name: str
    code: str
    shows: str = "claim"
    then: str = ""
    root: bool = False
    may_lack: str = ""
    wall: float = LONG
    watched: bool = False
    tiny_frames: bool = False
    outcomes: tuple[str, ...] = ()
    admin: str = ""
    core: str = ""
    granted: bool = False
    read_granted: bool = False
    file_granted: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a RESTRICTED script must be able to do: it leaves ``value`` as its result."""

    name: str
    code: str
    value: Any
    outcome: str = "ok"
    says: str = ""
    """Must be in the error's message."""
    scratch: bool = False
    """Needs a scratch folder."""
    entrypoint: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    granted: bool = False
    """Runs with an approved folder to write to, ``granted``."""
    read_granted: bool = False
    """Runs with an approved folder to read, ``readable``."""


WAY_AROUND = """
def _way_around():
    for kind in ().__class__.__base__.__subclasses__():
        space = getattr(getattr(kind, "__init__", None), "__globals__", None) or {}
        found = space.get("__builtins__")
        found = found if type(found) is dict else getattr(found, "__dict__", {})
        try:
            found["__import__"]("posix")
        except (ImportError, KeyError):
            continue
        return found
    raise RuntimeError("no way around the import rule was found")
"""
"""Finds the interpreter's own builtins behind any class written in Python. The import rule cannot prevent that, and the
sandbox does not count on it: past this point attacks have ``os``, ``ctypes`` and everything else."""

KIT = """
import contextlib, errno, os, struct, sys, time

def tell(*what):
    sys.stdout.write(" ".join(map(str, what)) + "\\n")
    sys.stdout.flush()

def won(what=""):
    tell("-".join(("got", "through")), what)

def lacks(why):
    tell("-".join(("host", "lacks")), why)

def text(data):
    return data.decode("latin-1") if isinstance(data, (bytes, bytearray, memoryview)) else str(data)
"""

KIT_OF_C = """
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p

def raw(number, *arguments):
    '''syscall(2); what it returns, or minus the error's number.'''
    ctypes.set_errno(0)
    given = [a if isinstance(a, ctypes._SimpleCData) or not isinstance(a, int) else ctypes.c_long(a) for a in arguments]
    answer = libc.syscall(ctypes.c_long(number), *given)
    return -ctypes.get_errno() if answer == -1 else answer

def let_in(what, answer):
    '''Won if the kernel carried the call out or found fault with its arguments; lost if it was refused as such.'''
    name = errno.errorcode.get(-answer, answer) if answer < 0 else answer
    tell(what, name)
    if -answer not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        won(f"{what}: {name}")
    else:
        lacks(f"{what}: {name}")

def enters(what, number, *arguments):
    let_in(what, raw(number, *arguments))

def machine_code(code):
    '''A function of these bytes: system calls by ways that the C library does not know.'''
    area = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))
    if area in (None, 2**64 - 1):
        raise OSError(ctypes.get_errno(), "no memory that is writable and executable")
    ctypes.memmove(area, code, len(code))
    return ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)(area)
"""
"""For attacks that speak to the C library or to the kernel itself; the others run quicker without it."""

OF_C = ("ctypes", "libc", "raw(", "let_in(", "enters(", "machine_code(")


def script(body: str) -> str:
    """The script that runs ``body`` with everything the interpreter has, whatever the script itself may import."""
    kit = KIT + KIT_OF_C if any(word in body for word in OF_C) else KIT
    return (
        f"{WAY_AROUND}\n_world = {{'__builtins__': _way_around(), '__name__': 'attack', 'place': place}}\n"
        f"try:\n    exec(compile({kit!r}, '<kit>', 'exec'), _world)\n    print({REACHED!r}, flush=True)\n"
        f"    exec(compile({body!r}, '<attack>', 'exec'), _world)\n"
        "except SystemExit:\n    pass\n"
        "except BaseException as _error:\n    print(type(_error).__name__, _error)\n"
    )
