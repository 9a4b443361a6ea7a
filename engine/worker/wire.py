"""The formats that the engine and a slot's processes share: frames of a run, requests to the template, its reports.

Frames travel on a private stream socket per run: a header of length and type, then the payload. Fork requests and
reports travel on the slot's control socket, one per packet. All is of fixed layout or JSON, and the engine reads
nothing that is pickled or marshalled: compiled shared code passes through it as bytes.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HEADER = struct.Struct("<IB")
"""A frame's payload length and type."""

MAX_OUTPUT_FRAME = 64 << 10
MAX_HELLO_FRAME = 4 << 10
RESULT_HEAD_ROOM = 1 << 20
"""What a RESULT may need beside the value itself: traceback, text and note, each capped by the child."""

MAX_CHUNK_FRAME = 64 << 10
CHUNK_DATA = 60 << 10
"""Bytes of a file in each of its CHUNKs but the last."""

LINE_LIMIT = 8 << 10
"""A partial line is sent when it has grown this long."""


OPEN_LINE = struct.Struct("<BxHI")
"""Head of the page that a child shares with the engine: OUT or ERR (0: none), length and number of the line that it has
begun and keeps back. Then the line."""

LINE_PAGE = 4096
LINE_SHOWN = struct.Struct("<I")
LINE_SHOWN_AT = LINE_PAGE - LINE_SHOWN.size
"""The engine's word in that page: the number of the line that it shows."""

BEGUN = struct.Struct("<II")
BEGUN_AT = LINE_SHOWN_AT - BEGUN.size
"""The child's word in that page: the number of a chunk of calls, and how many of them have begun. Written ahead of each
call, so that it is known of a process that was killed."""


class Frame:
    """What a frame carries. Plain numbers: in the child every enum look-up is a page more to copy."""

    HELLO: Final = 1
    """Child: its self-check; first, once."""
    RUN: Final = 2
    """Engine: what to run; once."""
    OUT: Final = 3
    ERR: Final = 4
    CALL: Final = 5
    """Child: a call of one of the engine's operations, answered by REPLY."""
    REPLY: Final = 6
    """Engine: what came of a call."""
    RESULT: Final = 7
    """Child: how the run ended; last, once."""
    CHUNK: Final = 8
    """Child: a piece of a file that the run's result names; before the RESULT."""
    WAIT: Final = 9
    """Child: the script's main part has ended, its threads have not; before the RESULT, once."""
    CALLS: Final = 10
    """Engine: a chunk of calls of a macro's function, or that no more will come."""
    TEXTS: Final = 11
    """Child: what some of a chunk's calls returned, in their order."""


class SourceKind:
    """How a RUN's source is to be run."""

    EXEC: Final = 0
    EVAL: Final = 1
    CALL: Final = 2
    SCRIPT: Final = 3
    """As EXEC; the file name is the script's path below the scripts folder."""
    RENDER: Final = 4
    """As SCRIPT; then the function that the head names is called as CALLS say."""


RUN = struct.Struct("<BIIIHI")
"""Kind, CPU seconds (0: as it is), limits of the result and of the files, length of the file name, of the JSON head.

Then come the file name, the head and the source; after that, if the head lists any, texts and code of shared files."""

RESULT = struct.Struct("<I")
"""Length of the JSON head, 0 for a plain success. Then: head, the value's JSON (empty: no value)."""

WAIT = struct.Struct("<H")
"""Length of the names of the threads in UTF-8. Then: the names, as a part of a sentence, and a RESULT's payload."""

MAX_WAIT_NAMES = 4 << 10

CALL = struct.Struct("<I")
"""The call's number, the child's own choice. Then: JSON that says which operation and with what."""

MAX_CALL_FRAME = 1 << 20
MAX_CALLS_AT_ONCE = 16
"""Calls of one child, by all of its threads, that may wait for their replies. An honest child keeps to it."""

REPLY = struct.Struct("<IB")
"""The call's number and how many descriptors come with it. Then: JSON, the answer or an error.

Descriptors follow the frame in a message of their own, one byte that means nothing (unix(7), SCM_RIGHTS).
"""

MAX_REPLY = 8 << 20
"""Bytes of a REPLY's JSON."""

MAX_REPLY_DESCRIPTORS = 16

CHUNK = struct.Struct("<HI")
"""Length of the file's name in UTF-8, offset of the piece. Then: the name, the piece.

One file after the other, each from offset 0 on without a gap. All pieces of a file but its last have ``CHUNK_DATA``
bytes, and only the first may be empty.
"""

MAX_CALLS = 65_536
"""Calls of one chunk."""

KEPT_ANSWERS = 256
"""Answers that a batch's child keeps and numbers, to give them to later calls without asking again."""

