"""Starting processes, and acting on those that are there."""

from __future__ import annotations

from attack import Attack

STARTS = {
    "fork": "pid = os.fork()",
    "fork-raw": "pid = raw(57)",
    "clone": "pid = raw(56, 17, 0, 0, 0, 0)",
    "clone-parent": "first = raw(57)\nif first > 0:\n    os.waitpid(first, 0)\n    sys.exit()\n"
    "pid = raw(56, 0x8000 | 17, 0, 0, 0, 0)",
    "clone-new-user": "pid = raw(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone-untraced": "pid = raw(56, 0x00800000 | 17, 0, 0, 0, 0)",
    "clone-high-bits": "pid = raw(56, (1 << 32) | 17, 0, 0, 0, 0)",
    "clone3": "pid = raw(435, struct.pack('QQQQQQQQ', 0, 0, 0, 0, 17, 0, 0, 0), 64)",
    "forkpty": "pid, _ = os.forkpty()",
}
"""Each leaves ``pid``: 0 in the new process."""

IN_BOTH = """
if pid == 0:
    libc.write(1, b"new", 0)
    os._exit(0)
if pid < 0:
    raise OSError(-pid, os.strerror(-pid))
won(f"process {pid}")
with contextlib.suppress(OSError):
    os.waitpid(pid, 0)
"""

SHELL = "['/bin/sh', '-c', 'echo got-\"$0\"', 'through']"
"""The shell puts the sign together, so that no error message can look like it."""

EXECS = {
    "execve": f"os.execv('/bin/sh', {SHELL})",
    "execveat": "raw(322, os.open('/bin/sh', os.O_PATH), b'', (ctypes.c_char_p * 5)(*[a.encode() for a in "
    f"{SHELL}], None), (ctypes.c_char_p * 1)(None), 0x1000)",
    "exec-own-interpreter": "os.execv(sys.executable, [sys.executable, '-c', 'print(\"got-\" + \"through\")'])",
    "posix-spawn": f"os.waitpid(os.posix_spawn('/bin/sh', {SHELL}, {{}}), 0)",
    "subprocess": f"__import__('subprocess').run({SHELL})",
    "subprocess-vfork": f"__import__('subprocess').Popen({SHELL}, close_fds=False).wait()",
    "system": "os.system('echo got-\"through\"')",
    "popen": "tell(os.popen('echo got-\"through\"').read())",
    "spawn": f"os.spawnv(os.P_WAIT, '/bin/sh', {SHELL})",
    "system-of-c": "libc.system(b'echo got-\"through\"')",
    "multiprocessing": "(lambda m: (p := m.Process(target=os.system, args=('echo got-\"through\"',))) and (p.start(), "
    "p.join()))(__import__('multiprocessing').get_context('fork'))",
    "pty-spawn": f"__import__('pty').spawn({SHELL})",
    "memfd-exec": "(lambda fd: (os.write(fd, open('/bin/sh', 'rb').read()), os.execve(fd, "
    f"{SHELL}, {{}})))(os.memfd_create('x'))",
    "scratch-exec": "(open('run', 'w').write('#!/bin/sh\\necho got-\"through\"'), os.chmod('run', 0o700), "
    "os.execv('./run', ['run']))",
}

SIGNALS = {
    "kill-victim": ("host:victim", "os.kill(place['victim_pid'], 9)"),
    "kill-victim-group": ("host:victim", "os.killpg(place['victim_pid'], 9)"),
    "tkill-victim": ("host:victim", "tell(raw(200, place['victim_pid'], 15))"),
    "tgkill-victim": ("host:victim", "tell(raw(234, place['victim_pid'], place['victim_pid'], 6))"),
    "queue-victim": (
        "host:victim",
        "tell(raw(129, place['victim_pid'], 15, struct.pack('iii', 15, 0, -1) + bytes(116)))",
    ),
    "pidfd-victim": ("host:victim", "tell(raw(424, os.pidfd_open(place['victim_pid']), 9, 0, 0))"),
    "kill-engine": ("host:signal", "os.kill(place['engine_pid'], 10)"),
    "tkill-engine": ("host:signal", "tell(raw(200, place['engine_pid'], 10))"),
    "tgkill-engine": ("host:signal", "tell(raw(234, place['engine_pid'], place['engine_pid'], 10))"),
    "queue-engine": (
        "host:signal",
        "tell(raw(129, place['engine_pid'], 10, struct.pack('iii', 10, 0, -1) + bytes(116)))",
    ),
    "queue-thread": (
        "host:signal",
        """
tell(raw(297, place['engine_pid'], place['engine_pid'], 10, struct.pack('iii', 10, 0, -1) + bytes(116)))
""",
    ),
    "pidfd-engine": ("host:signal", "tell(raw(424, os.pidfd_open(place['engine_pid']), 10, 0, 0))"),
    "own-group": (
        "host:victim",
        """
import signal
signal.signal(15, signal.SIG_IGN)
os.kill(0, 15)
""",
    ),
}

