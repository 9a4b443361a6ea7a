"""System calls that no script needs: each must be refused as such, not carried out and not even looked at.

A call counts as let in when its own checks answered, as by EINVAL or EFAULT; arguments are chosen so that this does no
harm. Numbers are those of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
"""

from __future__ import annotations

from attack import Attack

CALLS = {
    "io-uring-setup": (425, "1, bytearray_of(120)"),
    "io-uring-enter": (426, "-1, 0, 0, 0, 0"),
    "io-uring-register": (427, "-1, 0, 0, 0"),
    "userfaultfd": (323, "1"),
    "add-key": (248, "b'user', b'gatewright', b'left', 4, -2"),
    "request-key": (249, "b'user', b'gatewright-none', 0, 0"),
    "keyctl": (250, "0, -3, 1"),
    "keyctl-join": (250, "1, 0"),
    "unshare-user": (272, "0x10000000"),
    "unshare-files": (272, "0x400"),
    "unshare-nothing": (272, "0"),
    "setns": (308, "-1, 0"),
    "personality": (135, "0xffffffff"),
    "personality-set": (135, "0x0040000"),
    "memfd-create": (319, "b'x', 0"),
    "memfd-secret": (447, "0"),
    "mount": (165, "0, 0, 0, 0, 0"),
    "umount": (166, "b'/nonexistent', 0"),
    "move-mount": (429, "-1, b'', -1, b'', 0xffff"),
    "mount-setattr": (442, "-1, b'', 0xffffffff, 0, 0"),
    "open-tree": (428, "-100, b'/nonexistent', 0"),
    "statmount": (457, "0, 0, 0, 0"),
    "listmount": (458, "0, 0, 0, 0"),
    "chroot": (161, "b'/nonexistent'"),
    "name-to-handle-at": (303, "-100, b'/', 0, 0, 0"),
    "shmget": (29, "0, 0, 0o1600"),
    "shmat": (30, "-1, 0, 0"),
    "semget": (64, "0, -1, 0o1600"),
    "msgget": (68, "0x67777777, 0"),
    "mq-open": (240, "b'gatewright', 0, 0, 0"),
    "mq-unlink": (241, "b'gatewright-none'"),
    "kcmp": (312, "0, 0, 0, 0, 0"),
    "process-vm-readv": (310, "0, 0, 0, 0, 0, 0"),
    "process-vm-writev": (311, "0, 0, 0, 0, 0, 0"),
    "process-mrelease": (448, "-1, 0"),
    "pidfd-open": (434, "1, 0"),
    "pidfd-getfd": (438, "-1, 0, 0"),
    "pidfd-send-signal": (424, "-1, 0, 0, 0"),
    "ptrace-traceme": (101, "0, 0, 0, 0"),
    "modify-ldt": (154, "0, 0, 0"),
    "arch-prctl-shadow-stack": (158, "0x5002, 0"),
    "set-mempolicy": (238, "0, 0, 0"),
    "mbind": (237, "0, 0, 0, 0, 0, 0"),
    "get-mempolicy": (239, "0, 0, 0, 0, 0"),
    "migrate-pages": (256, "0, 0, 0, 0"),
    "remap-file-pages": (216, "0, 0, 0, 0, 0"),
    "vmsplice": (278, "-1, 0, 0, 0"),
    "seccomp-action": (317, "2, 0, struct.pack('I', 0)"),
    "seccomp-notify": (317, "3, 0, bytes(6)"),
    "seccomp-filter": (317, "1, 0, 0"),
    "capset": (126, "0, 0"),
    "setuid": (105, "os.getuid()"),
    "setresuid": (117, "os.getuid(), -1, -1"),
    "setgid": (106, "os.getgid()"),
    "map-shadow-stack": (453, "0, 0, 0"),
    "quotactl-descriptor": (443, "-1, 0, 0, 0"),
    "lookup-dcookie": (212, "0, 0, 0"),
    "uselib": (134, "b'/nonexistent'"),
    "sysfs": (139, "3, 0, 0"),
    "ustat": (136, "0, 0"),
    "lsm-self-attributes": (459, "100, 0, 0, 0"),
    "ioprio-set": (251, "1, 0, (2 << 13) | 4"),
    "sync": (162, ""),
    "syncfs": (306, "-1"),
    "mlock": (149, "0, 0"),
    "mlockall": (151, "0x80"),
    "swapon": (167, "b'/nonexistent', 0x80000000"),
    "adjtimex": (159, "bytearray_of(208)"),
}  # fmt: skip

