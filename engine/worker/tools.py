"""Reading a script's text without running it: syntax errors, functions, imports. Runs in the tools child.

The compiler is C code that was never meant for hostile input: it may take minutes, hundreds of megabytes or a crash.
So nobody else calls it on a user's text. What this returns is small whatever the text is: every list and string has a
cap. Only the tools child imports this module; it costs the others no memory.
"""

from __future__ import annotations

import ast
import re
import warnings
from binascii import b2a_base64
from itertools import islice

from .imports import origin_of
from .shared_code import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

MAX_PROBLEMS = 50
MAX_FUNCTIONS = 500
MAX_PARAMS = 100
MAX_ALL_PARAMS = 1000
"""Of all functions together."""
MAX_IMPORTS = 200
MAX_PARTS = 50
"""Names that one import statement takes out of a module."""
MAX_ALL_PARTS = 500
MAX_NAME = 80
MAX_SOURCE = 80
"""Characters of an annotation or a default."""
MAX_SUMMARY = 200
MAX_MESSAGE = 500

FILENAME = "<script>"
BOM = "\ufeff"

_LINE_END = re.compile(r"\r\n|\r|\n")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
if TYPE_CHECKING:
    _Function = ast.FunctionDef | ast.AsyncFunctionDef


def examine(text: str, entrypoint: str = "") -> dict[str, Any]:
    """What a script's text holds, as JSON can carry it.

    Args:
        text: The script.
        entrypoint: The function that its frontmatter names: listed whatever the caps are.

    Returns:
        ``problems``, ``functions`` and ``imports`` as ``engine.models`` has them, but each import as its whole name and
        parts, with the line of its first mention and where this interpreter has it from; ``listed``: whether the text
        was parsed, so that the latter two count; ``entrypoint``: ``function``, ``async``, ``generator``, ``other``
        (bound to something whose parameters cannot be read), ``missing``, or nothing if none was named; ``guard``: the
        line of an ``if __name__ == "__main__":`` at the top level, 0 if there is none; ``guard_calls``: whether the
        entrypoint is named below it.
    """
    script = _Script(text)
    code = script.compile()
    tree = script.parse() if code is not None else None
    problems = sorted(script.problems, key=lambda problem: problem["severity"] != "error")[:MAX_PROBLEMS]
    report: dict[str, Any] = {"problems": problems, "functions": [], "imports": [], "guard": 0, "guard_calls": False}
    if code is None or tree is None:
        return {**report, "listed": False, "entrypoint": ""}
    definitions = {node.name: node for node in tree.body if isinstance(node, _FUNCTIONS)}
    guard = next(filter(_is_guard, tree.body), None)
    return {
        **report,
        "functions": script.functions(definitions, entrypoint),
        "imports": _imports(tree),
        "listed": True,
        "guard": guard.lineno if guard is not None else 0,
        "guard_calls": guard is not None and _names(guard, entrypoint),
        "entrypoint": _standing(entrypoint, definitions.get(entrypoint), code) if entrypoint else "",
    }


