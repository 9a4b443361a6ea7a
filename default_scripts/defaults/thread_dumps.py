# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Thread dump analysis"
# description = "Thread dumps of a gateway: states, deadlocks, wanted locks, and threads that are stuck across dumps"
# kind = "utility"
# entrypoint = "main"
# tags = ["ignition", "java"]
# [tool.gatewright.params.dump]
# type = "file"
# help = "one dump or several in one file; documents/samples/thread_dumps.log is one to try"
# [tool.gatewright.params.second]
# type = "file"
# required = false
# help = "a later dump of the same gateway"
# [tool.gatewright.params.third]
# type = "file"
# required = false
# help = "a still later one"
# [tool.gatewright.params.top]
# type = "int"
# default = 10
# help = "how many rows of each table to list"
# [tool.gatewright.limits]
# timeout = 120
# ///
"""Analysis of one or more thread dumps of a Java program, in the order in which they were taken.

Understood are the JSON that an Ignition gateway's status page exports, the two texts that it writes (of the page, and
of ``system.util.threadDump``), and the text of ``jstack`` and ``kill -3``, also as it stands in a wrapper.log. A file
may hold several dumps of the last kind. Files that Windows saved as UTF-16 are read, too.

Stuck is a thread that has the same stack in every dump and is not idle: a worker of a pool that waits for work, a timer
or a server's socket that waits for clients is idle. Three dumps about ten seconds apart tell most.
"""

import collections
import json
import re
import sys

COLUMNS = re.compile(r"^\w+ *\| jvm \d+ *\| [\d/]{10} [\d:]{8} \| ?", re.MULTILINE)
"""What the service wrapper puts in front of each line."""

JAVA_BEGIN = re.compile(r"^Full thread dump", re.MULTILINE)
JAVA_THREAD = re.compile(r'^"(?P<name>.*)" (?=#|daemon|prio=|os_prio=|tid=|cpu=|\[)(?P<rest>.*)$')
JAVA_STATE = re.compile(r"^\s+java\.lang\.Thread\.State: (\w+)")
JAVA_LOCK = re.compile(
    r"^\s+- (locked|waiting on|waiting to lock|waiting to re-lock in wait\(\)|parking to wait for) +<(\w+)>"
)
JAVA_OWNED = re.compile(r"^\s+- <(\w+)> \(a ")
PAGE_THREAD = re.compile(r"^(?:Daemon )?Thread \[(?P<name>.*)\] id=(?P<id>\d+), \((?P<state>\w+)\)")
PAGE_WAITS = re.compile(r"^\s+waiting for: (\S+)(?: \(owned by (\d+))?")
PAGE_OWNS = re.compile(r"^\s+owns (?:monitor|synchronizer): (\S+)")
SCRIPT_NAME = re.compile(r'^"(.*)"$')
SCRIPT_CPU = re.compile(r"^\s+CPU: ([\d.]{1,9})%")

IDLE = re.compile(
    r"ThreadPoolExecutor\.getTask|ForkJoinPool\.awaitWork|ForkJoinPool\.runWorker|TimerThread\.mainLoop"
    r"|ReferenceQueue\.remove|Reference\.waitForReferencePendingList|DelayedWorkQueue\.take|DelayQueue\.take"
    r"|EPoll\.wait|EPollArrayWrapper\.epollWait|ServerSocket|\.accept0|Net\.accept|QueuedThreadPool\.idleJobPoll"
    r"|ReservedThreadExecutor|Signal\.|CleanerImpl|WrapperManager"
)
"""Frames below which a thread waits for something to do."""

STATES = ["RUNNABLE", "BLOCKED", "WAITING", "TIMED_WAITING", "NEW", "TERMINATED"]


class Thread:
    """One thread of one dump. ``wants`` is the lock it waits for, ``owner`` the id of who has it if that is said."""

    __slots__ = ("cpu", "elapsed", "holds", "id", "name", "owner", "stack", "state", "wants")

    def __init__(self, name, number, state=""):
        self.name, self.id, self.state = name, number, state
        self.stack, self.holds = [], set()
        self.wants = self.owner = self.cpu = self.elapsed = None

    @property
    def idle(self):
        return any(IDLE.search(frame) for frame in self.stack) or not self.stack

    @property
    def place(self):
        """The first frame that says something: not that of the lock or the wait itself."""
        frames = [frame for frame in self.stack if not frame.startswith(("java.", "jdk.", "sun.", "javax."))]
        return (frames or self.stack or [""])[0]


