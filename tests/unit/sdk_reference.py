"""Writes what is made from the text of the scripts' own API: its stub file and the reference in its help page.

    python tests/unit/sdk_reference.py

``test_sdk_reference.py`` fails while one of them is not what the text says.
"""

from __future__ import annotations

import ast
import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "engine" / "worker"
STUB = ROOT / "engine" / "foreign" / "gatewright.pyi"
PAGE = ROOT / "tui" / "help" / "scripts-api.md"
HEADING = "## Reference\n"

OURS = {"connect", "hold", "let_go"}
"""Methods that are not for scripts."""

STUB_HEAD = '''\
"""What scripts find by ``import gatewright``, for editors and type checkers. Made from the module itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_Records = list["Record"]

'''

OTHER_CLASSES = (("inputs.py", "InputFile"), ("buffers.py", "Buffers"))
"""Classes of objects that the module has, defined elsewhere."""


def parsed(name: str) -> ast.Module:
    return ast.parse((WORKER / name).read_text("utf-8"))


def public_names(module: ast.Module) -> list[str]:
    """Return ``__all__``."""
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise ValueError("the module has no __all__")


def instances(module: ast.Module) -> dict[str, str]:
    """Return the class of each name that is an object of one of the module's classes."""
    return {
        ast.unparse(node.targets[0]): ast.unparse(node.value)[:-2]
        for node in module.body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.value).startswith("_")
        and ast.unparse(node.value)[-2:] == "()"
    }


def classes(module: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}


def methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yield the methods that scripts call."""
    special = {"__call__", "__getitem__", "__contains__", "__iter__", "__len__"}
    for item in node.body:
        if (
            isinstance(item, ast.FunctionDef)
            and item.name not in OURS
            and (not item.name.startswith("_") or item.name in special)
        ):
            yield item


def signature(function: ast.FunctionDef, *, types: bool = True) -> str:
    """Return ``(key: str, default: Any = None) -> Any``, without ``self``."""
    arguments = ast.unparse(function.args)
    names = arguments.removeprefix("self").removeprefix(", ")
    if not types:
        bare = ast.parse(f"def f({names}): ...").body[0]
        assert isinstance(bare, ast.FunctionDef)
        for argument in (*bare.args.args, *bare.args.kwonlyargs, bare.args.vararg, bare.args.kwarg):
            if argument is not None:
                argument.annotation = None
        return f"({ast.unparse(bare.args)})"
    returned = "" if function.returns is None else f" -> {ast.unparse(function.returns)}"
    return f"({names}){returned}"


def annotations(module: ast.Module) -> dict[str, str]:
    """Return the type of each name that is annotated."""
    found = {}
    for node in module.body:
        if isinstance(node, ast.AnnAssign):  # "None" is for the type checker: a run has it
            found[ast.unparse(node.target)] = ast.unparse(node.annotation).removesuffix(" | None")
    return found


def told_of(module: ast.Module) -> dict[str, str]:
    """Return the text below each name that is annotated."""
    return {
        ast.unparse(node.target): following.value.value
        for node, following in itertools.pairwise(module.body)
        if isinstance(node, ast.AnnAssign)
        if isinstance(following, ast.Expr)
        if isinstance(following.value, ast.Constant) and isinstance(following.value.value, str)
    }


def stub() -> str:
    """Return the stub file's text."""
    module = parsed("sdk.py")
    objects, kinds, plain = instances(module), classes(module), annotations(module)
    parts = [
        "class Error(Exception):\n    code: str\n    message: str\n    hint: str | None\n",
        "class Record(dict[str, Any]):\n    def __getattr__(self, name: str) -> Any: ...\n",
    ]
    parts += [_stub_class(classes(parsed(file))[name]) for file, name in OTHER_CLASSES]
    parts += [_stub_class(kinds[kind]) for kind in objects.values()]
    names = [f"{name}: {objects.get(name) or plain[name]}" for name in public_names(module) if name not in kinds]
    return STUB_HEAD + "\n".join(parts) + "\n" + "\n".join(names) + "\n"


def _stub_class(node: ast.ClassDef) -> str:
    lines = [f"class {node.name}:"]
    if node.name == "InputFile":
        lines += ["    name: str", "    size: int", "    buffer: memoryview"]
    for method in methods(node):
        static = any(ast.unparse(each) == "staticmethod" for each in method.decorator_list)
        given = signature(method).replace("Records", "_Records").replace("-> list[Any]", "-> Sequence[Any]")
        head = f"    @staticmethod\n    def {method.name}" if static else f"    def {method.name}"
        arguments = given if static else given.replace("(", "(self, ", 1).replace("(self, )", "(self)")
        lines.append(f"{head}{arguments}: ...")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Return the reference part of the help page."""
    module = parsed("sdk.py")
    objects, kinds, told = instances(module), classes(module), told_of(module)
    parts = [HEADING]
    for name in public_names(module):
        if name in objects:
            parts.append(_section(f"gatewright.{name}", kinds[objects[name]]))
        elif name in kinds:
            parts.append(_section(f"gatewright.{name}", kinds[name]))
        elif name in told:
            parts.append("\n".join([f"### gatewright.{name}\n", *_paragraphs(told[name], ""), ""]))
    for file, kind in OTHER_CLASSES:
        title = "gatewright.buffers" if kind == "Buffers" else "a file of gatewright.files"
        parts.append(_section(title, classes(parsed(file))[kind]))
    return "\n".join(parts)


def _section(title: str, node: ast.ClassDef) -> str:
    name = title.rpartition(".")[2]
    lines = [f"### {title}\n", *_paragraphs(ast.get_docstring(node) or "", ""), ""]
    for method in methods(node):
        told = (ast.get_docstring(method) or "").split("\n\n")
        called = name if method.name == "__call__" else f"{name}.{method.name}"
        if method.name.startswith("__") and method.name != "__call__":
            continue
        lines.append(f"    {called}{signature(method, types=False)}\n".replace("file of gatewright.files.", "file."))
        text = " ".join(part for part in told if not part.startswith(("Args:", "Raises:")))
        if text:
            lines += [*_paragraphs(text, ""), ""]
    return "\n".join(lines)


def _paragraphs(text: str, indent: str) -> list[str]:
    plain = text.replace("``", "`")
    parts = [part for part in plain.split("\n\n") if not part.startswith(("Attributes:", "Args:", "Raises:"))]
    lines: list[str] = []
    for part in parts:
        lines += textwrap.wrap(" ".join(part.split()), 116, initial_indent=indent, subsequent_indent=indent)
    return lines


def main() -> None:
    STUB.write_text(stub(), "utf-8")
    head = PAGE.read_text("utf-8").partition(HEADING)[0]
    PAGE.write_text(head + reference(), "utf-8")


if __name__ == "__main__":
    main()