def compile_shared(text: str, path: str) -> str:
    """Compile a file of the shared code, for the processes of runs that import it.

    Raises as ``compile`` does: such a run then compiles the text itself, and has the traceback.

    Args:
        text: What the file holds.
        path: Its name in tracebacks.

    Returns:
        What ``shared_code.compiled`` makes of it, in base 64.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return b2a_base64(compiled(text, path), newline=False).decode("ascii")


class _Script:
    """A text on its way through the compiler, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.problems: list[dict[str, Any]] = []
        self._bom = text.startswith(BOM)
        self._text = text.removeprefix(BOM)  # as the interpreter does with a file's
        self._lines = _LINE_END.split(self._text)

    def compile(self) -> CodeType | None:
        """The text as code; None when it cannot be any, and ``problems`` says why."""
        if (nul := self._text.find("\0")) >= 0:
            self._wrong("The text holds a NUL character; Python source cannot.", *self._place(nul))
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", SyntaxWarning)
                warnings.showwarning = lambda message, _category, _file, line, *_: self._warned(str(message), line)
                code = compile(self._text, FILENAME, "exec", dont_inherit=True)
        except SyntaxError as error:
            self._syntax_error(error)
        except UnicodeEncodeError as error:
            self._wrong("The text holds a lone surrogate, which UTF-8 cannot carry.", *self._place(error.start))
        except (RecursionError, MemoryError):
            self._wrong("The text is nested too deeply, or too large, to be compiled.")
        except (ValueError, OverflowError) as error:
            self._wrong(f"The text cannot be compiled: {one_line(str(error), MAX_MESSAGE)}.")
        else:
            return code
        return None

    def parse(self) -> ast.Module | None:
        """The text as a tree; None, with a warning, when it is too large for one although it compiles."""
        try:
            return self._tree()
        except (RecursionError, MemoryError):
            self._wrong("The text is too large to list its functions and imports.", severity="warning")
            return None

    def functions(self, definitions: dict[str, _Function], entrypoint: str) -> list[dict[str, Any]]:
        """The functions at the top level, of equal names the last, as far as the caps go; ``entrypoint`` always."""
        chosen = sorted(definitions.values(), key=lambda node: node.name != entrypoint)[:MAX_FUNCTIONS]
        found, budget = [], MAX_ALL_PARAMS
        for node in chosen:
            params = list(islice(self._params(node.args), MAX_PARAMS))
            budget -= len(params)
            if budget < 0:
                break
            name, summary = one_line(node.name, MAX_NAME), _summary(node)
            found.append({"name": name, "line": node.lineno, "params": params, "summary": summary})
        return sorted(found, key=lambda function: function["line"])

    def _tree(self) -> ast.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(self._text, FILENAME)

    def _params(self, arguments: ast.arguments) -> Iterator[dict[str, Any]]:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
        for number, (argument, default) in enumerate(zip(positional, defaults)):
            only = number < len(arguments.posonlyargs)
            yield self._param(argument, "positional_only" if only else "positional_or_keyword", default)
        if arguments.vararg:
            yield self._param(arguments.vararg, "var_positional", None, required=False)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
            yield self._param(argument, "keyword_only", default)
        if arguments.kwarg:
            yield self._param(arguments.kwarg, "var_keyword", None, required=False)

    def _param(
        self, argument: ast.arg, kind: str, default: ast.expr | None, *, required: bool = True
    ) -> dict[str, Any]:
        return {
            "name": one_line(argument.arg, MAX_NAME),
            "kind": kind,
            "required": required and default is None,
            "annotation": self._source(argument.annotation),
            "default": self._source(default),
        }

    def _source(self, node: ast.expr | None) -> str:
        """An expression as it is written, of several lines the first. ``ast.unparse`` fails on what is deep or huge."""
        if node is None:
            return ""
        line = self._lines[node.lineno - 1]
        if node.end_lineno == node.lineno:
            return one_line(_cut(line, node.col_offset, node.end_col_offset), MAX_SOURCE)
        return one_line(_cut(line, node.col_offset, None), MAX_SOURCE - 2) + " …"

    # -- problems ----------------------------------------------------------------------------------------------------

    def _syntax_error(self, error: SyntaxError) -> None:
        line = error.lineno or 1
        text = self._line_at(line)
        in_bytes = not text.isascii() and not self._parser_says_so()
        column = _column(text, error.offset, in_bytes=in_bytes)
        # Python before 3.10 knows no end.
        end_line, end_offset = getattr(error, "end_lineno", None), getattr(error, "end_offset", None)
        end_column = None
        if end_line and end_offset and end_offset > 0:
            end_column = _column(self._line_at(end_line), end_offset, in_bytes=in_bytes)
        else:
            end_line = None
        self._wrong(one_line(error.msg or type(error).__name__, MAX_MESSAGE), line, column, end_line, end_column)

    def _parser_says_so(self) -> bool:
        """Whether the error is the parser's, who counts a line's characters. The stages after it count bytes."""
        try:
            self._tree()
        except SyntaxError:
            return True
        except (RecursionError, MemoryError):
            return False
        return False

    def _warned(self, message: str, line: int) -> None:
        """Keep a compiler's warning once: it comes twice for what is compiled twice, as a finally block is."""
        sentence = one_line(message, MAX_MESSAGE)
        known = any(problem["message"] == sentence and problem["line"] == line for problem in self.problems)
        if len(self.problems) < MAX_PROBLEMS and not known:
            text = self._line_at(line)
            self._wrong(sentence, line, len(text) - len(text.lstrip()), severity="warning")

    def _wrong(
        self,
        message: str,
        line: int = 1,
        column: int = 0,
        end_line: int | None = None,
        end_column: int | None = None,
        severity: str = "error",
    ) -> None:
        """Keep a problem, its place moved to one that the text has."""
        line, column = self._clamped(line, column)
        if end_line is not None:
            end_line, end_column = self._clamped(end_line, end_column or 0)
            if (end_line, end_column) <= (line, column):
                end_line = end_column = None
        problem = {"message": message, "line": line, "column": column, "severity": severity}
        self.problems.append({**problem, "end_line": end_line, "end_column": end_column})

    def _clamped(self, line: int, column: int) -> tuple[int, int]:
        line = min(max(line, 1), len(self._lines))
        column = min(max(column, 0), len(self._lines[line - 1]))
        return line, column + (self._bom and line == 1)

    def _line_at(self, line: int) -> str:
        return self._lines[line - 1] if 1 <= line <= len(self._lines) else ""

    def _place(self, index: int) -> tuple[int, int]:
        """Line and column of the character at ``index``."""
        before = _LINE_END.split(self._text[:index])
        return len(before), len(before[-1])


