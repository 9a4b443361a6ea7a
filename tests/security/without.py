"""Taking one layer of the sandbox away, to see that the attacks find out.

Nothing in the product can do that. The worker is copied, the copy is changed in one place, and the engine of this
process starts its slots from the copy. It also looks away where it would refuse them, and notes what it would say.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from engine.pool import zygote
from engine.pool.isolation import Promise, UnfitChild, describe
from engine.sandbox.plan import PlannedLayers
from engine.sandbox.processes import WORKER, worker_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer, and how it is taken away.

    Attributes:
        unplanned: What of the plan is left out.
        file: A file of the worker.
        line: What is taken out of it; it must be there once.
        kept: What stands there instead.
        inherits: The slots get this process's environment.
        tried: Beginnings of the names of attacks that could find out.
    """

    tried: tuple[str, ...]
    unplanned: dict[str, Any] | None = None
    file: str = ""
    line: str = ""
    kept: str = ""
    inherits: bool = False


EVERY_LAYER = "(nothing)"

LAYERS = {
    EVERY_LAYER: Layer(tried=("files", "writes", "write_grant", "own_files", "locks", "network", "processes",
                              "introspection", "kernel_surface", "memory-", "resources", "leftovers")),
    "namespaces": Layer(
        unplanned={"userns": False, "pidns": False, "view": False, "locks": False},
        tried=("files", "processes", "leftovers"),
    ),
    "view": Layer(unplanned={"view": False}, tried=("files", "writes", "own_files-library")),
    "Landlock": Layer(unplanned={"landlock": 0}, tried=("files", "writes", "write_grant")),
    "outer filter": Layer(
        file="template.py", line="        _filter_calls(config, scratch)\n", kept="        pass\n",
        tried=("network", "processes", "write_grant", "locks", "kernel_surface"),
    ),
    "inner filter": Layer(
        file="layers.py", line="    _limits,\n    _inner_filter,\n", kept="    _limits,\n",
        tried=("processes", "kernel_surface"),
    ),
    "capabilities": Layer(
        file="layers.py", line="    _capabilities,\n    _limits,\n", kept="    _limits,\n", tried=("kernel_surface",)
    ),
    "limits": Layer(
        file="layers.py", line="    _limits,\n    _inner_filter,\n", kept="    _inner_filter,\n",
        tried=("memory-", "resources"),
    ),
    "environment": Layer(inherits=True, tried=("introspection",)),
    "descriptors": Layer(
        file="layers.py", kept="    if False:\n", tried=("files-every", "introspection"),
        line="    if not kernel.close_from(RUN_FD + 1):\n",
    ),
}  # fmt: skip
"""Those that the documents name, and the control: the engine looks away, and every layer is there."""


class Without:
    """This process's engine without one layer, from here on.

    Attributes:
        settings: Of its pools, made from those that have every layer.
        noticed: What the engine would have refused its slots for.
    """

    def __init__(self, name: str, folder: Path, settings: dict[str, Any]) -> None:
        layer = LAYERS[name]
        self.noticed: set[str] = set()
        self.settings = settings
        if layer.unplanned is not None:
            plan = settings["restricted"]
            layers = msgspec.convert(msgspec.to_builtins(plan.layers) | layer.unplanned, PlannedLayers)
            self.settings = settings | {"restricted": replace(plan, layers=layers)}
        if layer.file:
            _patch(zygote, "ENTRY", _changed_copy(layer, folder) / "__main__.py")
        if layer.inherits:
            _patch(zygote, "worker_environment", lambda: worker_environment() | dict(os.environ))
        self._whole = settings["restricted"]
        _patch(Promise, "of", self._of)
        _patch(Promise, "check", self._check(Promise.check))

    def _of(self, plan: Any, ready: Any, *, own_files: bool, of: Callable[..., Promise] = Promise.of) -> Promise:
        """Believe a template that it has what was planned, and note what is known better."""
        try:
            of(self._whole, ready, own_files=own_files)
        except UnfitChild as problem:
            self.noticed.add(str(problem))
        return Promise(plan, ready)

    def _check(self, check: Callable[..., str]) -> Callable[..., str]:
        def believe(promise: Promise, *hello: Any) -> str:
            try:
                check(replace(promise, plan=self._whole), *hello)
            except UnfitChild as problem:
                self.noticed.add(str(problem))
            return describe(promise.plan)

        return believe


def _changed_copy(layer: Layer, folder: Path) -> Path:
    copy = Path(shutil.copytree(WORKER, folder / "worker", ignore=shutil.ignore_patterns("__pycache__")))
    text = (copy / layer.file).read_text()
    if text.count(layer.line) != 1:
        raise AssertionError(f"{layer.file} does not hold {layer.line!r} once")
    (copy / layer.file).write_text(text.replace(layer.line, layer.kept))
    return copy


def _patch(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)
