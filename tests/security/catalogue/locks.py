"""Locking files of the host, which would keep its own programs from them: libraries, and what was approved."""

from __future__ import annotations

from attack import Attack

LIBRARY = "os.open(place['package'] + '/__init__.py', os.O_RDONLY)"
NEW = "os.open(place['granted'] + '/new', os.O_CREAT | os.O_RDWR, 0o600)"

ASKING = """
import fcntl, threading
fd = {file}
READ, WRITE = struct.pack("@hhqqi4x", 0, 0, 0, 0, 0), struct.pack("@hhqqi4x", 1, 0, 0, 0, 0)
def ask(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        tell(error)
    else:
        won(arguments)
{ways}
"""

WAYS = {
    "flock": "ask(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "flock-waiting": "ask(fcntl.flock, fd, fcntl.LOCK_SH)",
    "record": "ask(fcntl.fcntl, fd, 6, READ)",
    "record-waiting": "ask(fcntl.fcntl, fd, 7, READ)",
    "open-file": "ask(fcntl.fcntl, fd, 37, READ)",
    "open-file-waiting": "ask(fcntl.fcntl, fd, 38, READ)",
    "unlock": "ask(fcntl.flock, fd, fcntl.LOCK_UN)",
    "duplicate": "ask(fcntl.flock, fcntl.fcntl(fd, fcntl.F_DUPFD, 30), fcntl.LOCK_EX)",
    "by-its-link": "ask(fcntl.flock, os.open(f'/proc/self/fd/{fd}', os.O_RDONLY), fcntl.LOCK_EX)",
    "upper-bits": "let_in('flock', raw(73, fd | 1 << 32, 6 | 1 << 32))",
    "upper-bits-of-record": "import ctypes\n"
    "let_in('fcntl', raw(72, fd | 1 << 40, 6 | 1 << 40, ctypes.create_string_buffer(READ)))",
    "in-a-thread": "thread = threading.Thread(target=ask, args=(fcntl.flock, fd, fcntl.LOCK_EX))\nthread.start()\n"
    "thread.join()",
    "behind-an-own-file": "own = os.open('own', os.O_CREAT | os.O_RDWR, 0o600)\n"
    "try:\n    fcntl.flock(own, fcntl.LOCK_EX)\nexcept OSError:\n    pass\n"
    "os.dup2(fd, own)\nask(fcntl.flock, own, fcntl.LOCK_EX)",
}

WRITING_WAYS = {
    "record-for-writing": "ask(fcntl.lockf, fd, fcntl.LOCK_EX)",
    "open-file-for-writing": "ask(fcntl.fcntl, fd, 38, WRITE)",
}

ATTACKS = [
    *(Attack(name=f"library-{name}", code=ASKING.format(file=LIBRARY, ways=ways)) for name, ways in WAYS.items()),
    *(
        Attack(name=f"granted-{name}", code=ASKING.format(file=NEW, ways=ways), granted=True)
        for name, ways in (WAYS | WRITING_WAYS).items()
    ),
]
