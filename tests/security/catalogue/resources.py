"""Taking more processors, processes, descriptors, files and output than a run may have. The host measures it."""

from __future__ import annotations

from attack import Attack

THREADS = """
import _thread
started = 0
def sleep():
    time.sleep(3)
_thread.stack_size(32 << 10)
try:
    while started < 1500:
        _thread.start_new_thread(sleep, ())
        started += 1
finally:
    tell(started, "threads")
    time.sleep(0.3)
"""

PROCESSES = """
import _thread
started = 0
for _ in range(120):
    pid = os.fork()
    if pid == 0:
        time.sleep(2)
        os._exit(0)
    started += 1
    if started > 60:
        won(f"{started} processes")
        break
time.sleep(0.2)
"""

BOMB = """
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
        won("a process more")
    except OSError as error:
        tell(error)
        break
"""

TIMERS = """
made, timer = 0, ctypes.c_int()
while made < 20_000 and raw(222, 1, 0, ctypes.byref(timer)) == 0:
    made += 1
tell(made, "timers")
if made > 10_000:
    won(f"{made} timers, each a part of the pending signals that the whole account may have")
"""

EMPTY_FRAMES = """
data = struct.pack("<IB", 0, 3) * 100_000
end = time.monotonic() + (0.3 if place["plain"] else 60)
while time.monotonic() < end:
    os.write(3, data)
"""

SPINNING = """
import threading
threading.stack_size(64 << 10)
for _ in range(16):
    threading.Thread(target=lambda: all(True for _ in iter(int, 1)), daemon=True).start()
while True:
    pass
"""

ENDLESS = {
    "loop": """
while True:
    pass
""",
    "power": "9 ** 9 ** 9",
    "regular-expression": """
import re
re.match('(a+)+$', 'a' * 60 + 'b')
""",
    "no-exceptions": """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
    "signals-blocked": """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    pass
""",
    "threads": SPINNING,
    "sleep": """
while True:
    time.sleep(100)
""",
    "exit-handler": """
import atexit
atexit.register(lambda: all(True for _ in iter(int, 1)))
sys.exit()
""",
    "finaliser": """
class Sticky:
    def __del__(self):
        while True:
            pass
sticky = Sticky()
del sticky
""",
    "read-of-the-channel": """
while True:
    os.read(3, 1)
""",
}

OPEN_FILES = """
import resource
with contextlib.suppress(ValueError, OSError):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
opened = 0
try:
    while opened < 600:
        os.dup(0)
        opened += 1
finally:
    tell(opened, "descriptors")
    if opened > 200:
        won(opened)
"""

INODES = """
made = 0
try:
    while made < 1300:
        os.mkdir(str(made))
        made += 1
finally:
    tell(made, "folders")
    if made > 1100:
        won(made)
"""

DEEP = """
depth = 0
try:
    while depth < 1300:
        os.mkdir("d")
        os.chdir("d")
        depth += 1
finally:
    tell(depth, "folders deep")
    if depth > 1100:
        won(depth)
"""

FLOODS = {
    "stdout": """
for _ in range(200):
    sys.stdout.write('x' * 99_999 + '\\n')
""",
    "stderr": """
for _ in range(200):
    sys.stderr.write('x' * 99_999 + '\\n')
""",
    "print": """
for _ in range(200_000):
    print('x' * 99)
""",
    "descriptor-1": """
for _ in range(20):
    data = b'y' * 1_000_000
    while data:
        data = data[os.write(1, data):]
""",
    "descriptor-2": """
for _ in range(20):
    data = b'y' * 1_000_000
    while data:
        data = data[os.write(2, data):]
""",
    "both": """
for _ in range(100):
    os.write(1, b'z' * 60_000)
    os.write(2, b'z' * 60_000)
    sys.stdout.write('x' * 60_000)
""",
    "threads": """
import threading
def flood():
    for _ in range(100):
        os.write(2, b'w' * 60_000)
all_of_them = [threading.Thread(target=flood) for _ in range(4)]
for t in all_of_them:
    t.start()
for t in all_of_them:
    t.join()
""",
}

ATTACKS = [
    Attack(name="threads", code=THREADS, shows="host:tasks", watched=True),
    Attack(name="processes", code=PROCESSES, watched=True),
    Attack(name="bomb", code=BOMB, watched=True),
    *(
        Attack(name=f"endless-{name}", code=code, shows="host:late", wall=0.3, watched=True, outcomes=("timeout",))
        for name, code in ENDLESS.items()
    ),
    Attack(name="timers", code=TIMERS),
    Attack(
        name="flood-empty-frames", code=EMPTY_FRAMES, shows="host:frames", wall=3.0, watched=True,
        outcomes=("protocol", "output_limit"),
    ),
    Attack(name="open-files", code=OPEN_FILES),
    Attack(name="inodes", code=INODES),
    Attack(name="deep-folders", code=DEEP),
    *(
        Attack(name=f"flood-{name}", code=code, shows="host:output", watched=True, outcomes=("output_limit",))
        for name, code in FLOODS.items()
    ),
]  # fmt: skip