KEPT_QUESTION = 256
"""Bytes of a question whose answer is kept, at most: the engine keeps all of these questions."""

CALLS = struct.Struct("<IIIIII")
"""Numbers of the chunk and of its calls (0: no more will come), bytes of UTF-8 that all its texts may have together,
lengths of context, parameters and documents.

Then: these three as JSON, and of each call the index of its document in 4 bytes, if there are documents.
"""

MAX_TEXT = 8 << 20
"""Bytes of UTF-8 of one text, and of all the texts of one TEXTS."""

TEXTS_HEAD_ROOM = 1 << 20
"""What a TEXTS may need beside the texts themselves: their lengths, errors and warnings."""

TEXTS = struct.Struct("<IIII")
"""Number of the chunk, index of the first call, number of calls that are answered, length of the JSON head.

Then: of each call the number of characters of its text in 4 bytes (``NO_TEXT``: it failed, and the head says why), the
head (nothing: no errors and no warnings), and all the texts joined, in UTF-8.
"""

NO_TEXT = 0xFFFF_FFFF

FORK_REQUEST = struct.Struct("<i????IQQIII")


class ForkRequest:
    """What the engine asks of the template: reap one child, fork the next, or both."""

    __slots__ = (
        "cpu",
        "everything",
        "files",
        "fork",
        "inodes",
        "memory",
        "open_files",
        "reap",
        "scratch",
        "urgent",
        "warm",
    )

    reap: int
    """Pid in the template's own namespace, 0 for none."""

    fork: bool
    urgent: bool
    """A run waits to hear how the reaped child ended: report that before the fork, not with it."""

    warm: bool
    everything: bool
    """With the reaped child ends what it started and what detached itself, also where a script may leave that."""

    cpu: int
    """Seconds of processor time."""

    memory: int
    """Bytes of address space beyond what the template itself has mapped."""

    scratch: int
    inodes: int
    open_files: int
    files: int
    """How many descriptors come with the RUN; the child then reads frame by frame."""

    def __init__(
        self,
        reap: int = 0,
        fork: bool = True,
        urgent: bool = False,
        warm: bool = False,
        everything: bool = False,
        *,
        cpu: int,
        memory: int,
        scratch: int,
        inodes: int,
        open_files: int,
        files: int = 0,
    ) -> None:
        self.reap = reap
        self.fork = fork
        self.urgent = urgent
        self.warm = warm
        self.everything = everything
        self.cpu = cpu
        self.memory = memory
        self.scratch = scratch
        self.inodes = inodes
        self.open_files = open_files
        self.files = files

    @classmethod
    def unpack(cls, packet: bytes) -> ForkRequest:
        """Read a request from the packet that ``pack`` made."""
        reap, fork, urgent, warm, everything, *child = FORK_REQUEST.unpack(packet)
        cpu, memory, scratch, inodes, open_files, files = child
        return cls(
            reap,
            fork,
            urgent,
            warm,
            everything,
            cpu=cpu,
            memory=memory,
            scratch=scratch,
            inodes=inodes,
            open_files=open_files,
            files=files,
        )

    def pack(self) -> bytes:
        """Lay the request out as one packet of the control socket."""
        return FORK_REQUEST.pack(self.reap, self.fork, self.urgent, self.warm, self.everything, *self.child)

    @property
    def child(self) -> tuple[int, int, int, int, int, int]:
        """What kind of child it asks for."""
        return self.cpu, self.memory, self.scratch, self.inodes, self.open_files, self.files


class Report:
    """First byte of what the template tells the engine."""

    READY = b"R"
    """JSON: what isolates the template. With its pidfd if it is the first process of a pid namespace."""
    CHILD = b"C"
    EXIT = b"E"
    FAILED = b"F"
    """A sentence; the template ends after it."""


CHILD = struct.Struct("<ciQiiQ")
"""Tag, the child's pid in the template's namespace, its scratch's device number; then, as in EXIT, the child before it.

With four descriptors: run socket, pidfd, stray stdout, stray stderr.
"""

EXIT = struct.Struct("<ciiQ")
"""Tag, pid, wait status, CPU microseconds."""


CHECKED_DESCRIPTORS = 8
"""How many above the run's socket a child looks at one by one; that the rest is closed is close_range(2)'s word."""

HELLO = struct.Struct("<iiI?II??QQQQQQ")
"""A child's self-check, each figure asked back from the kernel after the last layer was applied.

Pid; session; no_new_privs; whether it has any capability; how many descriptors above its own are closed; seccomp mode;
whether it could open ``/``; whether it could make a socket; device of its working folder; limits of address space,
processor time, open files, file size and processes.
"""
