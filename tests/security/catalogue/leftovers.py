"""What one run leaves and the next one finds. In plain, both run in one process: a worker that is used again."""

from __future__ import annotations

from attack import Attack

OWN = "path = (place['elsewhere'] if place['plain'] else '{folder}') + '/' + place['tag']\n"
"""Without the sandbox only in a folder of the trial's own: the host stays clean."""

PAIRS = {
    "file": ("open('left', 'w').close()", "won() if os.path.exists('left') else None"),
    "hidden-file": ("open('.left', 'w').close()", "won(os.listdir()) if '.left' in os.listdir() else None"),
    "folder": (
        """
os.makedirs('a/b')
os.chmod('a', 0)
""",
        "won() if 'a' in os.listdir() else None",
    ),
    "deep-folders": (
        """
root = os.getcwd()
for _ in range(1000):
    os.mkdir('d')
    os.chdir('d')
os.chdir(root)
""",
        "won() if 'd' in os.listdir() else None",
    ),
    "folder-mode": ("os.chmod('.', 0o777)", "won() if os.stat('.').st_mode & 0o777 == 0o777 else None"),
    "folder-xattr": ("os.setxattr('.', 'user.left', b'x')", "won() if 'user.left' in os.listxattr('.') else None"),
    "folder-times": ("os.utime('.', (5, 5))", "won() if os.stat('.').st_mtime == 5 else None"),
    "filled-scratch": (
        """
with contextlib.suppress(OSError):
    open('big', 'wb').write(bytes(12 << 20))
""",
        """
won() if os.path.exists('big') else None
open('x', 'wb').write(bytes(8 << 20))
""",
    ),
    "open-unlinked-file": (
        """
sys.kept = os.open('kept', os.O_CREAT | os.O_RDWR)
os.unlink('kept')
os.write(sys.kept, b'x')
""",
        """
os.pread(sys.kept, 1, 0)
won()
""",
    ),
    "working-folder": (
        """
os.mkdir('x')
os.chdir('x')
""",
        "won(os.getcwd()) if os.getcwd().endswith('/x') else None",
    ),
    "module": ("sys.modules['left'] = sys", "won() if 'left' in sys.modules else None"),
    "patched-module": (
        """
import json
json.left = 1
""",
        """
import json
won(json.left)
""",
    ),
    "patched-class": (
        """
import decimal
decimal.left = 1
""",
        """
import decimal
won(decimal.left)
""",
    ),
    "builtins": (
        """
import builtins
builtins.left = 1
""",
        """
import builtins
won(builtins.left)
""",
    ),
    "patched-builtin": (
        """
import builtins
builtins.sorted = lambda x: 'left'
""",
        """
import builtins
won() if builtins.sorted([1]) == 'left' else None
""",
    ),
    "environ": ("os.environ['LEFT'] = '1'", "won(os.environ['LEFT'])"),
    "environ-of-c": ("libc.setenv(b'LEFT', b'1', 1)", "won() if libc.getenv(b'LEFT') else None"),
    "path": ("sys.path.insert(0, '/left')", "won() if '/left' in sys.path else None"),
    "import-hook": ("sys.meta_path.insert(0, 5)", "won() if 5 in sys.meta_path else None"),
    "path-hook": ("sys.path_hooks.insert(0, 5)", "won() if 5 in sys.path_hooks else None"),
    "exit-hook": (
        """
import atexit
atexit.left = 1
atexit.register(print, 'x')
""",
        """
import atexit
won(atexit.left)
""",
    ),
    "thread": (
        """
import threading
threading.Thread(target=time.sleep, args=(5,), daemon=True, name='left').start()
""",
        """
import threading
won() if 'left' in [t.name for t in threading.enumerate()] else None
""",
    ),
    "late-output": (
        """
import threading
def late():
    time.sleep(0.05)
    won('late')
threading.Thread(target=late, daemon=True).start()
""",
        "time.sleep(0.15)",
    ),
    "signal-handler": (
        """
import signal
signal.signal(12, signal.SIG_IGN)
""",
        """
import signal
won() if signal.getsignal(12) == signal.SIG_IGN else None
""",
    ),
    "alarm": (
        """
import signal
signal.signal(14, lambda *a: won())
signal.setitimer(0, 0.02)
""",
        "time.sleep(0.1)",
    ),
    "umask": ("os.umask(0)", "won() if os.umask(0o77) == 0 else None"),
    "nice": ("os.nice(2)", "won() if os.nice(0) - place['nice'] in (2, 9) else None"),
    "limits": (
        """
import resource
resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
""",
        """
import resource
won() if resource.getrlimit(resource.RLIMIT_STACK)[1] == 1 << 20 else None
""",
    ),
    "affinity": (
        "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})",
        "won() if len(os.sched_getaffinity(0)) == 1 and os.cpu_count() > 1 else None",
    ),
    "timer-slack": ("raw(157, 29, 77777, 0, 0, 0)", "won() if raw(157, 30, 0, 0, 0, 0) == 77777 else None"),
    "process-name": (
        "raw(157, 15, b'left-name', 0, 0, 0)",
        """
b = ctypes.create_string_buffer(16)
raw(157, 16, b, 0, 0, 0)
won() if b.value == b'left-name' else None
""",
    ),
    "recursion-limit": ("sys.setrecursionlimit(777)", "won() if sys.getrecursionlimit() == 777 else None"),
    "trace": (
        """
import threading
threading.setprofile(len)
""",
        """
import threading
won() if threading._profile_hook else None
""",
    ),
    "random-state": (
        """
import random
random.seed(5)
sys.left = 1
""",
        """
import random
won() if abs(random.random() - 0.6229016948897019) < 1e-9 else None
""",
    ),
    "decimal-context": (
        """
import decimal
decimal.getcontext().prec = 3
""",
        """
import decimal
won() if decimal.getcontext().prec == 3 else None
""",
    ),
    "locale": (
        """
import locale
locale.left = 1
""",
        """
import locale
won(locale.left)
""",
    ),
    "linecache": (
        """
import linecache
linecache.cache['left'] = 1
""",
        """
import linecache
won() if 'left' in linecache.cache else None
""",
    ),
    "warnings": (
        """
import warnings
warnings.filterwarnings('error', message='left')
""",
        """
import warnings
won() if 'left' in repr(warnings.filters) else None
""",
    ),
    "stdout": ("sys.stdout.left = 1", "won(sys.stdout.left)"),
    "main": ("sys.modules['__main__'].left = 1", "won(sys.modules['__main__'].left)"),
    "interned-secret": (
        """
secret = sys.intern('left' + 'over' * 3)
sys.kept_alive = secret
""",
        """
import gc
gc.unfreeze()
won() if hasattr(sys, 'kept_alive') else None
""",
    ),
    "bytes-in-memory": (
        """
hold = ctypes.create_string_buffer(b'left' + b'-in-memory-' + b'of-the-run' + bytes(5000))
sys.kept = hold
sys.where = ctypes.addressof(hold)
""",
        """
won(ctypes.string_at(sys.where, 10)) if ctypes.string_at(sys.where, 10) == b'left-in-me' else None
""",
    ),
    "executable-patched": (
        """
area = machine_code(b'\\xc3')
sys.left_code = area
area(0, 0, 0)
""",
        """
sys.left_code(0, 0, 0)
won('code of another run')
""",
    ),
    "library-text-patched": (
        """
page = ctypes.cast(libc.getppid, ctypes.c_void_p).value
raw(10, page & -4096, 8192, 7) and tell('not writable')
ctypes.memmove(page, bytes.fromhex('b84d010000c3'), 6)
""",
        "won('getppid is patched') if libc.getppid() == 333 else None",
    ),
    "keyring": (
        "tell(raw(248, b'user', place['tag'].encode(), b'left', 4, -4))",
        """
answer = raw(249, b'user', place['tag'].encode(), 0, 0)
if answer >= 0:
    won(answer)
    raw(250, 9, answer, -4)
""",
    ),
    "sysv-shm": (
        "tell(raw(29, place['key'], 4096, 0o1600))",
        """
answer = raw(29, place['key'], 4096, 0o600)
won(answer) if answer >= 0 else None
""",
    ),
    "temporary-file": (
        OWN.format(folder="/tmp") + "open(path, 'w').close()",
        OWN.format(folder="/tmp") + "won() if os.path.exists(path) else None",
    ),
    "shared-file": (
        OWN.format(folder="/dev/shm") + "open(path, 'w').close()",
        OWN.format(folder="/dev/shm") + "won() if os.path.exists(path) else None",
    ),
    "abstract-socket": (
        """
import socket
sys.left = socket.socket(socket.AF_UNIX)
sys.left.bind('\\0' + place['tag'])
sys.left.listen()
""",
        """
import socket
socket.socket(socket.AF_UNIX).connect('\\0' + place['tag'])
won()
""",
    ),
    "mount": (
        """
os.mkdir('m')
libc.mount(b'tmpfs', b'm', b'tmpfs', 0, None) and tell('refused')
os.mkdir('m/left')
""",
        """
won() if os.path.exists('m/left') else None
libc.umount2(b'm', 2)
""",
    ),
    "namespace": (
        """
tell(libc.unshare(0x04000000))
libc.sethostname(b'left-over', 9)
""",
        "won() if os.uname().nodename == 'left-over' else None",
    ),
    "process": (
        """
pid = os.fork()
if pid == 0:
    time.sleep(3)
    os._exit(0)
sys.left_pid = pid
""",
        """
os.kill(sys.left_pid, 0)
won('a process of the run before')
os.kill(sys.left_pid, 9)
os.waitpid(sys.left_pid, 0)
""",
    ),
    "descriptor": (
        "os.dup2(0, 40)",
        """
os.fstat(40)
won()
""",
    ),
    "channel-bytes": (
        "os.write(3, b'\\x06\\0\\0') if not place['plain'] else setattr(sys, 'left', 1)",
        "won(sys.left)",
    ),
    "descriptor-flags": ("os.set_blocking(0, False)", "won() if not os.get_blocking(0) else None"),
}
"""What the first run does, and what the second looks for."""

OF_ROOT = {"mount", "namespace"}
LACKING = {
    "shared-file": "the host may have no /dev/shm",
    "affinity": "one processor is too few",
    "keyring": "a kernel may be built without KEYS",
}

ATTACKS = [
    Attack(name=name, code=first, then=second, root=name in OF_ROOT, may_lack=LACKING.get(name, ""))
    for name, (first, second) in PAIRS.items()
]