OF_ROOT = {
    "bpf": (321, "0, struct.pack('IIII', 1, 4, 4, 1) + bytes(56), 72"),
    "bpf-program": (321, "5, bytes(72), 72"),
    "perf-event-open": (298, "struct.pack('IIQ', 1, 120, 0) + bytes(104), 0, -1, -1, 0"),
    "fsopen": (430, "b'tmpfs', 0"),
    "fspick": (433, "-100, b'/nonexistent', 0"),
    "fsmount": (432, "-1, 0, 0"),
    "fsconfig": (431, "-1, 0, 0, 0, 0"),
    "fanotify-init": (300, "0, 0"),
    "pivot-root": (155, "b'/nonexistent', b'/nonexistent'"),
    "unshare-network": (272, "0x40000000"),
    "unshare-mounts": (272, "0x20000"),
    "sethostname": (170, "0, -1"),
    "init-module": (175, "0, 0, 0"),
    "finit-module": (313, "-1, 0, 0"),
    "delete-module": (176, "b'gatewright_none', 0"),
    "kexec-load": (246, "0, 17, 0, 0"),
    "kexec-file-load": (320, "-1, -1, 0, 0, 0xffff"),
    "reboot": (169, "0, 0, 0, 0"),
    "acct": (163, "b'/nonexistent'"),
    "iopl": (172, "4"),
    "ioperm": (173, "0xfffff, 0xfffff, 1"),
    "syslog": (103, "10, 0, 0"),
    "quotactl": (179, "0, 0, 0, 0"),
    "settimeofday": (164, "1, 0"),
    "setgroups": (116, "0x7fffffff, 0"),
    "open-by-handle": (304, "-1, 0, 0"),
    "swapoff": (168, "b'/nonexistent'"),
}

ROOM = """
def bytearray_of(size):
    return ctypes.create_string_buffer(size)
"""

X32 = """
enters("getpid of x32", 39 | 0x40000000)
enters("open of x32", 2 | 0x40000000, place["secret"].encode(), 0, 0)
enters("socket of x32", 41 | 0x40000000, 1, 1, 0)
enters("ptrace of x32", 521 | 0x40000000, 16, place["victim_pid"], 0, 0)
"""

INT_80 = """
def call(number, first, second):
    '''int 0x80 with the numbers of i386; pointers must be below 4 GiB.'''
    code = bytes.fromhex("53" "89f8" "89f3" "89d1" "ba00100000" "cd80" "5b" "4898" "c3")
    return machine_code(code)(number, first, second)

tell("getpid by int 0x80", answer := call(20, 0, 0))
if answer == os.getpid():
    won("system calls of i386")
area = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 3, 0x62, -1, ctypes.c_long(0))
ctypes.memmove(area, place["secret"].encode() + b"\\0", len(place["secret"]) + 1)
fd = call(5, area, 0)
tell("open by int 0x80", fd)
if fd >= 0:
    tell(text(os.read(fd, 999)))
"""
"""push rbx; mov eax, edi; mov ebx, esi; mov ecx, edx; mov edx, 4096; int 0x80; pop rbx; cdqe; ret. 0x62 has
MAP_32BIT."""

INT_80_SOCKET = """
area = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 3, 0x62, -1, ctypes.c_long(0))
ctypes.memmove(area, struct.pack("III", 1, 1, 0), 12)
code = bytes.fromhex("53" "89f8" "89f3" "89d1" "ba00000000" "cd80" "5b" "4898" "c3")
answer = machine_code(code)(102, 1, area)
tell("socketcall by int 0x80", answer)
if answer >= 0:
    won("a socket by way of i386")
"""

HIGH_BITS = """
fd = raw(2 | (1 << 32), place["secret"].encode(), 0, 0)
tell("open by a number with high bits", fd)
if fd >= 0:
    tell(text(os.read(fd, 999)))
enters("socket by a number with high bits", 41 | (1 << 32), 1, 1, 0)
"""