def main(dump, second=None, third=None, top: int = 10):
    """Read the dumps and tell what the threads do."""
    dumps = []
    for file in (dump, second, third):
        if file is not None:
            found = [threads for threads in dumps_of(decoded(file.read())) if threads]
            if not found:
                raise SystemExit(f"There is no thread dump in {file.name}.")
            print(f"{file.name}: {len(found)} dump(s), {', '.join(f'{len(threads):,}' for threads in found)} threads")
            dumps += found
    report = analysis(dumps, max(0, top))
    print_report(report)
    return report


def decoded(data):
    """The text of a file, whatever program saved it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


# -- reading -----------------------------------------------------------------------------------------------------------


def dumps_of(text):
    """The dumps in a text: a list of threads each."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [json_threads(json.loads(text))]
        except (ValueError, RecursionError):
            return []
    text = COLUMNS.sub("", text)
    if JAVA_BEGIN.search(text):
        return [java_threads(part) for part in JAVA_BEGIN.split(text)]
    lines = text.splitlines()
    if any(PAGE_THREAD.match(line) for line in lines):
        return [page_threads(lines)]
    return [java_threads(text) or script_threads(lines)]


def json_threads(data):
    """The threads of Ignition's JSON."""
    found = data.get("threads") if isinstance(data, dict) else data
    threads = []
    for each in found if isinstance(found, list) else []:
        if not isinstance(each, dict):
            continue
        thread = Thread(str(each.get("name")), str(each.get("id")), str(each.get("state") or ""))
        thread.stack = [str(frame) for frame in items(each.get("stacktrace"))]
        thread.holds = {
            str(lock.get("lock") if isinstance(lock, dict) else lock) for lock in items(each.get("lockedMonitors"))
        }
        thread.holds |= {str(lock) for lock in items(each.get("lockedSynchronizers"))}
        waiting = each.get("waitingFor")
        if isinstance(waiting, dict) and waiting.get("lock"):
            thread.wants = str(waiting["lock"])
            thread.owner = str(waiting["owner"]) if waiting.get("owner") not in (None, -1) else None
        cpu = each.get("cpuUsage")
        thread.cpu = float(cpu) if isinstance(cpu, (int, float)) and abs(cpu) < 1e9 else None
        threads.append(thread)
    return threads


def items(value):
    return value if isinstance(value, list) else []


def java_threads(text):
    """The threads of what jstack and kill -3 write."""
    threads = []
    thread = None
    waited = set()
    for line in text.splitlines():
        if line[:1] == '"':
            found = JAVA_THREAD.match(line)
            thread = started(threads, found) if found else None
            waited = set()
        elif line.strip() and not line[0].isspace():
            thread = None  # another part of the dump, such as Java's own list of deadlocks
        elif thread is not None:
            take(thread, waited, line)
    return [thread for thread in threads if thread.state]  # those of the virtual machine itself have none


def take(thread, waited, line):
    """Note what a line below a thread's first one says."""
    if found := JAVA_STATE.match(line):
        thread.state = found[1]
    elif found := JAVA_OWNED.match(line):
        thread.holds.add(found[1])
    elif line.lstrip().startswith("at "):
        thread.stack.append(line.strip()[3:])
    elif (found := JAVA_LOCK.match(line)) and found[1] != "locked":
        waited.add(found[2])
        thread.wants = thread.wants or found[2]
    elif found and found[2] not in waited:  # Object.wait() gives the lock back that a frame below has taken
        thread.holds.add(found[2])


def started(threads, found):
    """A thread by its first line."""
    rest = found["rest"]
    number = re.search(r"\btid=(\w+)", rest) or re.search(r"^#(\d+)", rest)
    thread = Thread(found["name"], number[1] if number else found["name"])
    cpu, elapsed = re.search(r"\bcpu=([\d.]{1,15})ms", rest), re.search(r"\belapsed=([\d.]{1,15})s", rest)
    thread.cpu, thread.elapsed = number_of(cpu), number_of(elapsed)
    threads.append(thread)
    return thread


