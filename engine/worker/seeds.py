"""What a package makes once for itself, such as a list of fonts, laid into a run's working folder before it looks.

Packages keep such files in ``~/.cache`` and make them again where there are none, in a run's folder each time. What the
engine has of them it had made in the sandbox (``engine/pool/seeds.py``); the folder with it may only be read.
"""

from __future__ import annotations

import os
import sys

CHUNK = 1 << 20


class Seeds:
    """A finder of ``sys.meta_path`` (PEP 451) that finds nothing: it learns by being asked what is imported.

    A module is imported once, so a run takes each of them once, and those of other modules cost it nothing.
    """

    def __init__(self, folder: str, home: str) -> None:
        """``folder`` has a folder for each module that looks for such files; ``home`` is where runs work."""
        self._folder = folder
        self._home = home
        self._modules = set(os.listdir(folder))
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 - PEP 451
        if name in self._modules:
            self._modules.remove(name)
            try:
                self._lay(name)
            except OSError:
                return  # the package makes its own

    def _lay(self, name: str) -> None:
        here = os.path.join(self._folder, name)
        there = os.path.join(self._home, ".cache", name.partition(".")[0])
        os.makedirs(there, exist_ok=True)
        for file in os.listdir(here):
            _copy(os.path.join(here, file), os.path.join(there, file))


def _copy(source: str, target: str) -> None:
    """Copy a file; one that is there is another's."""
    with open(source, "rb", 0) as read, open(target, "xb", 0) as written:
        while data := read.read(CHUNK):
            written.write(data)
