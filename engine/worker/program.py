"""A script's run inside the child: its ``__main__`` module, the four kinds, its end, and nothing of it left behind."""

from __future__ import annotations

import atexit
import builtins
import gc
import io
import json
import linecache
import os
import resource
import sys
import traceback
from functools import partial
from types import ModuleType

from .failures import failure, plain_failure
from .imports import guarded_import
from .results import ResultTooLarge, encode_result, with_note
from .returned import named_files, send_files
from .wire import RUN, Frame, SourceKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import CodeType
    from typing import Any

    from .channel import Channel
    from .imports import ImportRule
    from .inputs import InputFile

    Steps = Generator["Step", None, "Any"]


class Step:
    """A call into what a script brought. Whoever takes the steps makes it and notes its value or its error.

    ``__main__.py`` does so in the first frame of the process. A call made here would show the script, by ``f_back``,
    all frames that led to it.
    """

    __slots__ = ("call", "error", "value")

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.value: object = None
        self.error: BaseException | None = None

    def outcome(self) -> object:
        """Return the value or raise the error, and keep neither: what the script held must be able to go."""
        value, error = self.value, self.error
        self.value = self.error = None
        if error is None:
            return value
        try:
            raise error
        finally:
            del error


def take_steps(steps: Steps) -> bytes:
    """Make every call from here and return what comes of it all: for rehearsals, which have no script to show it to."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: bytes = end.value
            return result
        try:
            step.value = step.call()
        except BaseException as error:  # noqa: BLE001 - as in __main__.py
            step.error = error


def _apart(call: Callable[[], object]) -> Steps:
    """Have ``call`` made by whoever takes the steps; its value is returned, its error raised."""
    step = Step(call)
    yield step
    return step.outcome()


class RunFrame:
    """A RUN frame, taken apart."""

    __slots__ = ("cpu", "file_limit", "filename", "head", "kind", "result_limit", "source")

    def __init__(self, payload: bytes) -> None:
        self.kind, self.cpu, self.result_limit, self.file_limit, name_size, head_size = RUN.unpack_from(payload)
        head_start = RUN.size + name_size
        source_start = head_start + head_size
        self.filename = payload[RUN.size : head_start].decode()
        self.head: dict[str, Any] = json.loads(payload[head_start:source_start]) if head_size else {}
        self.source = payload[source_start:]


class _Stop(Exception):
    """The run ends with this RESULT payload."""

    def __init__(self, result: bytes) -> None:
        self.result = result


class Program:
    """Made and warmed by the template, used for one script by each child."""

    def __init__(self, channel: Channel, rule: ImportRule | None) -> None:
        self.channel = channel
        self.scratch = "."
        self._module = ModuleType("__main__")
        self._globals = self._module.__dict__
        self._builtins = _own_builtins(rule)
        self._recursion_limit = sys.getrecursionlimit()
        self._exit_callbacks = atexit._ncallbacks()
        self.reset()

    def reset(self) -> None:
        """Make ``__main__`` new: nothing of a warm-up stays visible."""
        self._files: list[str] = []
        self._globals.clear()
        self._globals.update(
            __name__="__main__",
            __doc__=None,
            __package__=None,
            __loader__=None,
            __spec__=None,
            __builtins__=self._builtins,
            params={},
            args=[],
            kwargs={},
        )
        sys.modules["__main__"] = self._module
        sys.modules["builtins"] = self._builtins
        linecache.cache.clear()
        self.channel.forget()

    def run(self, request: RunFrame, files: dict[str, InputFile]) -> Steps:
        """Run the script to its end and return the payload of its RESULT frame. Never raises."""
        pid = os.getpid()
        try:
            result: bytes = yield from self._outcome(request, files)
            sys.setrecursionlimit(self._recursion_limit)
            if os.getpid() != pid:
                self._leave_fork()
            self._finalise()
            if self._files:
                result = with_note(result, send_files(self.channel, self.scratch, self._files, request.file_limit))
        except BaseException as error:  # noqa: BLE001 - whatever a script can still raise while it is being ended
            return plain_failure(type(error).__name__, "The script failed while it was being ended.")
        return result

    def _outcome(self, request: RunFrame, files: dict[str, InputFile]) -> Steps:
        try:
            value = yield from self._evaluate(request, files)
            return self._success(value, request.result_limit)
        except _Stop as stop:
            return stop.result
        except ResultTooLarge as error:
            return plain_failure("ResultTooLarge", str(error))
        except SystemExit as leaving:
            return self._exited(leaving, request.result_limit)
        except MemoryError as error:
            return self._out_of_memory(error, request.filename)
        except BaseException as error:  # noqa: BLE001 - the script's failure is the run's outcome
            sys.setrecursionlimit(self._recursion_limit)
            try:
                return failure(error, request.filename)
            except MemoryError as second:
                return self._out_of_memory(second, request.filename)

    def _success(self, value: object, result_limit: int) -> bytes:
        result = encode_result(value, result_limit)
        if isinstance(value, dict):
            self._files = named_files(value)
        return result

    def _evaluate(self, request: RunFrame, files: dict[str, InputFile]) -> Steps:
        if request.head:
            self._bind(request.head, files)
        if request.kind == SourceKind.CALL:
            return (yield from self._call(request.head))
        code = self._compile(request)
        if request.kind == SourceKind.EVAL:
            return (yield from _apart(partial(eval, code, self._globals)))
        yield from _apart(partial(exec, code, self._globals))
        entrypoint = request.head.get("entrypoint") if request.head else None
        if entrypoint is not None:
            return (yield from self._enter(entrypoint))
        return self._globals.get("result")

    def _bind(self, head: dict[str, Any], files: dict[str, InputFile]) -> None:
        self._globals.update(head.get("variables", {}))
        for name in ("params", "args", "kwargs"):
            if name in head:
                self._globals[name] = head[name]
        self._globals["params"].update(files)

    def _compile(self, request: RunFrame) -> CodeType:
        """Compile the text, never its bytes: of those Python would read a declared encoding (PEP 263).

        What ran would then be another text than the one that people read and approved.
        """
        source, filename, mode = request.source, request.filename, "exec"
        if request.kind == SourceKind.EVAL:
            source, mode = source.strip(), "eval"
        try:
            text = source.decode()
        except UnicodeDecodeError as error:
            line = source.count(b"\n", 0, error.start) + 1
            raise _bad_source(f"The code is not UTF-8 in line {line}.", filename, line) from None
        if (nul := source.find(b"\0")) >= 0:
            line = source.count(b"\n", 0, nul) + 1
            sentence = f"The code holds a NUL character in line {line}; Python source cannot."
            raise _bad_source(sentence, filename, line)
        text = text.removeprefix("\ufeff")  # as the interpreter does with a file's byte order mark
        # Lines as Python counts them: str.splitlines would end them at form feeds and U+2028, too.
        lines = io.StringIO(text, newline=None).readlines()
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"  # as linecache does: traceback places its carets by it
        linecache.cache[filename] = (len(source), None, lines, filename)
        return compile(text, filename, mode, dont_inherit=True)

    def _call(self, head: dict[str, Any]) -> Steps:
        module = head["module"]
        yield from _apart(partial(self._builtins.__dict__["__import__"], module))
        target: Any = sys.modules[module]
        for part in head["function"].split("."):
            target = getattr(target, part)
        return (yield from _apart(partial(target, *head.get("args", ()), **head.get("kwargs", {}))))

    def _enter(self, name: str) -> Steps:
        function = self._globals.get(name)
        if not callable(function):
            raise _Stop(
                plain_failure(
                    "EntrypointError", f"The script defines no function {name!r}, which is named as its entrypoint."
                )
            )
        return (yield from _apart(partial(function, **self._globals["params"])))

    def _exited(self, leaving: SystemExit, result_limit: int) -> bytes:
        """What ``sys.exit`` means, as the interpreter itself reads it."""
        code = leaving.code
        if code is None or (isinstance(code, int) and code == 0):
            try:
                return self._success(self._globals.get("result"), result_limit)
            except ResultTooLarge as error:
                return plain_failure("ResultTooLarge", str(error))
        if isinstance(code, int):
            return plain_failure("SystemExit", f"exit status {int(code)}")
        self.channel.put(Frame.ERR, f"{code}\n".encode("utf-8", "backslashreplace"))
        return plain_failure("SystemExit", "exit status 1")

    def _out_of_memory(self, error: MemoryError, filename: str) -> bytes:
        """Free what the script held, take the reserve, then tell it."""
        traceback.clear_frames(error.__traceback__)
        error.__context__ = None
        self._globals.clear()
        gc.collect()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        try:
            return failure(error, filename, "memory")
        except MemoryError:
            return plain_failure("MemoryError", "", outcome="memory")

    def _leave_fork(self) -> None:
        """A process that the script forked has come to the script's end too: it has no say in the result."""
        self.channel.flush_all()
        os._exit(0)

    def _finalise(self) -> None:
        """End the script as the interpreter would: exit callbacks, then its globals, so that open files are written."""
        self.channel.mute_other_threads()
        if atexit._ncallbacks() != self._exit_callbacks:
            atexit._run_exitfuncs()
        self._globals.clear()
        # All that is not frozen. The oldest generation is empty unless a younger one was collected before, and looking
        # at it would drop the interpreter's free lists: pages to copy when they fill again.
        gc.collect(2 if gc.get_count()[2] else 1)


def _bad_source(sentence: str, filename: str, line: int) -> _Stop:
    return _Stop(plain_failure("SyntaxError", sentence, filename=filename, line=line))


def _own_builtins(rule: ImportRule | None) -> ModuleType:
    """The ``builtins`` that scripts see: a copy, so that one who patches ``len`` patches neither us nor the library.

    Its ``__import__`` judges what the script itself asks for; modules import with the real one.
    """
    copy = ModuleType("builtins", builtins.__doc__)
    copy.__dict__.update(builtins.__dict__)
    if rule is not None:
        copy.__dict__["__import__"] = guarded_import(builtins.__import__, rule)
    return copy
