"""Changing anything on the host outside the scratch folder."""

from __future__ import annotations

from attack import Attack

CHANGES = {
    "open-w": "open(place['victim'], 'w').write('x')",
    "open-a": "open(place['victim'], 'a').write('x')",
    "open-r+": "open(place['victim'], 'r+').write('x')",
    "o-trunc-read-only": "os.open(place['victim'], os.O_RDONLY | os.O_TRUNC)",
    "truncate": "os.truncate(place['victim'], 0)",
    "truncate-raw": "tell(raw(76, place['victim'].encode(), 0))",
    "ftruncate": "os.ftruncate(os.open(place['victim'], os.O_RDWR), 0)",
    "fallocate": "os.posix_fallocate(os.open(place['victim'], os.O_RDWR), 0, 9999)",
    "creat-raw": "tell(raw(85, place['victim'].encode(), 0o600))",
    "create": "open(place['folder'] + '/new', 'w').close()",
    "tmpfile-linked": "tell(raw(265, -100, b'/proc/self/fd/%d' % os.open(place['folder'], os.O_TMPFILE | os.O_RDWR, "
    "0o600), -100, place['folder'].encode() + b'/new', 0x400))",
    "mkdir": "os.mkdir(place['folder'] + '/new')",
    "mkfifo": "os.mkfifo(place['folder'] + '/new')",
    "mknod": "os.mknod(place['folder'] + '/new')",
    "mknod-socket": "os.mknod(place['folder'] + '/new', 0o140600)",
    "symlink-outside": "os.symlink('/etc', place['folder'] + '/new')",
    "hard-link-outside": "os.link(place['secret'], place['folder'] + '/new')",
    "unlink": "os.unlink(place['victim'])",
    "rmdir": "os.rmdir(place['empty'])",
    "rename": "os.rename(place['victim'], place['victim'] + '2')",
    "rename-over": "(open('mine', 'w').close(), os.rename('mine', place['victim']))",
    "rename-exchange": "(open('mine', 'w').close(), tell(raw(316, -100, b'mine', -100, place['victim'].encode(), 2)))",
    "chmod": "os.chmod(place['victim'], 0o600)",
    "fchmod": "os.fchmod(os.open(place['victim'], os.O_RDONLY), 0o600)",
    "fchmodat2": "tell(raw(452, -100, place['victim'].encode(), 0o600, 0))",
    "chmod-raw": "tell(raw(90, place['victim'].encode(), 0o600))",
    "utime": "os.utime(place['victim'], (1, 1))",
    "utime-raw": "tell(raw(132, place['victim'].encode(), struct.pack('qq', 1, 1)))",
    "utimes-raw": "tell(raw(235, place['victim'].encode(), struct.pack('qqqq', 1, 1, 1, 1)))",
    "futimesat-raw": "tell(raw(261, -100, place['victim'].encode(), struct.pack('qqqq', 1, 1, 1, 1)))",
    "utimensat-descriptor": "os.utime(os.open(place['victim'], os.O_RDONLY), (1, 1))",
    "setxattr": "os.setxattr(place['victim'], 'user.new', b'x')",
    "lsetxattr": "os.setxattr(place['victim'], 'user.new', b'x', follow_symlinks=False)",
    "removexattr": "os.removexattr(place['victim'], 'user.own')",
    "project-script": "open(place['script'], 'a').write('import evil')",
    "project-database": "open(place['state'], 'r+b').write(b'x')",
    "by-proc-root": "open('/proc/self/root' + place['victim'], 'w').write('x')",
    "by-dot-dot": "open('../' * 40 + place['victim'].lstrip('/'), 'w').write('x')",
    "by-symlink": "(os.symlink(place['victim'], 'link'), open('link', 'w').write('x'))",
    "by-dirfd": "os.write(os.open('../' * 40 + place['victim'][1:], os.O_WRONLY, dir_fd=os.open('.', 0)), b'x')",
    "by-openat2": "os.write(raw(437, -100, place['victim'].encode(), struct.pack('QQQ', 1, 0, 0), 24), b'x')",
    "by-sqlite3": "__import__('sqlite3').connect(place['sqlite'], isolation_level=None).execute('drop table secrets')",
    "by-new-database": "__import__('sqlite3').connect(place['folder'] + '/new').execute('create table x(y)')",
    "by-logging": "__import__('logging').FileHandler(place['folder'] + '/new').close()",
    "by-mmap": "__import__('mmap').mmap(os.open(place['victim'], os.O_RDWR), 0).__setitem__(0, 120)",
    "by-c-library": "(setattr(libc.fopen, 'restype', ctypes.c_void_p), libc.fopen(place['victim'].encode(), b'w'))",
    "module": "open(place['package'] + '/__init__.py', 'a').write('x = 1')",
    "compiled-module": "open(place['compiled'], 'r+b').write(b'evil')",
    "compiled-module-replaced": "(open('mine', 'wb').write(b'x'), os.replace('mine', place['compiled']))",
    "compiled-module-new": "__import__('py_compile').compile(place['package'] + '/__init__.py', place['package'] + "
    "'/__pycache__/new.pyc', doraise=True)",
    "module-beside": "open(place['package'] + '/../sitecustomize.py', 'w').close()",
    "readable-fchmod": "os.fchmod(os.open(place['package'] + '/__init__.py', os.O_RDONLY), 0o666)",
    "readable-chmod": "os.chmod(place['package'] + '/__init__.py', 0o666)",
    "readable-utime": "os.utime(place['package'] + '/__init__.py', (1, 1))",
    "readable-futimens": "os.utime(os.open(place['package'] + '/__init__.py', os.O_RDONLY), (1, 1))",
    "readable-fsetxattr": "os.setxattr(os.open(place['package'] + '/__init__.py', os.O_RDONLY), 'user.new', b'x')",
    "readable-setxattr": "os.setxattr(place['package'] + '/__init__.py', 'user.new', b'x')",
    "readable-truncate": "os.truncate(place['package'] + '/__init__.py', 0)",
    "readable-o-trunc": "os.open(place['package'] + '/__init__.py', os.O_RDONLY | os.O_TRUNC)",
    "readable-hard-link": "os.link(place['package'] + '/__init__.py', place['package'] + '/new')",
    "readable-linked-in": "(os.link(place['package'] + '/__init__.py', 'mine'), os.chmod('mine', 0o666))",
}
"""Each a statement after which a file of the host is not what it was."""

