"""Which paths a RESTRICTED script may read: what its interpreter needs and nothing else.

The folders of the standard library and of installed packages, the folders that shared libraries come from, time zones,
and three harmless devices. Named one by one, never a whole prefix, a home or ``/usr``.
"""

from __future__ import annotations

import os
import sys

LOADER_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64")
"""Where the loader looks, on Debian's and on Red Hat's kind of systems (ld.so(8))."""

FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")

NULL = "/dev/null"
DEVICES = (NULL, "/dev/zero", "/dev/urandom")


def readable_paths(*packages: str) -> list[str]:
    """Return every path, as the interpreter names it; ``packages`` are folders that are not on its path yet."""
    own = os.path.dirname(os.path.abspath(__file__))
    imports = [path for path in (*sys.path, *packages) if path and os.path.abspath(path) != own]
    found = [os.path.dirname(os.__file__), *imports, *LOADER_FOLDERS, *_other_libraries(), *FILES]
    return [path for path in dict.fromkeys(found) if os.path.exists(path)]


def _other_libraries() -> list[str]:
    """The shared libraries beside those that are mapped from other folders than the loader's, file by file.

    An interpreter of its own prefix has its libraries in ``lib``, together with much else.
    """
    known = {os.path.realpath(folder) for folder in LOADER_FOLDERS}
    found = []
    for folder in _mapped_folders():
        if os.path.realpath(folder) not in known:
            found += [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if _is_library(name)]
    return found


def _mapped_folders() -> list[str]:
    """Where the libraries come from that this process has mapped (proc(5), /proc/pid/maps)."""
    folders: dict[str, None] = {}
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line[line.find("/") :].strip() if "/" in line else ""
            if _is_library(os.path.basename(path)) and os.path.exists(path):
                folders[os.path.dirname(path)] = None
    return list(folders)


def _is_library(name: str) -> bool:
    return name.startswith("lib") and (name.endswith(".so") or ".so." in name)
