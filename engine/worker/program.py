"""A script's run inside the child: its ``__main__`` module, the four kinds, its end, and nothing of it left behind."""

from __future__ import annotations

import atexit
import builtins
import gc
import json
import linecache
import os
import resource
import sys
import traceback
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType, ModuleType

from . import ending
from .buffers import Buffers
from .channel import NULL_FD
from .failures import failure, plain_failure
from .hints import NOT_TAKEN
from .imports import guarded_import
from .own_module import OwnModule
from .rendering import Rendering
from .results import ResultTooLarge, encode_head, encode_result, with_note
from .returned import named_files, send_files
from .shared_code import SharedCode, code_of
from .standard_input import ASKED, ASKED_ANSWER
from .wire import RESULT, RUN, Frame, SourceKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, TextIO

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
    """What the call that is under way is for. From ``MAIN_STREAMS`` on the script's main part has ended."""

    CODE, IMPORT, VALUE, AWAITED, RENDERING, MAIN_STREAMS, THREADS, CALLBACKS, STREAMS = range(9)


_GLOBAL = object()
"""Stands for a value that is yet to be taken from the script's global ``result``."""


class Program:
    """Made and warmed by the template, used for one script by each child.

    Attributes:
        value: What the call that ``begin`` or ``go_on`` returned has returned.
        error: What it raised instead.
        buffers: The run's named memory.
    """

    def __init__(self, channel: Channel, rule: ImportRule | None, around: Circumstances, no_input: NoInput) -> None:
        self.channel = channel
        self.around = around
        self._no_input = no_input
        self._module = ModuleType("__main__")
        self._globals = self._module.__dict__
        self._builtins = _own_builtins(rule)
        self._shared = SharedCode(self._builtins)
        self.buffers = Buffers()
        self._handed: dict[str, InputFile] = {}
        OwnModule(channel, self._globals, self.buffers, self._handed)
        self._rule = rule
        self._recursion_limit = sys.getrecursionlimit()
        self.value: object = None
        self.error: BaseException | None = None
        self.reset()

    def reset(self) -> None:
        """Make ``__main__`` new: nothing of a warm-up stays visible."""
        self._result = b""
        self._left: object = None
        self._status = 0
        self._stage = _Stage.CODE
        self._doing = ""
        self._streams: list[tuple[str, TextIO]] = []
        self._broken: list[str] = []
        """Streams whose flush has failed."""
        self._notes: list[str] = []
        self._files: list[str] = []
        self.rendering: Rendering | None = None
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
        self.around.macro = request.kind == SourceKind.RENDER
        try:
            if request.kind in (SourceKind.SCRIPT, SourceKind.RENDER):
                self._globals["__file__"] = sys.argv[0] = f"{self.around.scripts}/{request.filename}"
            if request.head:
                if "shared" in request.head:
                    request.source = self._shared.take(request.head["shared"], request.source)
                self._bind(request.head, files)
            if request.kind == SourceKind.CALL:
                self._stage = _Stage.IMPORT
                return partial(self._builtins.__dict__["__import__"], request.head["module"])
            if request.head and request.head.get("entrypoint") is not None:
                self._become(_module_name(request.filename))
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

        Neither is kept for longer than it must be: what the script held must be able to go.
        """
        value, error = self.value, self.error
        self.value = self.error = None
        try:
            if self._stage >= _Stage.MAIN_STREAMS:
                if error is not None:
                    self._ignored(error)
            elif self._stage == _Stage.RENDERING and self.rendering is not None:
                if (call := self.rendering.go_on(error)) is not None:
                    return call
            elif error is not None:
                self._fail(error)
            elif (call := self._next(value)) is not None:
                return call
        except BaseException as trouble:  # noqa: BLE001 - to find the next call can fail, too
            self._fail(trouble)
        del value, error
        return self._wind_up()

    def _next(self, value: object) -> Call | None:
        """Return the main part's next call after one that has returned ``value``; None if that was its last."""
        head = self._request.head
        if self._stage == _Stage.IMPORT:
            return self._function(head)
        entrypoint = head.get("entrypoint") if head else None
        if self._stage == _Stage.CODE:
            if self._request.kind == SourceKind.RENDER:
                return self._render(head["entrypoint"])
            if entrypoint is not None:
                return self._entrypoint(entrypoint)
            value = _GLOBAL
        elif self._stage == _Stage.VALUE and entrypoint is not None:
            if isinstance(value, CoroutineType):
                return self._awaited(entrypoint, value)
            self._refuse_generator(entrypoint, value)
        self._left = value
        return None

    def _wind_up(self) -> Call | None:
        """Return the next call of the script's end, in the interpreter's order; None after the last.

        The streams are flushed, and the threads that are no daemons waited for. The result is what stands after that,
        since they may still write to it; it is taken before the exit callbacks, which close what it may need. Then the
        streams are flushed once more.
        """
        try:
            if self._stage >= _Stage.MAIN_STREAMS or not ending.is_plain(self.channel.streams):
                return self._step()
            self._stage = _Stage.STREAMS
            self._take_result()
        except BaseException as trouble:  # noqa: BLE001 - objects of the script are asked here
            self._fail(trouble)
        return None

    def _step(self) -> Call | None:
        live = self.channel.fd != NULL_FD
        if self._stage < _Stage.MAIN_STREAMS:
            self._stage = _Stage.MAIN_STREAMS
            self._streams = ending.streams_to_flush(self.channel.streams)
        if self._stage == _Stage.MAIN_STREAMS and not self._streams:
            self._stage = _Stage.THREADS
            if live and (threading := ending.threads()) is not None:
                self._doing = repr(threading)
                self._tell_what_is_waited_for(ending.waited_for(threading))
                return threading._shutdown  # type: ignore[no-any-return]
        if self._stage == _Stage.THREADS:
            self._stage = _Stage.CALLBACKS
            self._take_result()
            if live and atexit._ncallbacks():
                return atexit._run_exitfuncs
        if self._stage == _Stage.CALLBACKS:
            self._stage = _Stage.STREAMS
            self._streams = ending.streams_to_flush(self.channel.streams)
        while self._streams:
            self._doing, stream = self._streams.pop(0)
            if self._doing not in self._broken:
                return stream.flush
        return None

    def end(self) -> bytes:
        """End the script, which has nothing left to call, and return the payload of its RESULT frame. Never raises."""
        try:
            sys.setrecursionlimit(self._recursion_limit)
            self._finalise()
            if os.getpid() != self._pid:
                self._leave_fork()
            result = self._result
            if self._files:
                sent = send_files(self.channel, self.around.scratch, self._files, self._request.file_limit)
                self._notes.append(sent)
            if self._no_input.asked and ASKED_ANSWER not in result:
                self._notes.append(ASKED)
            if self._notes:
                result = with_note(result, " ".join(filter(None, self._notes)))
        except BaseException as error:  # noqa: BLE001 - whatever a script can still raise while it is being ended
            return plain_failure(type(error).__name__, _WHILE_ENDING)
        return result

    def _tell_what_is_waited_for(self, names: list[str]) -> None:
        if names and os.getpid() == self._pid:
            value = self._globals.get("result") if self._left is _GLOBAL else self._left
            limit = self._request.result_limit
            self.channel.send(Frame.WAIT, ending.waiting(names, self._result, value, limit))
        self.channel.flush()

    def _take_result(self) -> None:
        value, self._left = self._left, None
        if self._result:
            return
        try:
            self._succeed(self._globals.get("result") if value is _GLOBAL else value)
        except BaseException as trouble:  # noqa: BLE001 - a result can fail, too
            self._fail(trouble)

    def _ignored(self, error: BaseException) -> None:
        """Tell of what a step of the script's end raised, and go on: the result stands."""
        if sys.version_info < (3, 10) and self._stage == _Stage.CALLBACKS:
            return  # it has been told: before 3.10 ``atexit`` then raised the last one as well
        ending.report_ignored(self._doing, error)
        if self._stage in (_Stage.MAIN_STREAMS, _Stage.STREAMS):
            self._broken.append(self._doing)
            self._notes.append(f"The end of what was written to {self._doing} may be lost: {type(error).__name__}.")

    def _fail(self, error: BaseException) -> None:
        self._status = 1
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

    def _render(self, name: str) -> Call | None:
        """Return the first calls of a macro's function."""
        function = self._globals.get(name)
        if not callable(function):
            sentence = f"The macro defines no function {name!r}: it needs def {name}(params, context)."
            raise _Stop(plain_failure("EntrypointError", sentence))
        self._stage = _Stage.RENDERING
        shared, hint = self._shared.paths, self.around.hint
        self.rendering = Rendering(self.channel, function, self._request.filename, shared, hint)
        return self.rendering.go_on(None)

    def _awaited(self, name: str, coroutine: CoroutineType[Any, Any, Any]) -> Call:
        """Return the call that runs what an async entrypoint has returned."""
        self._stage = _Stage.AWAITED
        denial = None if self._rule is None else self._rule.denial("asyncio")
        if denial is not None:
            coroutine.close()  # else Python warns that nobody has awaited it
            raise _bad_entrypoint(
                f"The entrypoint {name!r} is async, and a run calls it by asyncio.run. {denial}", coroutine.cr_code
            )
        import asyncio  # no other run needs it

        return partial(asyncio.run, coroutine)

    def _refuse_generator(self, name: str, value: object) -> None:
        """Fail if ``value`` is the entrypoint's own body, of which nothing has run: it holds a ``yield``."""
        code = None
        if isinstance(value, GeneratorType):
            code = value.gi_code
        elif isinstance(value, AsyncGeneratorType):
            code = value.ag_code
        if code is not None and code.co_name == name:
            kind = "a generator" if isinstance(value, GeneratorType) else "an async generator"
            raise _bad_entrypoint(
                f"The entrypoint {name!r} is {kind}, since it holds a yield: calling it runs none of its lines. "
                "Let it collect what it yields in a list and return that, or name a function that loops over it.",
                code,
            )

    def _become(self, name: str) -> None:
        """Be the module ``name``, and no longer ``"__main__"``: where an entrypoint is called, no guard's block runs.

        The module is found under both names: by what looks up where a class is from, and by what asks for the program
        that runs, as ``unittest.main`` does.
        """
        self._globals["__name__"] = name
        sys.modules[name] = self._module

    def _bind(self, head: dict[str, Any], files: dict[str, InputFile]) -> None:
        self._globals.update(head.get("variables", {}))
        for name in ("params", "args", "kwargs"):
            if name in head:
                self._globals[name] = head[name]
        self._globals["params"].update(files)
        self._handed.update(files)
        sys.argv += head.get("argv", ())

    def _compile(self, request: RunFrame) -> CodeType:
        """Compile the text, never its bytes: of those Python would read a declared encoding (PEP 263).

        What ran would then be another text than the one that people read and approved.
        """
        source, filename, mode = request.source, request.filename, "exec"
        code = b""
        if request.head and "code" in request.head:
            size = len(source) - request.head["code"]
            source, code = source[:size], source[size:]
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
        read = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        lines = [f"{line}\n" for line in read.split("\n")]  # the last one gets its end, too, as from linecache
        if not read or read[-1] == "\n":
            del lines[-1]
        entry = len(source), None, lines, filename
        linecache.cache[filename] = entry
        if (path := self._globals.get("__file__")) is not None:  # where ``inspect`` looks for classes
            linecache.cache[path] = entry
        return code_of(code) or compile(text, filename, mode, dont_inherit=True)

    def _exited(self, leaving: SystemExit) -> bytes:
        """What ``sys.exit`` means, as the interpreter itself reads it."""
        code = leaving.code
        if code is None or (isinstance(code, int) and code == 0):
            self._left, self._status = _GLOBAL, 0
            return b""  # the result is taken in its time
        if isinstance(code, int):
            number = int(code)
            # As the interpreter does it: what no C long holds is -1, and the kernel takes the lowest 8 bits (exit(3)).
            self._status = number & 0xFF if -(2**63) <= number < 2**63 else 0xFF
            return _exit(self._status)
        self.channel.put(Frame.ERR, f"{code}\n".encode("utf-8", "backslashreplace"))
        self._status = 1
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
        head = self._result[RESULT.size : RESULT.size + RESULT.unpack_from(self._result)[0]]
        if head and (text := json.loads(head).get("traceback")):
            self.channel.put(Frame.ERR, text.encode("utf-8", "backslashreplace"))
        self.channel.flush_all()
        os._exit(self._status)

    def _finalise(self) -> None:
        """Cut off what still runs, then let go of the script's globals, so that open files are written."""
        self.channel.mute_other_threads()
        if cut_off := ending.cut_off():
            self._notes.append(cut_off)
        ending.clear_globals(self._globals)
        self._shared.clear()
        self.buffers.let_go()
        # All that is not frozen. The oldest generation is empty unless a younger one was collected before, and looking
        # at it would drop the interpreter's free lists: pages to copy when they fill again.
        gc.collect(2 if gc.get_count()[2] else 1)
        for name, stream in ending.streams_to_flush(self.channel.streams):
            if name in self._broken:
                continue
            self._doing = name
            try:
                stream.flush()  # once more, as the interpreter does: destructors print, too
            except OSError as error:
                self._ignored(error)
            except BaseException:  # noqa: BLE001, S110 - a class of the script's own, whose globals are gone
                pass
        if ending.any_open() and self.channel.fd != NULL_FD:  # what is open in a rehearsal is the template's
            self._notes += ending.write_open_files()


def _module_name(filename: str) -> str:
    """The name of a script as a module: its file's, unless that is another module's, which it would hide."""
    name = os.path.basename(filename).removesuffix(".py").replace(".", "_") or "script"
    # The finder of shared code refuses its own name where nothing came along.
    taken = name == "lib" or name in sys.modules or any(finder.find_spec(name, None) for finder in sys.meta_path)
    return f"{name}_script" if taken else name


def _bad_entrypoint(sentence: str, code: CodeType) -> _Stop:
    return _Stop(plain_failure("EntrypointError", sentence, filename=code.co_filename, line=code.co_firstlineno))


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
