"""Taking more memory than a run may have, whatever it is called. The host measures that of the run's processes.

What a plain run takes stays small enough for a shared machine; the sandbox allows less.
"""

from __future__ import annotations

from attack import Attack

GOAL = 160 << 20
"""Bytes that an attack on memory tries to take; the run's limit is 64 MiB, its scratch 16 MiB."""

TAKEN = f"""
GOAL = {GOAL}

def taken(size):
    if size >= GOAL:
        won(f"{{size >> 20}} MiB")

def fill(fd):
    block, size = bytes(1 << 20), 0
    try:
        while size < GOAL:
            size += os.write(fd, block)
    finally:
        tell(size)
        taken(size)

def map_anonymous(size):
    area = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    if area in (None, 2**64 - 1):
        raise MemoryError
    ctypes.memset(area, 1, size)
"""

MEMORY = {
    "heap": """
hold = []
while len(hold) << 20 < GOAL:
    hold.append(b"x" * (1 << 20))
taken(GOAL)
""",
    "one-block": """
hold = b"x" * GOAL
taken(len(hold))
""",
    "shared-anonymous": """
import mmap
hold = mmap.mmap(-1, GOAL)
ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(hold)), 1, GOAL)
taken(GOAL)
""",
    "private-anonymous": """
map_anonymous(GOAL)
taken(GOAL)
""",
    "many-small-maps": """
for _ in range(GOAL >> 22):
    map_anonymous(4 << 20)
taken(GOAL)
""",
    "heap-of-c": """
libc.sbrk.restype = ctypes.c_void_p
start = libc.sbrk(ctypes.c_long(GOAL))
if start in (None, 2**64 - 1):
    raise MemoryError
ctypes.memset(start, 1, GOAL)
taken(GOAL)
""",
    "memfd": """
fill(os.memfd_create("x"))
""",
    "scratch-file": """
fill(os.open("big", os.O_CREAT | os.O_WRONLY))
""",
    "scratch-files": """
size = 0
for number in range(GOAL >> 22):
    with open(str(number), "wb") as f:
        size += f.write(bytes(4 << 20))
taken(size)
""",
    "scratch-allocated": """
os.posix_fallocate(os.open("big", os.O_CREAT | os.O_RDWR), 0, GOAL)
taken(GOAL)
""",
    "scratch-unlinked": """
size, hold = 0, []
for number in range(GOAL >> 22):
    hold.append(open("f", "wb", buffering=0))
    os.unlink("f")
    size += hold[-1].write(bytes(4 << 20))
taken(size)
""",
    "raised-limits": """
import resource
for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (-1, -1))
        tell(kind, resource.getrlimit(kind))
hold = b"x" * GOAL
taken(len(hold))
""",
    "growing-list": """
hold = [0]
while len(hold) * 8 < GOAL:
    hold += hold
taken(len(hold) * 8)
""",
    "decompressed": """
import zlib
small, hold = zlib.compress(bytes(1 << 25)), []
while len(hold) << 25 < GOAL:
    hold.append(zlib.decompress(small))
taken(len(hold) << 25)
""",
}

COMPILED = "compile('x = [' + '1 + y,' * 150_000 + ']', 'x', 'exec')"
"""Less than a megabyte of source, and some hundred times as much to compile it."""

POSIX_SHM = """
import _posixshmem
fd = _posixshmem.shm_open("/" + place["tag"], os.O_CREAT | os.O_RDWR, mode=0o600)
_posixshmem.shm_unlink("/" + place["tag"])
won("a shared memory object of the host")
fill(fd)
"""

SYSV_SHM = """
key = raw(29, place["key"], 1 << 20, 0o1666)
tell("shmget", key)
"""

SYSV_SEM = """
tell("semget", raw(64, place["key"], 8, 0o1666))
"""

SYSV_MSG = """
queue = raw(68, place["key"], 0o1666)
tell("msgget", queue)
if queue >= 0:
    raw(69, queue, struct.pack("q", 1) + bytes(4000), 4000, 0o4000)
"""

POSIX_QUEUE = """
answer = raw(240, place["tag"].encode(), os.O_CREAT | os.O_RDWR, 0o600, 0)
tell("mq_open", answer)
if answer >= 0:
    won("a message queue of the host")
    raw(241, place["tag"].encode())
"""

PIPES = """
import fcntl
size = 0
try:
    for _ in range(200):
        reading, writing = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(writing, 1031, 1 << 20)
        os.set_blocking(writing, False)
        size += os.write(writing, bytes(1 << 20))
        if size > 80 << 20:
            break
finally:
    tell(size >> 20, "MiB in pipes")
    if size > 64 << 20:
        won(size)
"""

PAIRS = """
import socket
size = 0
try:
    for _ in range(400):
        for end in socket.socketpair():
            end.setblocking(False)
            globals()[f"end{size}"] = end
            with contextlib.suppress(OSError):
                end.setsockopt(1, 32, 8 << 20)
            with contextlib.suppress(OSError):
                end.setsockopt(1, 7, 8 << 20)
            with contextlib.suppress(BlockingIOError):
                while True:
                    size += end.send(bytes(1 << 16))
        if size > 80 << 20:
            break
finally:
    tell(size >> 20, "MiB in socket pairs")
    if size > 64 << 20:
        won(size)
"""

LOCKED = """
area = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(1 << 20), 3, 0x2022, -1, ctypes.c_long(0))
if area in (None, 2**64 - 1):
    area = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(1 << 20), 3, 0x22, -1, ctypes.c_long(0))
answer = raw(149, area, 1 << 20)
tell("mlock", answer)
if answer == 0:
    won("locked memory")
"""

ATTACKS = [
    *(Attack(name=name, code=TAKEN + code, watched=True, wall=30.0) for name, code in MEMORY.items()),
    Attack(name="compiled", code=COMPILED, shows="host:memory", watched=True),
    Attack(name="posix-shm", code=TAKEN + POSIX_SHM, may_lack="the host may have no /dev/shm"),
    Attack(name="sysv-shm", code=SYSV_SHM, shows="host:ipc"),
    Attack(name="sysv-sem", code=SYSV_SEM, shows="host:ipc"),
    Attack(name="sysv-msg", code=SYSV_MSG, shows="host:ipc"),
    Attack(name="posix-queue", code=POSIX_QUEUE, may_lack="a kernel may be built without POSIX_MQUEUE"),
    Attack(name="pipes", code=PIPES),
    Attack(name="socket-pairs", code=PAIRS),
    Attack(name="locked-memory", code=LOCKED),
]
