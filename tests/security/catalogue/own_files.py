"""Turning the calls that a script has for files of its own on files that are not: modes, times, links, lengths.

Aimed at are libraries and devices, which every script may read, files and a folder that were approved for reading, and
what was approved for writing, where a run may leave bytes and nothing else.
"""

from __future__ import annotations

from attack import Attack

LIBRARY = "os.path.join(place['package'], '__init__.py')"
READABLE = "os.path.join(place['readable'], 'file.txt')"
WRITABLE = "place['writable_file']"
NEW = "os.path.join(place['granted'], 'new')"

KIT = """
def path_of(name):
    return os.fsencode(name)

def opened(name, flags=os.O_RDONLY):
    return os.open(name, flags)

TIMES, PAIR = struct.pack("qqqq", 1, 1, 1, 1), struct.pack("qq", 1, 1)
"""

CALLS = {
    "chmod": "os.chmod(target, 0o640)",
    "chmod-raw": "tell(raw(90, path_of(target), 0o640))",
    "chmod-to-nothing": "os.chmod(target, 0)",
    "fchmod": "os.fchmod(opened(target), 0o640)",
    "fchmodat": "tell(raw(268, -100, path_of(target), 0o640))",
    "fchmodat-folder": "tell(raw(268, opened(os.path.dirname(target)), path_of(os.path.basename(target)), 0o640))",
    "fchmodat2": "tell(raw(452, -100, path_of(target), 0o640, 0))",
    "fchmodat2-descriptor": "tell(raw(452, opened(target, os.O_PATH), b'', 0o640, 0x1000))",
    "chmod-by-proc": "os.chmod('/proc/self/fd/%d' % opened(target, os.O_PATH), 0o640)",
    "chmod-by-symlink": "(os.symlink(target, 'way'), os.chmod('way', 0o640))",
    "chmod-by-linked-folder": "(os.symlink(os.path.dirname(target), 'way'), os.chmod('way/' + os.path.basename(target),"
    " 0o640))",
    "chmod-by-dot-dot": "os.chmod('../' * 40 + target.lstrip('/'), 0o640)",
    "utime": "os.utime(target, (1, 1))",
    "utime-now": "os.utime(target)",
    "utime-raw": "tell(raw(132, path_of(target), PAIR))",
    "utimes-raw": "tell(raw(235, path_of(target), TIMES))",
    "futimesat": "tell(raw(261, -100, path_of(target), TIMES))",
    "futimens": "os.utime(opened(target), (1, 1))",
    "utimensat-descriptor": "tell(raw(280, opened(target, os.O_PATH), b'', TIMES, 0x1000))",
    "utimensat-link-itself": "os.utime(target, (1, 1), follow_symlinks=False)",
    "utime-by-symlink": "(os.symlink(target, 'way'), os.utime('way', (1, 1)))",
    "truncate-by-symlink": "(os.symlink(target, 'way'), os.truncate('way', 0))",
    "open-by-symlink": "(os.symlink(target, 'way'), open('way', 'w').close())",
    "create-by-linked-folder": "(os.symlink(os.path.dirname(target), 'way'), open('way/new', 'w').close())",
    "unlink-by-linked-folder": "(os.symlink(os.path.dirname(target), 'way'), os.unlink('way/'"
    " + os.path.basename(target)))",
    "symlink-beside": "os.symlink('/etc/passwd', target + '.link')",
    "symlinkat": "tell(raw(266, b'/etc/passwd', opened(os.path.dirname(target)), b'new.link'))",
    "link-beside": "os.link(target, target + '.link')",
    "link-into-scratch": "(os.link(target, 'mine'), os.chmod('mine', 0o640))",
    "linked-by-descriptor": "(tell(raw(265, opened(target), b'', -100, b'mine', 0x1000)), os.chmod('mine', 0o640))",
    "linked-by-proc": "(tell(raw(265, -100, b'/proc/self/fd/%d' % opened(target), -100, b'mine', 0x400)),"
    " os.chmod('mine', 0o640))",
    "linked-by-symlink": "(os.symlink(target, 'way'), tell(raw(265, -100, b'way', -100, b'mine', 0x400)),"
    " os.chmod('mine', 0o640))",
    "link-of-own": "(open('mine', 'w').close(), os.link('mine', target + '.link'))",
    "link-over": "(open('mine', 'w').close(), os.unlink(target), os.link('mine', target))",
    "renamed-symlink": "(os.symlink('/etc/passwd', 'mine'), os.rename('mine', target + '.link'))",
    "copystat": "(open('mine', 'w').close(), os.chmod('mine', 0o640), __import__('shutil').copystat('mine', target))",
}
"""Each a statement that changes ``target``, its name or its folder."""

OF_A_FILE = (
    "chmod", "chmod-by-symlink", "fchmod", "fchmodat2-descriptor", "utime", "futimens", "symlink-beside",
    "link-into-scratch", "linked-by-descriptor",
)  # fmt: skip
"""Tried on files that were approved one by one, too."""

FOREIGN = {
    "chmod": "raw(90, b'mine', {mode})",
    "fchmod": "raw(91, opened('mine'), {mode})",
    "fchmod-to-write": "raw(91, opened('mine', os.O_RDWR), {mode})",
    "fchmodat": "raw(268, -100, b'mine', {mode})",
    "fchmodat2": "raw(452, -100, b'mine', {mode}, 0)",
    "fchmodat2-descriptor": "raw(452, opened('mine', os.O_PATH), b'', {mode}, 0x1000)",
    "high-bits": "raw(90, b'mine', {mode} | 1 << 40)",
    "os-chmod": "os.chmod('mine', {mode})",
    "os-fchmod": "os.fchmod(opened('mine'), {mode})",
    "path": "__import__('pathlib').Path('mine').chmod({mode})",
}
"""Each gives a file of the run's own a mode that no file may have."""

