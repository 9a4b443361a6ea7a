"""A script's end as the interpreter's end (Py_FinalizeEx): threads, exit callbacks, streams, files that are open still.

What may run code of the script is handed out as a call, to be made in the first frame of the process like every other.
"""

from __future__ import annotations

import _io
import _thread
import atexit
import gc
import os
import stat
import sys
import traceback

from . import kernel
from .channel import RUN_FD
from .failures import is_own
from .results import MAX_DEPTH, clean, to_json
from .wire import RESULT, WAIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import TextIOWrapper
    from types import ModuleType
    from typing import Any, TextIO

SHOWN_NAMES = 5
"""Threads that are named, and the characters of each name."""
SHOWN_NAME = 60

ORDINARY_FILES = 60
"""Descriptors above a child's own that are looked at: as many as a RESTRICTED run may have."""

_closed_descriptors = kernel.prepare_poll(RUN_FD + 1, ORDINARY_FILES)


def is_plain(own: tuple[TextIOWrapper, TextIOWrapper]) -> bool:
    """Whether nothing has to be waited for, called or flushed, as at the end of most scripts."""
    return "threading" not in sys.modules and not atexit._ncallbacks() and stand(own)


def stand(own: tuple[TextIOWrapper, TextIOWrapper]) -> bool:
    """Whether the script has left its streams as it found them."""
    out, err = own
    try:
        return (
            sys.stdout is out
            and sys.stderr is err
            and sys.__stdout__ is out
            and sys.__stderr__ is err
            and out.write_through
            and err.write_through
        )
    except AttributeError:  # it has deleted one
        return False


def threads() -> ModuleType | None:
    """``threading``, if a thread was started or something is to be called before threads are waited for."""
    module = sys.modules.get("threading")
    if module is not None and (_thread._count() or getattr(module, "_threading_atexits", None)):
        return module
    return None


def waited_for(threading: ModuleType) -> list[str]:
    """The names of the threads that ``threading._shutdown`` is going to wait for."""
    return [_name(thread) for thread in _others(threading) if not thread.daemon]


def cut_off() -> str:
    """Say which threads still run now that nobody waits for them any more; empty if there are none."""
    threading = sys.modules.get("threading")
    if threading is None or not _thread._count():
        return ""
    names = [_name(thread) for thread in _others(threading)]
    if not names:
        return ""
    some, were = ("1 thread", "was") if len(names) == 1 else (f"{len(names)} threads", "were")
    return (
        f"{some} ({named(names)}) still ran at the script's end and {were} cut off: Python does not wait for daemon "
        "threads."
    )


def named(names: list[str]) -> str:
    """A list of names as a part of a sentence."""
    shown = [repr(clean(name, SHOWN_NAME)) for name in names[:SHOWN_NAMES]]
    if len(names) > SHOWN_NAMES:
        shown.append(f"{len(names) - SHOWN_NAMES} more")
    return ", ".join(shown)


def _others(threading: ModuleType) -> Iterator[Any]:
    """The threads that are alive, but for the calling one and those that Python did not start."""
    own, foreign = _thread.get_ident(), getattr(threading, "_DummyThread", ())
    for thread in threading.enumerate():
        if thread.ident != own and not isinstance(thread, foreign):
            yield thread


def _name(thread: Any) -> str:  # noqa: ANN401 - of a class of the script's own, perhaps
    try:
        return str(thread.name)
    except BaseException:  # noqa: BLE001 - as above
        return type(thread).__name__


def waiting(names: list[str], result: bytes, value: object, limit: int) -> bytes:
    """The payload of a WAIT frame: what is waited for, and the result as it stands.

    Args:
        names: The threads.
        result: The RESULT payload of a script that has failed already; empty otherwise.
        value: What it left. Only plain JSON is taken: converting anything else may use it up.
        limit: Bytes that the value's JSON may take.
    """
    data = b""
    if not result:
        try:
            data = b"" if value is None else to_json(value).encode()
        except Exception:  # noqa: BLE001 - the threads may change it meanwhile; the real result comes later
            data = b""
        # What may be too deep for the engine is left to the real result, which says so.
        fits = len(data) <= limit and data.count(b"[") + data.count(b"{") <= MAX_DEPTH
        result = RESULT.pack(0) + (data if fits else b"")
    told = named(names).encode("utf-8", "backslashreplace")
    return WAIT.pack(len(told)) + told + result


def streams_to_flush(own: tuple[TextIOWrapper, TextIOWrapper]) -> list[tuple[str, TextIO]]:
    """What stands in ``sys.stdout`` and ``sys.stderr``, each once; not those of ours that keep nothing back."""
    found: list[tuple[str, TextIO]] = []
    if stand(own):
        return found
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name, None)
        if stream is None or any(stream is one and one.write_through for one in own):
            continue
        if not _is_closed(stream) and all(stream is not other for _, other in found):
            found.append((f"sys.{name}", stream))
    return found


def _is_closed(stream: TextIO) -> bool:
    try:
        return bool(stream.closed)
    except ValueError:  # detached: what it was detached from is another's
        return True
    except AttributeError:
        return False


def report_ignored(what: str, error: BaseException) -> None:
    """Print an exception that nobody can catch any more, as ``sys.unraisablehook`` does."""
    try:
        told = traceback.TracebackException.from_exception(error)
        told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if not is_own(frame.filename)])
        sys.stderr.write(f"Exception ignored in: {what}\n{''.join(told.format())}")
    except BaseException:  # noqa: BLE001, S110 - its own printing, or the stream, is what is broken
        pass


def clear_globals(names: dict[str, Any]) -> None:
    """Let go of what a script's or a module's globals hold: destructors run, files are written.

    Up to 3.9 a function that is called looks for its builtins there, and destructors are functions.
    """
    if sys.version_info >= (3, 10):
        names.clear()
        return
    for name in [name for name in names if name != "__builtins__"]:
        names.pop(name, None)


def any_open() -> bool:
    """Whether there are descriptors beside a child's own."""
    return _closed_descriptors() != ORDINARY_FILES


def write_open_files() -> list[str]:
    """Write what files hold that outlived the script's globals: in a module, in an object of the interpreter's.

    Only files proper: a pipe may be full, and nobody reads it any more.

    Returns:
        What could not be written, one sentence each.
    """
    archive: tuple[type, ...] = ()
    if "zipfile" in sys.modules:
        archive = (sys.modules["zipfile"].ZipFile,)
    left = [item for item in gc.get_objects() if issubclass(type(item), (*archive, _io._IOBase))]
    left.sort(key=lambda item: _depth(type(item), archive))
    problems = []
    for item in left:
        try:
            if _holds_file(item):
                item.close()
        except OSError as error:
            why = error.strerror or type(error).__name__
            problems.append(f"Not all of {_name_of(item)}, which the script left open, could be written: {why}.")
        except BaseException:  # noqa: BLE001, S110 - a class of the script's own; the interpreter says nothing either
            pass
    return problems


def _depth(kind: type, archive: tuple[type, ...]) -> int:
    """How near to the kernel a kind of file is: one that writes into another is closed before that."""
    if issubclass(kind, archive):
        return 0
    if issubclass(kind, _io.TextIOWrapper):
        return 1
    return 3 if kind.__module__ == "_io" else 2


def _holds_file(item: object) -> bool:
    try:
        file: Any = getattr(item, "fp", item)
        return file is not None and not file.closed and stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # no descriptor, none that is open, or it is just being made
        return False


def _name_of(item: object) -> str:
    name = getattr(item, "name", None)
    return clean(repr(name), SHOWN_NAME) if type(name) is str else "a file"