OWN_INSTRUCTION = """
answer = machine_code(bytes.fromhex("b829000000" "0f05" "4898" "c3"))(1, 1, 0)
let_in("socket by an own syscall instruction", answer)
"""
"""mov eax, 41; syscall; cdqe; ret."""

TIOCSTI = """
import fcntl
master, slave = os.openpty()
with contextlib.suppress(OSError):
    os.setsid()
with contextlib.suppress(OSError):
    fcntl.ioctl(slave, 0x540E, 0)
fcntl.ioctl(slave, 0x5412, b"x")
won("a key was typed into a terminal")
"""

IOCTLS = {
    "socket": {"FIOASYNC": 0x5452, "FIOSETOWN": 0x8901, "SIOCSPGRP": 0x8902, "SIOCGIFCONF": 0x8912, "FIOGETOWN":
               0x8903},
    "file": {"FS_IOC_FIEMAP": 0xC020660B, "FICLONE": 0x40049409, "FS_IOC_GETFLAGS": 0x80086601, "FS_IOC_FSGETXATTR":
             0x801C581F, "FIGETBSZ": 2, "FS_IOC_SETFLAGS": 0x40086602, "FS_IOC_ADD_ENCRYPTION_KEY": 0xC0506617},
}  # fmt: skip
"""Of the run's socket and of a file that may be read. ENOTTY is how scripts are refused."""

REFUSED = {"FICLONE": "-errno.EOPNOTSUPP"}
"""The kernel, if it heard of it, would find fault with the descriptor to be copied before it said that."""

IOCTL = """
fd = 3 if {kind!r} == "socket" else os.open(os.__file__, os.O_RDONLY)
for number in ({number}, {number} | (1 << 32)):
    answer = raw(16, fd, number, ctypes.create_string_buffer(256))
    tell("ioctl {name}", errno.errorcode.get(-answer, answer) if answer < 0 else answer)
    if answer not in ({refused}, -errno.EPERM, -errno.EACCES):
        won("ioctl {name}")
    else:
        lacks("ioctl {name}")
"""

PRCTLS = {
    "PR_SET_DUMPABLE": "4, 1, 0, 0, 0", "PR_SET_SECCOMP": "22, 2, 0, 0, 0", "PR_SET_PTRACER": "0x59616d61, -1, 0, 0, 0",
    "PR_SET_MM": "35, 99, 0, 0, 0", "PR_CAP_AMBIENT": "47, 4, 0, 0, 0", "PR_SET_PDEATHSIG": "1, 0, 0, 0, 0",
    "PR_SET_CHILD_SUBREAPER": "36, 1, 0, 0, 0", "PR_SET_KEEPCAPS": "8, 0, 0, 0, 0",
    "PR_SET_SECUREBITS": "28, 0, 0, 0, 0",
    "PR_SET_TSC": "26, 1, 0, 0, 0", "PR_SET_SPECULATION_CTRL": "53, 0, 0, 0, 0", "PR_SCHED_CORE": "62, 0, 0, 0, 0",
    "PR_SET_SYSCALL_USER_DISPATCH": "59, 0, 0, 0, 0", "PR_SET_IO_FLUSHER": "57, 2, 0, 0, 0",
}  # fmt: skip
PRCTLS_OF_ROOT = {"PR_SET_SECUREBITS", "PR_SET_MM", "PR_SET_IO_FLUSHER"}
PRCTLS_LACKING = {"PR_SET_PTRACER", "PR_SCHED_CORE", "PR_SET_MM", "PR_SET_IO_FLUSHER"}

URGENT = """
import socket
one, other = socket.socketpair()
one.send(b"x", socket.MSG_OOB)
won("an urgent byte was sent on a unix socket")
"""

URGENT_RECEIVED = """
import socket
one, other = socket.socketpair()
other.setblocking(False)
enters("recvfrom with MSG_OOB", 45, other.fileno(), ctypes.create_string_buffer(9), 1, socket.MSG_OOB, 0, 0)
enters("recvmsg with MSG_OOB", 47, other.fileno(), 0, socket.MSG_OOB)
"""