MODES = {"set-user-id": "0o4755", "set-group-id": "0o2755", "sticky": "0o1755", "others-write": "0o602"}

MOVED = {
    "rename": "os.rename('mine', {new})",
    "link": "os.link('mine', {new})",
    "linked-descriptor": "raw(265, opened('mine'), b'', -100, {new}.encode(), 0x1000)",
    "move": "__import__('shutil').move('mine', {new})",
    "copy": "__import__('shutil').copy('mine', {new})",
    "exchange": "(open({new}, 'w').close(), raw(316, -100, b'mine', -100, {new}.encode(), 2))",
}
"""Each brings a file of the scratch folder to a folder that was approved for writing, if it can with its mode."""

OF_GRANTED = {
    "chmod": f"(open({NEW}, 'w').close(), os.chmod({NEW}, 0o640), os.stat({NEW}).st_mode & 0o777 == 0o640)",
    "fchmod-read-only": f"(open({NEW}, 'w').close(), raw(91, opened({NEW}), 0o640), os.stat({NEW}).st_mode & 0o777 =="
    " 0o640)",
    "fchmodat2": f"(open({NEW}, 'w').close(), raw(452, opened({NEW}), b'', 0o640, 0x1000),"
    f" os.stat({NEW}).st_mode & 0o777 == 0o640)",
    "utime": f"(open({NEW}, 'w').close(), os.utime({NEW}, (1, 1)), os.stat({NEW}).st_mtime == 1)",
    "futimens": f"(open({NEW}, 'w').close(), os.utime(opened({NEW}), (1, 1)), os.stat({NEW}).st_mtime == 1)",
    "symlink": f"(os.symlink('/etc/passwd', {NEW}), os.path.islink({NEW}))",
    "symlink-inside": f"(os.symlink('elsewhere', {NEW}), os.path.islink({NEW}))",
    "link": f"(open({NEW}, 'w').close(), os.link({NEW}, {NEW} + '2'), os.stat({NEW}).st_nlink == 2)",
    "truncate": f"(open({NEW}, 'w').write('x'), raw(76, {NEW}.encode(), 0), os.stat({NEW}).st_size == 0)",
}
"""Each does in a folder that was approved for writing what only a run's own folder is for; true if it did."""

MANY = {
    "links": "os.link('mine', f'link-{number}')",
    "symlinks": "os.symlink('x' * 50, f'link-{number}')",
    "long-symlinks": "os.symlink('x' * 4000, f'link-{number}')",
}
"""What a folder could be filled with that takes no bytes of a file."""

MANY_TIMES = """
open("mine", "w").close()
number = 0
try:
    for number in range(1500):
        {statement}
except OSError as error:
    tell(number, error)
if number > 1200:  # more than a run of this trial may have files
    won(number)
"""

DEVICES = {
    "utime": "os.utime('/dev/null')",
    "utime-zero": "os.utime('/dev/zero')",
    "utime-descriptor": "os.utime(opened('/dev/null', os.O_RDWR))",
    "utime-standard-input": "raw(280, 0, None, None, 0) and unheard()",
    "utime-raw": "raw(132, b'/dev/urandom', None) and unheard()",
}
"""Of the account's own devices, as root's, even the mode could be another one. Their times harm nobody."""


def _at(kind: str, target: str, **grants: bool) -> list[Attack]:
    return [
        Attack(
            name=f"{kind}-{name}",
            code=f"{KIT}target = {target}\n{statement}",
            shows="host:tree",
            may_lack="older kernels have no fchmodat2" if name.startswith("fchmodat2") else "",
            **grants,
        )
        for name, statement in CALLS.items()
        if name in OF_A_FILE or kind in ("library", "readable")
    ]


ATTACKS = [
    *_at("library", LIBRARY),
    *_at("readable", READABLE, read_granted=True),
    *_at("readable-file", "place['readable_file']", read_granted=True),
    *_at("file-to-write", WRITABLE, file_granted=True),
    *(
        Attack(
            name=f"own-{kind}-{name}",
            code=f"{KIT}open('mine', 'w').close()\ntell({call.format(mode=mode)})\n"
            f"won() if os.stat('mine').st_mode & 0o7002 else None",
            may_lack="older kernels have no fchmodat2" if name.startswith("fchmodat2") else "",
        )
        for kind, mode in MODES.items()
        for name, call in FOREIGN.items()
        if kind in ("set-user-id", "others-write") or name in ("chmod", "fchmod", "fchmodat", "fchmodat2")
    ),
    *(
        Attack(
            name=f"moved-{name}",
            code=f"{KIT}open('mine', 'w').close()\nraw(90, b'mine', 0o4777)\nos.chmod('mine', 0o4777)"
            f" if place['plain'] else None\ntell({call.format(new=NEW)})",
            shows="host:special",
            granted=True,
        )
        for name, call in MOVED.items()
    ),
    *(
        Attack(
            name=f"granted-{name}",
            code=f"{KIT}won() if {statement}[-1] else None",
            may_lack="older kernels have no fchmodat2" if name == "fchmodat2" else "",
            granted=True,
        )
        for name, statement in OF_GRANTED.items()
    ),
    *(
        Attack(name=f"many-{name}", code=MANY_TIMES.format(statement=statement), wall=30.0)
        for name, statement in MANY.items()
    ),
    *(
        Attack(name=f"device-{name}", code=f"{KIT}unheard = lambda: (_ for _ in ()).throw(OSError())\n{call}\nwon()")
        for name, call in DEVICES.items()
    ),
]  # fmt: skip
