"""The project's shared code in a child: modules below ``lib``, from the texts that came with the run and from no file.

What a run was judged by is what it imports. A module that did not come along is not found, whatever lies on a disk.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceLoader, _LoaderBasics
from types import ModuleType

from .ending import clear_globals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import Any

CODE_HEADER = MAGIC_NUMBER + sys.version.encode()
"""Ahead of code that was compiled before. Another interpreter could crash at it, and compiles the text instead."""


class SharedCode:
    """A finder of ``sys.meta_path`` (PEP 451), before all others: an installed package ``lib`` is found by no run.

    It stands there before a run begins, so that runs without shared code do nothing for it.
    """

    def __init__(self, builtins: ModuleType) -> None:
        """``builtins`` are those of the script: what it may import is what its shared code may."""
        sys.meta_path.insert(0, self)
        self._builtins = builtins
        self._folder = ""
        self._files: dict[str, tuple[str, bool, memoryview, memoryview]] = {}

    def take(self, listed: tuple[int, str, Sequence[Sequence[Any]]], data: bytes) -> bytes:
        """Take the files that follow a script's source in a RUN, and return the source.

        Args:
            listed: How many bytes the source has; the scripts' folder; and of each module its name, its file's path
                (nothing for a folder without ``__init__.py``), whether it is a package, and how many bytes its text
                and its compiled code have.
            data: The source, then text and code of each module.
        """
        source_size, self._folder, modules = listed
        start = source_size
        view = memoryview(data)  # the less is copied, the fewer pages this process touches for the first time
        files = self._files
        for name, path, package, text_size, code_size in modules:
            text_end = start + text_size
            files[name] = path, package, view[start:text_end], view[text_end : text_end + code_size]
            start = text_end + code_size
        return data[:source_size]

    @property
    def paths(self) -> frozenset[str]:
        """The files' own names, as tracebacks show them."""
        return frozenset(path for path, *_ in self._files.values() if path)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - PEP 451
        found = self._files.get(name)
        if found is None:
            if name[:3] == "lib" and (len(name) == 3 or name[3] == "."):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)  # nor may another finder look for it
            return None
        file, package, text, code = found
        if not file:
            return ModuleSpec(name, None, is_package=True)
        kind: Any = _CompiledLoader if code[: len(CODE_HEADER)] == CODE_HEADER else _TextLoader
        return _FileSpec(name, kind(self._builtins, self._folder, file, text, code), origin=file, is_package=package)

    def clear(self) -> None:
        """Let the modules' globals go, as at an interpreter's end: files that they hold open are written."""
        for name in reversed(self._files):
            module = sys.modules.get(name)
            if module is not None:
                clear_globals(module.__dict__)


class _FileSpec(ModuleSpec):
    """Of a module with a text. It has a file's name, and no compiled file, whose name would take time to make up."""

    cached = None
    has_location = True


class _Loader(_LoaderBasics):
    """One file. What executes a module is importlib's own code, so no frame of ours is below the module's."""

    def __init__(self, builtins: ModuleType, folder: str, path: str, text: memoryview, code: memoryview) -> None:
        self.path = path
        self._folder = folder
        self._builtins = builtins
        self._text = text
        self._code = code

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__dict__["__builtins__"] = self._builtins
        if self._folder:  # where a script looks for what lies beside it; tracebacks have the path that people know
            module.__dict__["__file__"] = f"{self._folder}/{self.path}"
        return module

    def get_filename(self, name: str) -> str:  # noqa: ARG002 - as importlib.abc.ExecutionLoader has it
        return self.path

    def get_source(self, name: str) -> str:  # noqa: ARG002 - as importlib.abc.InspectLoader has it
        """Return the text, for tracebacks and ``inspect``."""
        return str(self._text, "utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


class _CompiledLoader(_Loader):
    def get_code(self, name: str) -> CodeType:  # noqa: ARG002 - as importlib.abc.InspectLoader has it
        code: CodeType = marshal.loads(self._code[len(CODE_HEADER) :])  # noqa: S302 - as below
        return code


class _TextLoader(_Loader, SourceLoader):
    """Compiled here, by importlib's ``source_to_code``: where a text is wrong, Python's own traceback is shown."""

    def get_data(self, path: str) -> str:  # noqa: ARG002 - as SourceLoader has it
        """Return the text, decoded: of bytes Python would read a declared encoding (PEP 263)."""
        return str(self._text, "utf-8").removeprefix("\ufeff")

    def path_stats(self, path: str) -> Any:  # noqa: ANN401, ARG002 - as SourceLoader has it
        raise OSError  # no file, so no compiled one beside it


def compiled(text: str, path: str) -> bytes:
    """Compile a file's text to what ``_CompiledLoader`` takes. For the tools child, which runs no script."""
    return CODE_HEADER + marshal.dumps(compile(text.removeprefix("\ufeff"), path, "exec", dont_inherit=True))


def code_of(data: bytes) -> CodeType | None:
    """Return the code that ``compiled`` made a text into; None where that has not happened, or elsewhere."""
    if data[: len(CODE_HEADER)] != CODE_HEADER:
        return None
    code: CodeType = marshal.loads(data[len(CODE_HEADER) :])  # noqa: S302 - of the tools child, by way of the engine
    return code
