"""One child's life: put on the layers, warm, say HELLO, wait for the RUN, run it, send the RESULT, leave."""

from __future__ import annotations

import _socket
import _thread
import gc
import json
import os
import resource
import sys
from array import array

from . import kernel, limits, standard_input
from .channel import RUN_FD, Channel
from .inputs import InputFile
from .program import Program, RunFrame
from .proofs import attempts
from .standard_input import NoInput
from .wire import CHECKED_DESCRIPTORS, HEADER, HELLO, RUN, Frame, SourceKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from .hints import Circumstances
    from .imports import ImportRule
    from .layers import Setup
    from .program import Call

    LayerSteps = Sequence[Callable[[Setup], None]]

READ_SIZE = 64 << 10
UNSIGNED = 2**64 - 1
"""RLIM_INFINITY comes as -1."""

_closed_descriptors = kernel.prepare_poll(RUN_FD + 1, CHECKED_DESCRIPTORS)

WARM_ROUNDS = 20
"""The interpreter specialises code after some calls (PEP 659)."""

_SIMPLE = b"result = 1 + 1"
_RICH = (
    b"items = [n * n for n in range(50)]\n"
    b"try:\n    1 / 0\nexcept Exception as error:\n    text = str(error)\n"
    b"print('warm', text)\n"
    b"result = {'a': [1, 2.5, 'x', None, True]}"
)
_FAILING = b"def f(x):\n    return g(x)\nraise ValueError(1)"


def prepare_interpreter(rule: ImportRule | None, around: Circumstances) -> Program:
    """Put a script's streams in place, and walk every path that runs take: objects are made, code is specialised."""
    channel = Channel()
    no_input = NoInput()
    program = Program(channel, rule, around, no_input)
    sys.stdin = sys.__stdin__ = no_input  # type: ignore[misc,assignment]
    if not around.restricted:  # the others have no such names
        standard_input.refuse_its_names(lambda: around.stdin)
    os.register_at_fork(after_in_child=channel.forked)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = channel.streams  # type: ignore[misc]
    if sys.version_info < (3, 13) and hasattr(_thread, "_excepthook"):
        # It reads source lines from files, and a script's are none. Without it ``threading`` has one of its own, which
        # shows the lines that ``linecache`` knows.
        del _thread._excepthook
    sys.argv = ["-c"]
    sys.orig_argv = [""]
    for _ in range(WARM_ROUNDS):
        for source in (_RICH, _SIMPLE, _FAILING):
            _rehearse(program, source)
    return program


class Run:
    """One child's life, in steps: calls into what the script brought.

    ``__main__.py`` makes them, in the first frame of the process. A call made here would show the script, by
    ``f_back``, all frames that led to it. The template makes one of these and each child uses its copy: an object that
    a child makes, takes apart or calls for the first time is pages to copy.

    Attributes:
        program: Where the outcome of each call goes.
        setup: What the child is made from.
        template: Kept for the same reason; it has nothing of the configuration.
        exercise: Uses packages that were imported ahead.
    """

    __slots__ = ("_layers", "exercise", "program", "setup", "template")

    def __init__(self, layers: LayerSteps, program: Program) -> None:
        self._layers = layers
        self.program = program
        self.setup: Setup | None = None
        self.template: object = None
        self.exercise: Callable[[], None] | None = None

    def begin(self) -> Call:
        """Put on the layers, wait for the request and return the script's first call."""
        try:
            program, setup = self.program, self.setup
            if setup is None:
                raise RuntimeError("a child without a setup")  # noqa: TRY301 - it breaks here
            for layer in self._layers:
                layer(setup)
            gc.enable()
            if setup.request.warm:
                if self.exercise is not None:
                    self.exercise()
                _rehearse(program, _SIMPLE)
                _rehearse(program, _SIMPLE)
            program.channel.open(RUN_FD)
            program.channel.send(Frame.HELLO, self_check())
            # Not sooner: making the next child is the engine's work, running a script is not.
            os.nice(limits.RUN_NICENESS)
            expected = setup.request.files
            request, behind = _request(b"" if expected else os.read(RUN_FD, READ_SIZE))
            if behind:
                program.channel.take_unread(behind)
            files = self._receive_files(request, expected) if expected else {}
            if request.cpu:
                limits.set_cpu(request.cpu)
            call = program.begin(request, files)
            if call is not None:
                return call
            program.channel.finish(program.end())
        except BaseException as error:  # noqa: BLE001 - the engine's log should say why a child of ours broke
            _break(error)

    def _receive_files(self, request: RunFrame, count: int) -> dict[str, InputFile]:
        fds = _receive_descriptors(count)
        if request.head.get("stdin"):
            standard_input.put_in_place(fds.pop())
            self.program.around.stdin = True
        files = request.head.get("files", ())
        named = zip(fds[: len(files)], files)
        given = {parameter: InputFile(name, fd, size) for fd, (parameter, name, size) in named}
        for fd, (name, size) in zip(fds[len(files) :], request.head.get("buffers", ())):
            self.program.buffers.hold(name, fd, size)
        return given

    def go_on(self) -> Call:
        """Return the next call, or send the result and end the process."""
        try:
            program = self.program
            call = program.go_on()
            if call is not None:
                return call
            program.channel.finish(program.end())
        except BaseException as error:  # noqa: BLE001 - as above
            _break(error)