def number_of(found):
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def page_threads(lines):
    """The threads of the text of the gateway's page."""
    threads = []
    for line in lines:
        if found := PAGE_THREAD.match(line):
            threads.append(Thread(found["name"], found["id"], found["state"]))
        elif not threads or not line[:1].isspace():
            continue
        elif found := PAGE_WAITS.match(line):
            threads[-1].wants, threads[-1].owner = found[1], found[2]
        elif found := PAGE_OWNS.match(line):
            threads[-1].holds.add(found[1])
        elif line.strip():
            threads[-1].stack.append(line.strip())
    return threads


def script_threads(lines):
    """The threads of system.util.threadDump. It gives no ids: threads of one name are numbered."""
    threads = []
    known = collections.Counter()
    for line in lines:
        if found := SCRIPT_NAME.match(line):
            known[found[1]] += 1
            threads.append(Thread(found[1], f"{found[1]}#{known[found[1]]}"))
        elif not threads:
            continue
        elif found := SCRIPT_CPU.match(line):
            threads[-1].cpu = number_of(found)
        elif found := JAVA_STATE.match(line):
            threads[-1].state = found[1]
        elif line[:1].isspace() and line.strip():
            threads[-1].stack.append(line.strip())
    return [thread for thread in threads if thread.state]


# -- analysis ----------------------------------------------------------------------------------------------------------


def analysis(dumps, top):
    """What the dumps say, as plain data. Locks and the busiest threads are those of the last one."""
    last = dumps[-1] if dumps else []
    deadlocks = {}
    for number, threads in enumerate(dumps, 1):
        for circle in circles(threads):
            deadlocks.setdefault(tuple(sorted(circle)), (circle, []))[1].append(number)
    pools = collections.Counter(pool(thread.name) for thread in last)
    stuck = stuck_groups(dumps)
    return {
        "dumps": len(dumps),
        "threads": [len(threads) for threads in dumps],
        "states": [states(threads) for threads in dumps],
        "deadlocks": [{"threads": circle, "dumps": numbers} for circle, numbers in deadlocks.values()],
        "locks": wanted_locks(last)[:top],
        "stuck": stuck[:top],
        "stuck_threads": sum(each["count"] for each in stuck),
        "busiest": busiest(dumps)[:top],
        "pools": [{"pool": name, "threads": count} for name, count in pools.most_common(top)],
    }


def states(threads):
    """The number of threads by state."""
    found = collections.Counter(thread.state for thread in threads)
    return {state: found[state] for state in [*STATES, *sorted(set(found) - set(STATES))] if found[state]}


def pool(name):
    """The name without the number at its end."""
    return re.sub(r"[-#\s]?\[?\d{1,9}\]?$", "", name[:200]) or name[:200]


def blockers(threads):
    """The thread that has what another one waits for, by position."""
    by_id = {thread.id: index for index, thread in enumerate(threads)}
    holders = {lock: index for index, thread in enumerate(threads) for lock in thread.holds}
    found = {}
    for index, thread in enumerate(threads):
        if thread.wants is not None:
            owner = by_id.get(thread.owner, holders.get(thread.wants))
            if owner is not None and owner != index:
                found[index] = owner
    return found


def circles(threads):
    """The deadlocks: threads that wait for each other in a circle, in that order, by name."""
    waits = blockers(threads)
    seen = {}
    found = []
    for begin in waits:
        index, way = begin, []
        while index in waits and index not in seen:
            seen[index] = begin
            way.append(index)
            index = waits[index]
        if seen.get(index) == begin and index in way:
            found.append([threads[each].name for each in way[way.index(index) :]])
    return found


def wanted_locks(threads):
    """Locks that others wait for while a thread has them, the most wanted first."""
    waiting = collections.defaultdict(list)
    for index, owner in blockers(threads).items():
        waiting[threads[index].wants, owner].append(threads[index].name)
    rows = [
        {"lock": lock, "waiting": len(names), "owner": threads[owner].name, "owner_is_at": threads[owner].place}
        for (lock, owner), names in waiting.items()
    ]
    return sorted(rows, key=lambda row: (-row["waiting"], row["owner"]))


