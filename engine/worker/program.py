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
from .hints import NOT_TAKEN
from .imports import guarded_import
from .results import ResultTooLarge, encode_head, encode_result, with_note
from .returned import named_files, send_files
from .shared_code import SharedCode
from .standard_input import ASKED, ASKED_ANSWER
from .wire import RUN, Frame, SourceKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    from .channel import Channel
    from .hints import Circumstances
    from .imports import ImportRule
    from .inputs import InputFile
    from .standard_input import NoInput

    Call = Callable[[], object]
    """A call into what a script brought."""


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


_WHILE_ENDING = "The script failed while it was being ended."


class _Stop(Exception):
    """The run ends with this RESULT payload."""

    def __init__(self, result: bytes) -> None:
        self.result = result


class _Stage:
    """What the call that is under way is for."""

    CODE, IMPORT, VALUE = range(3)


class Program:
    """Made and warmed by the template, used for one script by each child.

    Attributes:
        value: What the call that ``begin`` or ``go_on`` returned has returned.
        error: What it raised instead.
    """

    def __init__(self, channel: Channel, rule: ImportRule | None, around: Circumstances, no_input: NoInput) -> None:
        self.channel = channel
        self.around = around
        self._no_input = no_input
        self._module = ModuleType("__main__")
        self._globals = self._module.__dict__
        self._builtins = _own_builtins(rule)
        self._shared = SharedCode(self._builtins)
        self._recursion_limit = sys.getrecursionlimit()
        self._exit_callbacks = atexit._ncallbacks()
        self.value: object = None
        self.error: BaseException | None = None
        self._result = b""
        self._stage = _Stage.CODE
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

    def run(self, request: RunFrame, files: dict[str, InputFile]) -> bytes:
        """Run the script to its end and return the payload of its RESULT frame. Never raises.

        All calls are made from here: for rehearsals, which have no script that could look at the frames below its own.
        """
        call = self.begin(request, files)
        while call is not None:
            try:
                self.value = call()
            except BaseException as error:  # noqa: BLE001 - the script's failure is the run's outcome
                self.error = error
            call = self.go_on()
        return self.end()

    def begin(self, request: RunFrame, files: dict[str, InputFile]) -> Call | None:
        """Prepare a run and return its first call, to be made by the caller; None if there is nothing to call."""
        self._request, self._pid = request, os.getpid()
        try:
            if request.kind == SourceKind.SCRIPT:
                self._globals["__file__"] = sys.argv[0] = f"{self.around.scripts}/{request.filename}"
            if request.head:
                if "shared" in request.head:
                    request.source = self._shared.take(request.head["shared"], request.source)
                self._bind(request.head, files)
            if request.kind == SourceKind.CALL:
                self._stage = _Stage.IMPORT
                return partial(self._builtins.__dict__["__import__"], request.head["module"])
            code = self._compile(request)
            if request.kind == SourceKind.EVAL:
                self._stage = _Stage.VALUE
                return partial(eval, code, self._globals)
            self._stage = _Stage.CODE
            return partial(exec, code, self._globals)
        except BaseException as error:  # noqa: BLE001 - as in ``run``
            self._fail(error)
        return None

    def go_on(self) -> Call | None:
        """Take ``value`` or ``error`` of the call and return the next one; None if there is no more.

        Neither is kept: what the script held must be able to go.
        """
        value, error = self.value, self.error
        self.value = self.error = None
        try:
            if error is not None:
                self._fail(error)
                return None
            head = self._request.head
            if self._stage == _Stage.IMPORT:
                return self._function(head)
            if self._stage == _Stage.CODE:
                if head and head.get("entrypoint") is not None:
                    return self._entrypoint(head["entrypoint"])
                value = self._globals.get("result")
            self._succeed(value)
        except BaseException as trouble:  # noqa: BLE001 - a result can fail, too
            self._fail(trouble)
        return None

    def end(self) -> bytes:
        """End the script, which has nothing left to call, and return the payload of its RESULT frame. Never raises."""
        try:
            sys.setrecursionlimit(self._recursion_limit)
            if os.getpid() != self._pid:
                self._leave_fork()
            self._finalise()
            result = self._result
            if self._files:
                limit = self._request.file_limit
                result = with_note(result, send_files(self.channel, self.around.scratch, self._files, limit))
            if self._no_input.asked and ASKED_ANSWER not in result:
                result = with_note(result, ASKED)
        except BaseException as error:  # noqa: BLE001 - whatever a script can still raise while it is being ended
            return plain_failure(type(error).__name__, _WHILE_ENDING)
        return result

    def _fail(self, error: BaseException) -> None:
        try:
            self._result = self._failure(error)
        except BaseException as trouble:  # noqa: BLE001 - as in ``end``
            self._result = plain_failure(type(trouble).__name__, _WHILE_ENDING)

    def _failure(self, error: BaseException) -> bytes:
        filename = self._request.filename
        if isinstance(error, _Stop):
            return error.result
        if isinstance(error, ResultTooLarge):
            return plain_failure("ResultTooLarge", str(error))
        if isinstance(error, SystemExit):
            return self._exited(error)
        if isinstance(error, MemoryError):
            return self._out_of_memory(error, filename)
        sys.setrecursionlimit(self._recursion_limit)
        try:
            hint = NOT_TAKEN if self._is_of_the_call(error) else self.around.hint(error)
            return failure(error, filename, hint=hint, shared=self._shared.paths)
        except MemoryError as second:
            return self._out_of_memory(second, filename)

    def _is_of_the_call(self, error: BaseException) -> bool:
        """Whether the entrypoint never began: it takes other parameters than it was given."""
        if not isinstance(error, TypeError) or self._stage != _Stage.VALUE:
            return False
        called = self._request.head.get("entrypoint") is not None
        return called and error.__traceback__ is not None and error.__traceback__.tb_next is None

    def _succeed(self, value: object) -> bytes:
        self._result = encode_result(value, self._request.result_limit)
        if isinstance(value, dict):
            self._files = named_files(value)
        return self._result

    def _function(self, head: dict[str, Any]) -> Call:
        self._stage = _Stage.VALUE
        target: Any = sys.modules[head["module"]]
        for part in head["function"].split("."):
            target = getattr(target, part)
        return partial(target, *head.get("args", ()), **head.get("kwargs", {}))

    def _entrypoint(self, name: str) -> Call:
        self._stage = _Stage.VALUE
        function = self._globals.get(name)
        if not callable(function):
            raise _Stop(
                plain_failure(
                    "EntrypointError", f"The script defines no function {name!r}, which is named as its entrypoint."
                )
            )
        return partial(function, **self._globals["params"])

    def _bind(self, head: dict[str, Any], files: dict[str, InputFile]) -> None:
        self._globals.update(head.get("variables", {}))
        for name in ("params", "args", "kwargs"):
            if name in head:
                self._globals[name] = head[name]
        self._globals["params"].update(files)
        sys.argv += head.get("argv", ())

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

    def _exited(self, leaving: SystemExit) -> bytes:
        """What ``sys.exit`` means, as the interpreter itself reads it."""
        code = leaving.code
        if code is None or (isinstance(code, int) and code == 0):
            try:
                return self._succeed(self._globals.get("result"))
            except ResultTooLarge as error:
                return plain_failure("ResultTooLarge", str(error))
        if isinstance(code, int):
            number = int(code)
            # As the interpreter does it: what no C long holds is -1, and the kernel takes the lowest 8 bits (exit(3)).
            return _exit(number & 0xFF if -(2**63) <= number < 2**63 else 0xFF)
        self.channel.put(Frame.ERR, f"{code}\n".encode("utf-8", "backslashreplace"))
        return _exit(1)

    def _out_of_memory(self, error: MemoryError, filename: str) -> bytes:
        """Free what the script held, take the reserve, then tell it."""
        traceback.clear_frames(error.__traceback__)
        error.__context__ = None
        self._globals.clear()
        gc.collect()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        try:
            return failure(error, filename, "memory", shared=self._shared.paths)
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
        self._shared.clear()
        # All that is not frozen. The oldest generation is empty unless a younger one was collected before, and looking
        # at it would drop the interpreter's free lists: pages to copy when they fill again.
        gc.collect(2 if gc.get_count()[2] else 1)


def _exit(status: int) -> bytes:
    """The RESULT of a script that ended itself with another status than 0, or what became 0 on its way."""
    error = {"type": "SystemExit", "message": f"exit status {status}"}
    return encode_head(outcome="script_error", status=status, error=error)


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