def _standing(entrypoint: str, node: _Function | None, code: CodeType) -> str:
    """What a call of ``entrypoint`` would find. A decorator may have put anything in the function's place."""
    if node is not None and not node.decorator_list:
        if _yields(node):
            return "generator"
        return "async" if isinstance(node, ast.AsyncFunctionDef) else "function"
    known = node is not None or entrypoint in code.co_names or _imports_everything(code)
    return "other" if known else "missing"


def _yields(function: _Function) -> bool:
    """Whether a function's own body holds a ``yield``: calling it runs none of its lines then."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)
    return False


def _is_guard(node: ast.stmt) -> bool:
    """Whether this is an ``if __name__ == "__main__":``, either way round."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare) or len(node.test.ops) != 1:
        return False
    sides = (node.test.left, node.test.comparators[0])
    return (
        isinstance(node.test.ops[0], ast.Eq)
        and any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
        and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)
    )


def _names(tree: ast.AST, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _imports_everything(code: CodeType) -> bool:
    """Whether the module level has ``from x import *``, or may bind names by another way than by writing them."""
    return any(name in code.co_names for name in ("globals", "exec", "vars", "locals", "setattr")) or any(
        constant == ("*",) for constant in code.co_consts
    )


def _imports(tree: ast.Module) -> list[dict[str, Any]]:
    """Every module that the text asks for by its absolute name and what it takes out of it, with its first line."""
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found: list[tuple[str, tuple[str, ...]]] = [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found = [(node.module, tuple(one_line(alias.name, MAX_NAME) for alias in node.names[:MAX_PARTS]))]
        else:
            continue
        for asked in found:
            first[asked] = min(node.lineno, first.get(asked, node.lineno))
    listed, budget = [], MAX_ALL_PARTS
    for (name, parts), line in sorted(first.items(), key=lambda item: (item[1], item[0]))[:MAX_IMPORTS]:
        budget -= len(parts)
        listed.append(
            {
                "name": one_line(name, MAX_NAME),
                "line": line,
                "parts": parts if budget >= 0 else (),
                "origin": origin_of(name.partition(".")[0]),
            }
        )
    return listed


def _summary(node: _Function) -> str:
    """The first line of a docstring. (Not cleaned by ``ast``, which would import ``inspect`` for it.)"""
    docstring = (ast.get_docstring(node, clean=False) or "").lstrip()
    return one_line(docstring.partition("\n")[0], MAX_SUMMARY)


def _cut(line: str, start: int, stop: int | None) -> str:
    """A part of a line, from where to where in bytes of UTF-8, as trees count."""
    return line[start:stop] if line.isascii() else line.encode()[start:stop].decode("utf-8", "replace")


def _column(text: str, offset: int | None, *, in_bytes: bool) -> int:
    """A column from 0 in characters, from an offset from 1 in characters or in bytes of UTF-8."""
    column = max((offset or 1) - 1, 0)
    if not in_bytes:
        return column
    return len(text.encode("utf-8", "replace")[:column].decode("utf-8", "ignore"))


def one_line(text: str, limit: int) -> str:
    """The beginning of ``text`` as one line of printable characters."""
    line = " ".join(text[: 4 * limit].split())
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return line if line.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in line)
