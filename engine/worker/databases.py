"""SQLite in a RESTRICTED run asks for one lock a file instead of a dozen a transaction.

Every lock is a call that waits for the lock broker, outside. SQLite has a way to open files for programs that know that
no other process uses them, "unix-excl" (sqlite.org/vfs.html): it locks a file once and then keeps the locks of its
connections to that file, in all threads, by itself, with the same rules. A run is one process, and nobody else sees its
scratch, so that is the truth of it. Files that are opened for reading only are locked as ever, and refused as ever.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

MODULE = "_sqlite3"
ONE_PROCESS = b"unix-excl"


def prepare() -> None:
    """Let whoever imports ``sqlite3`` first find it so. Nothing is loaded before."""
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Stands before the interpreter's own finders, and knows one module."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_choose(module: ModuleType) -> None:
                load(module)
                _choose(spec.origin)

            spec.loader.exec_module = load_and_choose  # type: ignore[method-assign]
        return spec


def _choose(library: str | None) -> None:
    """Make it the default of this process. An interpreter that hides its SQLite is merely slower."""
    try:
        sqlite = ctypes.CDLL(library)
        find, register = sqlite.sqlite3_vfs_find, sqlite.sqlite3_vfs_register
    except (AttributeError, OSError):
        return
    find.restype = ctypes.c_void_p
    found = find(ONE_PROCESS)
    if found:
        register(ctypes.c_void_p(found), 1)
