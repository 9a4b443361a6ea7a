"""How a script comes by ``import gatewright``: loaded by the import itself, and from no file.

A child sees nothing of this folder. So the template keeps the compiled code, and only a run that imports it pays for
making modules of it.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    from .buffers import Buffers
    from .channel import Channel
    from .inputs import InputFile

NAME = "gatewright"

_CALLER = f"{__package__}.caller"


class OwnModule:
    """A finder and loader (PEP 451) of ``gatewright`` and of what it calls the engine with.

    It stands before all finders that look at files: a script or an installed package of that name is not found by it.
    """

    def __init__(self, channel: Channel, script: dict[str, Any], buffers: Buffers, files: dict[str, InputFile]) -> None:
        """``script`` is the dict of the script's globals; ``buffers`` and ``files`` will hold what it is handed."""
        self._channel = channel
        self._script = script
        self._handed = {"_buffers": buffers, "_files": files}
        self._code = {NAME: _code("sdk"), _CALLER: _code("caller")}
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - PEP 451
        loader: Any = self
        return ModuleSpec(name, loader, origin=NAME) if name in self._code else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the import system to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with what its code defines."""
        if module.__name__ == NAME:
            from .caller import Caller, CallRefused, asking  # by this finder, too

            caller = Caller(self._channel)
            given = {"_ask": asking(caller, self._channel), "_CallRefused": CallRefused, "_script": self._script}
            module.__dict__.update(given, **self._handed)
        exec(self._code[module.__name__], module.__dict__)  # noqa: S102 - of ours


def _code(name: str) -> CodeType:
    spec = PathFinder.find_spec(f"{__package__}.{name}", sys.modules[__package__].__path__)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name}.py is missing beside {__file__}")
    code: CodeType = spec.loader.get_code(spec.name)  # type: ignore[attr-defined]
    return code