FUTEXES = {"lock-pi": "6, 0, 0, 0, 0", "trylock-pi": "8, 0, 0, 0, 0", "requeue-pi": "12, 1, 1, word, 0"}
FUTEX = """
word = ctypes.create_string_buffer(8)
enters("futex {name}", 202, word, {arguments})
"""

MERGED = """
page = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
if raw(28, page, 4096, 12) == 0:
    won("memory that the kernel compares with that of others")
else:
    lacks("MADV_MERGEABLE")
"""

PAGED_OUT = """
page = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
if raw(28, page, 4096, 21) == 0:
    won("the kernel writes pages to swap on request")
else:
    lacks("MADV_PAGEOUT")
"""

HUGE_PAGE = """
page = libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(2 << 20), 3, 0x40022, -1, ctypes.c_long(0))
tell(page, ctypes.get_errno())
if page != 2**64 - 1 or ctypes.get_errno() == errno.ENOMEM:
    won("a huge page was asked for")
"""

NOTIFICATIONS = """
enters("pipe2 with O_NOTIFICATION_PIPE", 293, ctypes.create_string_buffer(8), 0o200)
"""

CAPABILITIES = """
head, data = struct.pack("II", 0x20080522, 0), ctypes.create_string_buffer(24)
tell(raw(125, ctypes.create_string_buffer(head), data))
if any(data.raw):
    won("capabilities " + data.raw.hex())
"""

FILTER_OFF = """
import fcntl
answer = raw(157, 21, 0, 0, 0, 0)
tell("PR_GET_SECCOMP", answer)
if answer == 0:
    won("there is no seccomp filter")
if raw(157, 39, 0, 0, 0, 0) == 0:
    won("privileges may be gained")
"""


def _call(name: str, number: int, arguments: str, root: bool) -> Attack:
    return Attack(
        name=name,
        code=f"{ROOM}\nenters({name!r}, {number}{', ' if arguments else ''}{arguments})",
        root=root,
        may_lack="kernels differ in what they have",
    )


ATTACKS = [
    *(_call(name, number, arguments, False) for name, (number, arguments) in CALLS.items()),
    *(_call(name, number, arguments, True) for name, (number, arguments) in OF_ROOT.items()),
    Attack(name="x32", code=X32, may_lack="most kernels are built without x32"),
    Attack(name="int-80", code=INT_80, may_lack="a kernel may be built without IA32_EMULATION"),
    Attack(name="int-80-socket", code=INT_80_SOCKET),
    Attack(name="high-bits", code=HIGH_BITS, shows="token"),
    Attack(name="own-instruction", code=OWN_INSTRUCTION),
    Attack(name="tiocsti", code=TIOCSTI, may_lack="dev.tty.legacy_tiocsti may be off"),
    *(
        Attack(
            name=f"ioctl-{name.lower().replace('_', '-')}",
            code=IOCTL.format(kind=kind, name=name, number=number, refused=REFUSED.get(name, "-errno.ENOTTY")),
            may_lack="" if kind == "socket" else "file systems differ in what they have",
        )
        for kind, numbers in IOCTLS.items()
        for name, number in numbers.items()
    ),
    *(
        Attack(
            name=name.lower().replace("_", "-"),
            code=f"enters({name!r}, 157, {arguments})",
            root=name in PRCTLS_OF_ROOT,
            may_lack="kernels differ in what they have" if name in PRCTLS_LACKING else "",
        )
        for name, arguments in PRCTLS.items()
    ),
    Attack(name="urgent-byte", code=URGENT, may_lack="a kernel may be built without AF_UNIX_OOB"),
    Attack(name="urgent-byte-received", code=URGENT_RECEIVED),
    *(Attack(name=f"futex-{name}", code=FUTEX.format(name=name, arguments=FUTEXES[name])) for name in FUTEXES),
    Attack(name="merged-memory", code=MERGED, may_lack="a kernel may be built without KSM"),
    Attack(name="paged-out", code=PAGED_OUT, may_lack="older kernels have no MADV_PAGEOUT"),
    Attack(name="huge-page", code=HUGE_PAGE),
    Attack(name="notification-pipe", code=NOTIFICATIONS),
    Attack(name="capabilities", code=CAPABILITIES, root=True),
    Attack(name="filter", code=FILTER_OFF),
]