def _break(error: BaseException) -> NoReturn:
    """End a child without a result, which the engine sees by that."""
    try:
        os.write(2, f"The child broke: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(70)  # EX_SOFTWARE of sysexits.h


def testify(setup: Setup, layers: LayerSteps) -> NoReturn:
    """Be a child that tries what no script may do, and writes what came of it to the run's socket. Ends the process."""
    try:
        for layer in layers:
            layer(setup)
        os.write(RUN_FD, json.dumps(attempts()).encode())
    finally:
        os._exit(0)


def self_check() -> bytes:
    """A HELLO's payload: what the kernel says of this process, now that every layer is on."""
    get = resource.getrlimit
    return HELLO.pack(
        os.getpid(),
        os.getsid(0),
        kernel.no_new_privs(),
        kernel.capabilities(),
        _closed_descriptors(),
        kernel.seccomp_mode(),
        kernel.can_open_root(),
        kernel.can_make_socket(),
        os.stat(".").st_dev,
        get(resource.RLIMIT_AS)[1] & UNSIGNED,
        get(resource.RLIMIT_CPU)[0] & UNSIGNED,
        get(resource.RLIMIT_NOFILE)[1] & UNSIGNED,
        get(resource.RLIMIT_FSIZE)[1] & UNSIGNED,
        get(resource.RLIMIT_NPROC)[1] & UNSIGNED,
    )


def _rehearse(program: Program, source: bytes) -> None:
    """The path of a real run, from its frame to its frames, which go to /dev/null."""
    payload = RUN.pack(SourceKind.EXEC, 0, 1 << 20, 0, 6, 0) + b"<exec>" + source
    request, _ = _request(HEADER.pack(len(payload), Frame.RUN) + payload)
    program.channel.send(Frame.RESULT, program.run(request, {}))
    program.reset()


def _request(data: bytes) -> tuple[RunFrame, bytes]:
    """The request that begins with ``data``, the rest of it read as it comes; and what came behind it."""
    if len(data) < HEADER.size:
        data = _read_on(data, HEADER.size)
    size = HEADER.size + HEADER.unpack_from(data)[0]
    if len(data) < size:
        data = _read_on(data, size)
    return RunFrame(data[HEADER.size : size]), data[size:]


def _read_on(data: bytes, size: int) -> bytes:
    """``data`` with what follows it, ``size`` bytes in all and not one more: descriptors may come behind."""
    parts, have = [data], len(data)
    while have < size:
        part = os.read(RUN_FD, size - have)
        if not part:
            os._exit(0)  # the engine has gone, or no longer needs this child
        parts.append(part)
        have += len(part)
    return b"".join(parts)


def _receive_descriptors(count: int) -> list[int]:
    """The descriptors that follow a RUN, in a message of their own (unix(7), SCM_RIGHTS)."""
    fds = array("i")
    run_socket = _socket.socket(fileno=os.dup(RUN_FD))
    _, ancillary, _, _ = run_socket.recvmsg(1, _socket.CMSG_LEN(count * fds.itemsize))
    run_socket.close()
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)