def stuck_groups(dumps):
    """Threads with the same stack in every dump, those at the same place together."""
    if len(dumps) < 2:
        return []
    later = [{(thread.name, thread.id): thread for thread in threads} for threads in dumps[1:]]
    groups = collections.defaultdict(list)
    for thread in dumps[0]:
        same = [found.get((thread.name, thread.id)) for found in later]
        if not thread.idle and all(each is not None and each.stack == thread.stack for each in same):
            groups[same[-1].state, thread.place, tuple(thread.stack)].append(thread.name)
    rows = [
        {"state": state, "at": place, "count": len(names), "threads": names[:50], "stack": list(stack[:20])}
        for (state, place, stack), names in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["at"]))


def busiest(dumps):
    """Threads by processor time: of the time between first and last dump, or as the dump says."""
    rows = []
    before = {(thread.name, thread.id): thread for thread in dumps[0]} if len(dumps) > 1 else {}
    for thread in dumps[-1] if dumps else []:
        share = thread.cpu
        if thread.elapsed is not None:  # milliseconds since the thread began
            first = before.get((thread.name, thread.id))
            spent = thread.elapsed - (first.elapsed or 0) if first else thread.elapsed
            used = (thread.cpu or 0) - (first.cpu or 0) if first else thread.cpu or 0
            share = used / 10 / spent if spent > 0 else None
        if share and share >= 0.05:
            rows.append({"thread": thread.name, "cpu_percent": round(share, 1), "at": thread.place})
    return sorted(rows, key=lambda row: (-row["cpu_percent"], row["thread"]))


# -- output ------------------------------------------------------------------------------------------------------------


def print_report(report):
    for number, found in enumerate(report["states"], 1):
        print(f"dump {number}: " + "   ".join(f"{state} {count:,}" for state, count in found.items()))
    print("\nthreads  pool")
    for row in report["pools"]:
        print(f"{row['threads']:7,}  {row['pool'][:70]}")
    print_tables(report)
    print()
    if report["dumps"] > 1:
        print(f"Stuck in all {report['dumps']} dumps: {report['stuck_threads']:,} threads.")
    if not report["deadlocks"]:
        print("No deadlock.")
    for each in report["deadlocks"]:
        print(f"DEADLOCK in dump {', '.join(map(str, each['dumps']))}: each waits for the next, the last for the first")
        for name in each["threads"][:20]:
            print(f"   {name[:76]}")


def print_tables(report):
    if report["locks"]:
        print("\nwaiting  owner of the lock, and where it is")
    for row in report["locks"]:
        print(f"{row['waiting']:7,}  {row['owner'][:70]}\n{'':9}{short(row['owner_is_at'])}")
    if report["stuck"]:
        print("\n  stuck  state and threads, and where they are")
    for row in report["stuck"]:
        names = ", ".join(row["threads"][:3]) + (", ..." if row["count"] > 3 else "")
        print(f"{row['count']:7,}  {row['state']}: {names[:60]}\n{'':9}{short(row['at'])}")
    if report["busiest"]:
        print("\n  CPU %  thread, and where it is")
    for row in report["busiest"]:
        print(f"{row['cpu_percent']:7.1f}  {row['thread'][:70]}\n{'':9}{short(row['at'])}")


def short(frame, width=70):
    """A frame with as few letters of its packages as it takes: ``c.i.g.tags.History.run(History.java:12)``."""
    name, bracket, source = frame.partition("(")
    parts = name.split(".")
    for index in range(len(parts) - 2):
        if len(frame) <= width:
            break
        parts[index] = parts[index][:1]
        frame = ".".join(parts) + bracket + source
    return frame[:width]


class Local:
    """A file named on the command line, as a run gets it."""

    def __init__(self, path):
        self.name = path

    def read(self):
        with open(self.name, "rb") as file:
            return file.read()


if __name__ == "__main__":  # python3 thread_dumps.py first.txt [second.txt [third.txt]]
    main(*map(Local, sys.argv[1:4]))
