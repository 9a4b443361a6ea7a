"""What to say behind a script's exception: what a run does not give, and how to ask for it.

By the kind of the exception and its errno, and only where it is true. Nothing here looks at the host: whether a file
exists there is not the script's to know, so no sentence says it.
"""

from __future__ import annotations

import builtins
import errno
import os
import sys

from .standard_input import NAMES, NOT_GIVEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILES = (
    "RESTRICTED scripts reach none of the host's files, whether they exist or not, and write in their working folder "
    "only: hand a file over with --file NAME=PATH, ask for its path in permissions of the header, or run the script in "
    "ADMIN mode."
)
NOT_OWN = (
    "Modes, times, links and lengths by path can be changed only where a run writes to nothing but its working folder: "
    "not with a permission to write, nor without a private view of the files. shutil.copyfile copies a file without "
    "them."
)
APPROVED_TO_READ = "This path is approved for reading: the header asks for more with permissions.write."
EMPTY_RESTRICTED = (
    "The working folder of a run is empty at its start, and RESTRICTED scripts reach none of the host's files: hand a "
    "file over with --file NAME=PATH, ask for its path in permissions of the header, or run the script in ADMIN mode."
)
EMPTY_ADMIN = (
    "The working folder of a run is empty at its start: what lies beside the script is in Path(__file__).parent, other "
    "files of the host are reached by their whole path."
)
NO_DEVICE = "RESTRICTED scripts have no devices: the standard input is sys.stdin, or open(0)."
NETWORK = (
    "RESTRICTED scripts have no network: run the script in ADMIN mode, or hand over what it would fetch with "
    "--file NAME=PATH."
)
PROCESSES = "RESTRICTED scripts start no programs and no other processes: run the script in ADMIN mode."
DENIED = (
    "RESTRICTED does not give this: it starts no processes, sends no signals and changes nothing of the host. Run the "
    "script in ADMIN mode."
)
MACRO = (
    "A macro reaches no files, network, programs or input of the host: what it needs comes by the tag's parameters or "
    "by gatewright.documents."
)
LOCKS = (
    "A run may lock only files of its own, and SQLite locks what it opens. To read a live database, see "
    "documents/samples/live_sqlite.py; to write one, make it in the working folder and copy it with shutil.copyfile."
)

NOT_TAKEN = (
    "The script's entrypoint takes other parameters than the run was given: a parameter has one name for the run, in "
    "the header and in the function."
)

_FOR_RUNS = frozenset([FILES, EMPTY_RESTRICTED, NO_DEVICE, NETWORK, PROCESSES, DENIED, NOT_GIVEN])
"""What to do about it is nothing that the author of a macro can do: its calls have no options and no other mode."""

MOST_RELATED = 100

_GROUP = getattr(builtins, "BaseExceptionGroup", ())
"""What has other exceptions inside (PEP 654); nothing before 3.11."""

LOCK_REFUSED = "SQLITE_PERM"
"""What SQLite calls a lock that it may not have (https://www.sqlite.org/rescode.html)."""

_OUT_OF_REACH = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_STARTERS = ("subprocess.py", "pty.py", "os.py")
_UNRESOLVED = ("name resolution", "Name or service not known", "could not create socket", "Network is unreachable")
"""In messages of libraries that hide which call failed."""


class Circumstances:
    """What a run is given: by this its paths are told, and why something failed.

    Attributes:
        restricted: RESTRICTED mode.
        scripts: The folder that scripts lie in.
        granted: Approved paths; whether each may be written to.
        scratch: The working folder.
        stdin: Whether there is a standard input.
        macro: Calls of a macro are made, for documents.
    """

    __slots__ = ("granted", "macro", "restricted", "scratch", "scripts", "stdin")

    def __init__(self, *, restricted: bool, scripts: str = "", granted: Sequence[tuple[str, bool]] = ()) -> None:
        self.restricted = restricted
        self.scripts = scripts
        self.granted = granted
        self.scratch = "."
        self.stdin = False
        self.macro = False

    def hint(self, error: BaseException) -> str:
        """The sentence behind ``error``, by itself or by what it was raised from; empty where there is none."""
        try:
            for part in _related(error):
                if NOT_OWN in getattr(part, "__notes__", ()):
                    return NOT_OWN
                sentence = self._os_error(part) if isinstance(part, OSError) else self._other(part)
                if sentence:
                    return MACRO if self.macro and sentence in _FOR_RUNS else sentence
        except MemoryError:
            raise
        except BaseException:  # noqa: BLE001 - exceptions of scripts may raise in whatever is asked of them
            return ""
        return ""

    def _os_error(self, error: OSError) -> str:
        if error.args == (NOT_GIVEN,) or (error.errno == errno.EBADF and not self.stdin):
            return NOT_GIVEN
        if self.restricted and error.errno == errno.EPERM and _innermost_file(error).endswith("subprocess.py"):
            return PROCESSES  # with the program's path as its file name, where posix_spawn is used
        if isinstance(error.filename, (str, bytes)):
            return self._file(os.fsdecode(error.filename), error.errno) if error.errno in _OUT_OF_REACH else ""
        if not self.restricted:
            return ""
        raised_in = _innermost_file(error)
        name = os.path.basename(raised_in)
        if type(error).__name__ == "gaierror" or (error.errno == errno.EACCES and name == "socket.py"):
            return NETWORK
        if name in _STARTERS or f"{os.sep}multiprocessing{os.sep}" in raised_in:
            return PROCESSES
        if error.errno == errno.EPERM:
            return DENIED
        return FILES if error.errno == errno.ENOENT else self._other(error)

    def _file(self, path: str, number: int | None) -> str:
        place = os.path.normpath(os.path.join(self.scratch, path))
        if _is_within(place, self.scratch):
            missing = number == errno.ENOENT
            return (EMPTY_RESTRICTED if self.restricted else EMPTY_ADMIN) if missing else ""
        if not self.restricted:
            return ""
        if place in NAMES:
            return NO_DEVICE if self.stdin else NOT_GIVEN
        writable = [writable for granted, writable in self.granted if _is_within(place, granted)]
        if writable:
            return "" if number == errno.ENOENT or any(writable) else APPROVED_TO_READ
        if number == errno.ENOENT and any(
            _is_within(place, shown) for shown in (*sys.path, os.path.dirname(os.__file__))
        ):
            return ""
        return FILES

    def _other(self, error: BaseException) -> str:
        if not self.restricted:
            return ""
        text = str(error)
        kind = type(error)
        if getattr(error, "sqlite_errorname", None) == LOCK_REFUSED:
            return LOCKS
        if kind.__name__ == "OperationalError" and "unable to open database file" in text:
            return FILES
        if any(words in text for words in _UNRESOLVED):
            return NETWORK
        return ""


def add_note(error: BaseException, note: str) -> None:
    """Do as ``BaseException.add_note``, which came with 3.11 (PEP 678)."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        error.__notes__ = [*getattr(error, "__notes__", ()), note]


def _related(error: BaseException) -> Iterator[BaseException]:
    """``error``, then what it was raised from or has inside, nearest first."""
    todo, seen = [error], set[int]()
    while todo and len(seen) < MOST_RELATED:
        part = todo.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        inside = part.exceptions if isinstance(part, _GROUP) else ()
        found = (part.__cause__, part.__context__, getattr(part, "reason", None), *inside, *part.args)
        todo += [other for other in found if isinstance(other, BaseException)]


def _innermost_file(error: BaseException) -> str:
    """The file of the code that raised ``error``."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