ASYNC_OWNER = """
import fcntl
reading, writing = os.pipe()
fcntl.fcntl(reading, fcntl.F_SETOWN, place["engine_pid"])
fcntl.fcntl(reading, 10, 10)
fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
os.write(writing, b"x")
time.sleep(0.05)
"""

ASYNC_OWNER_SOCKET = """
import fcntl, socket
reading, writing = socket.socketpair()
fcntl.ioctl(reading, 0x8901, struct.pack("i", place["engine_pid"]))
fcntl.fcntl(reading, 10, 10)
fcntl.ioctl(reading, 0x5452, struct.pack("i", 1))
writing.send(b"x")
time.sleep(0.05)
"""

OWN_SIGNAL_AT_EVERYBODY = """
os.kill(-1, 0)
won("every process of the host can be signalled")
"""

EXISTENCE = """
for pid in (place["engine_pid"], place["victim_pid"], place["launcher_pid"], os.getppid()):
    if pid > 1:
        enters(f"kill {pid}", 62, pid, 0)
        enters(f"pidfd_open {pid}", 434, pid, 0)
answers = {raw(62, pid, 0) for pid in range(2, 400) if pid != os.getpid()}
if len(answers) > 1:
    won(f"which processes there are: {answers}")
"""

NUMBERS_IN_USE = """
for name, number in (("getpgid", 121), ("getsid", 124), ("getpriority", 140), ("sched_getaffinity", 204)):
    for pid in (place["engine_pid"], place["victim_pid"], place["launcher_pid"]):
        room = ctypes.create_string_buffer(128)
        answer = raw(number, 0, pid) if name == "getpriority" else raw(number, pid, 128, room)
        tell(name, pid, answer)
        if answer > 0:
            won(f"there is a process {pid}")
"""

PTRACE = """
enters("PTRACE_SEIZE", 101, 0x4206, place["victim_pid"], 0, 0)
if not place["plain"]:
    enters("PTRACE_ATTACH", 101, 16, place["victim_pid"], 0, 0)
"""
"""Once one of them was successful the other is not needed, and would leave the victim stopped."""

ACTS = {
    "nice": "os.setpriority(os.PRIO_PROCESS, place['victim_pid'], 19)",
    "affinity": "os.sched_setaffinity(place['victim_pid'], {0})",
    "limits": "__import__('resource').prlimit(place['victim_pid'], 7, (33, 33))",
    "scheduler": "os.sched_setscheduler(place['victim_pid'], os.SCHED_BATCH, os.sched_param(0))",
    "io-priority": "tell(raw(251, 1, place['victim_pid'], (2 << 13) | 7))",
    "oom-score": "open('/proc/%d/oom_score_adj' % place['victim_pid'], 'w').write('500')",
}


NICE_OF_OTHERS = """
enters("setpriority of an account", 141, 2, place["nobody"], 19)
enters("setpriority of a group", 141, 1, place["nobody"], 19)
"""
"""Of an account and a group that nobody is in: the plain run must not slow down the machine."""

OWN_PRIORITY = """
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
won("real-time scheduling")
"""

VFORK = """
pid = machine_code(bytes.fromhex("b83a000000" "0f05" "85c0" "7509" "31ff" "b83c000000" "0f05" "4898" "c3"))(0, 0, 0)
tell("vfork", pid)
if pid > 0:
    won(f"process {pid}")
"""
"""mov eax, 58; syscall; in the new process exit(0), in this one return."""

CLOCK = """
spent = time.clock_gettime(~place["{whose}"] << 3 | 2)
won(f"the processor time of another process: {{spent}}")
"""
"""A clock's number holds a pid (linux/posix-timers.h); measured again and again it tells what the process is doing."""

ATTACKS = [
    *(
        Attack(
            name=name,
            code=statement + IN_BOTH,
            may_lack="a host may refuse user namespaces" if name == "clone-new-user" else "",
        )
        for name, statement in STARTS.items()
    ),
    *(Attack(name=name, code=statement) for name, statement in EXECS.items()),
    *(Attack(name=name, code=statement, shows=sign) for name, (sign, statement) in SIGNALS.items()),
    *(Attack(name=name, code=statement, shows="host:treated") for name, statement in ACTS.items()),
    Attack(name="vfork", code=VFORK),
    Attack(name="clock-of-victim", code=CLOCK.format(whose="victim_pid")),
    Attack(name="clock-of-engine", code=CLOCK.format(whose="engine_pid")),
    Attack(name="nice-of-others", code=NICE_OF_OTHERS),
    Attack(name="asynchronous-owner", code=ASYNC_OWNER, shows="host:signal"),
    Attack(name="asynchronous-socket-owner", code=ASYNC_OWNER_SOCKET, shows="host:signal"),
    Attack(name="everybody", code=OWN_SIGNAL_AT_EVERYBODY),
    Attack(name="existence", code=EXISTENCE),
    Attack(
        name="numbers-in-use",
        code=NUMBERS_IN_USE,
        core="without a pid namespace a script can tell which process numbers are taken",
    ),
    Attack(name="ptrace", code=PTRACE),
    Attack(name="real-time", code=OWN_PRIORITY, root=True),
]
