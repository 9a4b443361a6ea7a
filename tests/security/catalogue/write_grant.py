"""Making files that outlive a run in more than their bytes, in a folder that was approved for writing.

Everybody on the host may come by what lies there. So whoever writes there must not be able to leave a program that runs
as the engine's account, a file that anybody may change, something that is no file at all, or more than its size shows.
"""

from __future__ import annotations

from attack import Attack

OPEN_MASK = "raw(95, 0); os.umask(0)\n"
"""By the kernel's own call, since ``os.umask`` may be anything."""

NEW = "os.path.join(place['granted'], 'new')"
WRITING = "os.O_CREAT | os.O_RDWR"

SPECIAL = {
    "open": f"os.open({NEW}, {WRITING}, 0o6777)",
    "open-raw": f"raw(2, {NEW}.encode(), {WRITING}, 0o4755)",
    "openat-raw": f"raw(257, -100, {NEW}.encode(), {WRITING}, 0o2755)",
    "openat-folder": f"os.open('new', {WRITING}, 0o4755, dir_fd=os.open(place['granted'], os.O_RDONLY))",
    "open-sticky": f"os.open({NEW}, {WRITING}, 0o1777)",
    "open-high-bits": f"raw(2, {NEW}.encode(), ({WRITING}) | 1 << 40, 0o4755 | 1 << 40)",
    "open-exclusive": f"os.open({NEW}, {WRITING} | os.O_EXCL | os.O_TRUNC | os.O_APPEND, 0o4711)",
    "opener": f"open({NEW}, 'w', opener=lambda path, flags: os.open(path, flags, 0o4755)).close()",
    "open-of-c": f"libc.open({NEW}.encode(), {WRITING}, 0o4755)",
    "tmpfile": "raw(265, -100, b'/proc/self/fd/%d' % os.open(place['granted'], os.O_TMPFILE | os.O_RDWR, 0o4755), "
    f"-100, {NEW}.encode(), 0x400)",
    "creat": f"raw(85, {NEW}.encode(), 0o6755)",
    "openat2": f"raw(437, -100, {NEW}.encode(), struct.pack('QQQ', {WRITING}, 0o4755, 0), 24)",
    "mkdir": f"os.mkdir({NEW}, 0o3777)",
    "mkdirat": f"raw(258, -100, {NEW}.encode(), 0o1777)",
    "mkdir-folder": "os.mkdir('new', 0o1777, dir_fd=os.open(place['granted'], os.O_RDONLY))",
    "makedirs": f"__import__('pathlib').Path({NEW}).mkdir(0o1775)",
    "chmod": f"(open({NEW}, 'w').close(), os.chmod({NEW}, 0o4755))",
    "fchmod": f"os.fchmod(os.open({NEW}, {WRITING}), 0o4755)",
    "fchmodat2": f"(open({NEW}, 'w').close(), raw(452, -100, {NEW}.encode(), 0o4755, 0))",
    "mknod": f"os.mknod({NEW}, 0o104755)",
}
"""Each makes a set-user-ID, set-group-ID or sticky file, or a sticky folder: mkdir(2) never sets the first two."""

OPEN_TO_ALL = {
    "file": f"open({NEW}, 'w').close()",
    "folder": f"os.mkdir({NEW})",
    "group": f"(raw(95, 2), open({NEW}, 'w').close())",
    "others": f"(raw(95, 0o20), open({NEW}, 'w').close())",
    "descriptor": f"os.fchmod(os.open({NEW}, {WRITING}), 0o666)",
    "by-path": f"(open({NEW}, 'w').close(), os.chmod({NEW}, 0o666))",
}
"""Each makes a file or folder that others may write to."""

NO_FILES = {
    "whiteout": f"(open({NEW}, 'w').close(), raw(316, -100, {NEW}.encode(), -100, {NEW}.encode() + b'2', 4))",
    "pipe": f"os.mkfifo({NEW})",
    "socket": f"os.mknod({NEW}, 0o140600)",
    "bound-socket": f"__import__('socket').socket(1).bind({NEW})",
    "symbolic-link": f"os.symlink('/etc/passwd', {NEW})",
}
"""Each leaves what is neither file nor folder. A whiteout is a device, and hides a file where folders are laid over."""

ALLOCATED = f"""
fd = os.open({NEW}, {WRITING})
tell(raw(285, fd, 1, 0, 40 << 20), os.fstat(fd).st_size)
"""
"""FALLOC_FL_KEEP_SIZE: the disk is taken, and no file looks as if it had it."""

HARD_LINK = f"""
os.link(place["secret"], {NEW})
tell(open({NEW}).read())
"""

FILE_CAPABILITY = f"""
open({NEW}, "w").close()
os.setxattr({NEW}, "security.capability", struct.pack("<IIIII", 0x02000001, 0xffffffff, 0, 0xff, 0))
won("a program with capabilities")
"""

ABOVE = """
for path in ("../new", "../place/victim.txt", "../place/project/.gatewright/state.db"):
    try:
        os.close(os.open(os.path.join(place["granted"], path), os.O_CREAT | os.O_WRONLY, 0o600))
        won(path)
        if path == "../new":
            os.unlink(os.path.join(place["granted"], path))
    except OSError as error:
        tell(path, error)
"""


def _granted(name: str, code: str, shows: str, **more: bool | str) -> Attack:
    return Attack(name=name, code=code, shows=shows, granted=True, **more)  # type: ignore[arg-type]


ATTACKS = [
    *(
        _granted(
            f"special-{name}", OPEN_MASK + statement, "host:special",
            may_lack="older kernels have no fchmodat2" if name == "fchmodat2" else "",
        )
        for name, statement in SPECIAL.items()
    ),
    *(_granted(f"open-to-all-{name}", OPEN_MASK + code, "host:writable") for name, code in OPEN_TO_ALL.items()),
    *(_granted(f"no-file-{name}", statement, "host:no file") for name, statement in NO_FILES.items()),
    _granted("allocated", ALLOCATED, "host:allocated"),
    _granted("hard-link", HARD_LINK, "token"),
    _granted("file-capability", FILE_CAPABILITY, "claim", root=True),
    _granted("above", ABOVE, "claim"),
]  # fmt: skip