FILE_FLAGS = """
import fcntl
fd = os.open(place["package"] + "/__init__.py", os.O_RDONLY)
flags = bytearray(8)
fcntl.ioctl(fd, 0x80086601, flags)
fcntl.ioctl(fd, 0x40086602, bytes([flags[0] ^ 0x40]) + bytes(flags[1:]))
won("FS_IOC_SETFLAGS on a library's file")
"""

LOCKS = """
import fcntl
fd = os.open(place["package"] + "/__init__.py", os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
won("a library's file is locked for everybody else")
"""

READ_LOCK = """
import fcntl
fd = os.open(place["package"] + "/__init__.py", os.O_RDONLY)
fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
won("nobody else can lock a library's file for writing")
"""

OPEN_FILE_LOCK = """
import fcntl
fd = os.open(place["package"] + "/__init__.py", os.O_RDONLY)
fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", 0, 0, 0, 0, 0))
won("nobody else can lock a library's file for writing")
"""

LEASE = """
import fcntl
fcntl.fcntl(os.open(place["package"] + "/__init__.py", os.O_RDONLY), 1024, 0)
won("a lease on a library's file")
"""

KERNEL_FILES = """
for name in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/dev/kmsg",
             "/proc/self/oom_score_adj", "/proc/self/coredump_filter", "/proc/self/uid_map", "/proc/self/setgroups",
             "/proc/sys/kernel/pid_max", "/sys/power/state", "/dev/mem", "/dev/full"):
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_NOCTTY))
        won(name)
    except OSError as error:
        tell(error)
"""

STDLIB = """
import json
for name in (json.__cached__, json.__file__, os.__file__, sys.executable):
    try:
        os.close(os.open(name, os.O_RDWR))
        won(name)
    except OSError as error:
        tell(error)
"""

ELSEWHERE = """
everywhere = ("/tmp", "/var/tmp", "/dev/shm", "/run", os.path.expanduser("~/.."), "..", "/run/lock")
for folder in (place["elsewhere"], *(() if place["plain"] else everywhere)):
    try:
        path = os.path.join(folder, place["tag"])
        open(path, "w").close()
        won(path)
        if not place["plain"]:
            os.unlink(path)
    except OSError as error:
        tell(error)
"""
"""Without the sandbox only into a folder of the trial's own. What gets through is told and taken away again at once, so
that a sandbox that fails leaves nothing on the host either."""

ATTACKS = [
    *(
        Attack(
            name=name,
            code=statement,
            shows="host:tree",
            may_lack="older kernels have no fchmodat2" if name == "fchmodat2" else "",
        )
        for name, statement in CHANGES.items()
    ),
    Attack(name="chown", code="os.chown(place['victim'], 12345, 12345)", shows="host:tree", root=True),
    Attack(
        name="readable-fchown",
        code="os.fchown(os.open(place['package'] + '/__init__.py', os.O_RDONLY), 12345, 12345)",
        shows="host:tree",
        root=True,
    ),
    Attack(
        name="mknod-device", code="os.mknod(place['folder'] + '/new', 0o20666, 0x103)", shows="host:tree", root=True
    ),
    Attack(name="file-flags", code=FILE_FLAGS, may_lack="the file system may have no such flags"),
    Attack(name="locks", code=LOCKS),
    Attack(name="read-lock", code=READ_LOCK),
    Attack(name="open-file-lock", code=OPEN_FILE_LOCK),
    Attack(name="lease", code=LEASE),
    Attack(name="kernel-files", code=KERNEL_FILES),
    Attack(name="standard-library", code=STDLIB, root=True),
    Attack(name="elsewhere", code=ELSEWHERE, shows="host:outside"),
]
