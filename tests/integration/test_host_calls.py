"""Calls of a run to the engine, frame by frame: answered from any thread, bounded, and no way to harm the engine."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import pytest_asyncio

from engine.models.runs import Outcome
from engine.pool.job import Reply
from engine.pool.outcome import Intervention
from engine.pool.pool import Pool
from engine.worker.wire import MAX_CALL_FRAME, MAX_CALLS_AT_ONCE, MAX_REPLY
from tests.integration.pool_kit import ADMIN, expect_innocent, limits, make_job, pool_of, run, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

RAW = """
import os, struct
def frame(number, text=b'{}', kind=5):
    payload = struct.pack('<I', number) + text
    os.write(3, struct.pack('<IB', len(payload), kind) + payload)
"""
"""What a script can do that knows the format: descriptor 3 is the run's socket."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as opened:
        yield opened


class Answers:
    """``HostCalls`` that answers with what was asked, or as a test says."""

    def __init__(self, answer: Callable[[Any, Reply], None] | None = None) -> None:
        self.asked: list[Any] = []
        self.ends = 0
        self._answer = answer

    def call(self, payload: bytes, reply: Reply) -> None:
        self.asked.append(json.loads(payload))
        if self._answer is None:
            send(reply, self.asked[-1])
        else:
            self._answer(self.asked[-1], reply)

    def end(self) -> None:
        self.ends += 1


def send(reply: Reply, answer: object, fds: Sequence[int] = ()) -> None:
    reply(json.dumps({"ok": answer}).encode(), fds)


async def test_a_call_is_answered_with_what_was_asked(pool: Pool) -> None:
    answers = Answers()
    code = "import gatewright\nresult = gatewright._call('echo', {'to': 'x'}, number=7, none=None)"
    done = await run(pool, code, calls=answers)
    assert done.value == {"op": "echo", "params": {"number": 7}, "body": {"to": "x"}}, done.ending
    assert (len(answers.asked), answers.ends) == (1, 1)


async def test_a_run_that_does_not_import_it_has_nothing_of_it(pool: Pool) -> None:
    code = "import sys\nresult = [name for name in sys.modules if name.endswith(('gatewright', '.sdk', '.caller'))]"
    assert (await run(pool, code, calls=Answers())).value == []


async def test_no_file_stands_in_for_it(pool: Pool) -> None:
    """Neither what lies beside a script nor what is installed under its name is imported in its place."""
    code = (
        "import sys, pathlib\nsys.path.insert(0, '.')\npathlib.Path('gatewright.py').write_text('other = 1')\n"
        "import gatewright\nresult = [hasattr(gatewright, 'other'), gatewright.params]"
    )
    done = await run(pool, code, calls=Answers(), params={"a": 1})
    assert done.value == [False, {"a": 1}], done.ending


async def test_every_thread_gets_its_own_answer(pool: Pool) -> None:
    """Also when they come in another order than they were asked in, and there are more threads than calls at once."""
    waiting: list[tuple[Any, Reply]] = []

    def answer(asked: Any, reply: Reply) -> None:
        waiting.append((asked["params"]["n"], reply))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_later(0.005, release)

    def release() -> None:
        taken, waiting[:] = waiting[::-1], []
        for number, reply in taken:
            send(reply, number * 2)

    code = (
        "import gatewright\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "ask = lambda n: gatewright._call('double', n=n)\n"
        "with ThreadPoolExecutor(40) as threads:\n    result = list(threads.map(ask, range(200)))"
    )
    answers = Answers(answer)
    done = await run(pool, code, calls=answers, limits=limits(memory=2 << 30))
    assert done.value == [n * 2 for n in range(200)], done.ending


async def test_without_anything_that_answers_a_call_is_refused(pool: Pool) -> None:
    code = (
        "import gatewright\ntry:\n    gatewright.runs.current()\n"
        "except gatewright.Error as error:\n    result = [error.code, error.message]"
    )
    assert (await run(pool, code)).value == ["unavailable", "This run cannot call the engine."]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (f"os.write(3, struct.pack('<IB', {MAX_CALL_FRAME + 1}, 5))", "over the limit"),
        ("os.write(3, struct.pack('<IBI', 4, 5, 1))", "a CALL frame of 4 bytes"),
        ("frame(1), frame(1)", "of one number"),
        (f"[frame(n) for n in range({MAX_CALLS_AT_ONCE + 1})]", f"more than {MAX_CALLS_AT_ONCE}"),
        ("frame(1, kind=6)", "of type 6"),
    ],
)
async def test_frames_of_no_honest_child_end_it(pool: Pool, sent: str, problem: str) -> None:
    answers = Answers(lambda asked, reply: None)
    done = await run(pool, f"{RAW}\n{sent}\nimport time\ntime.sleep(60)", calls=answers)
    assert done.outcome is Outcome.PROTOCOL
    assert done.ending.error is not None
    assert problem in done.ending.error.message
    assert answers.ends == 1
    await expect_innocent(pool)


async def test_replies_that_are_not_read_do_not_fill_the_engine(pool: Pool) -> None:
    """A child that asks on and on and reads nothing is ended as soon as its socket is full."""
    answers = Answers(lambda asked, reply: send(reply, "x" * (1 << 20)))
    done = await run(pool, f"{RAW}\nfor n in range(10**6): frame(n)", calls=answers)
    assert done.outcome is Outcome.PROTOCOL, done.ending
    assert len(answers.asked) <= 2 * MAX_CALLS_AT_ONCE
    await expect_innocent(pool)


async def test_what_is_too_large_is_refused_and_the_run_goes_on(pool: Pool) -> None:
    def answer(asked: Any, reply: Reply) -> None:
        send(reply, "x" * (MAX_REPLY if asked["op"] == "much" else 10))

    code = (
        "import gatewright\n"
        "def told(op, **given):\n"
        "    try:\n        return gatewright._call(op, **given)\n"
        "    except gatewright.Error as error:\n        return [error.code, str(error)]\n"
        "deep = []\nfor _ in range(100_000): deep = [deep]\n"
        f"result = [told('much'), told('few', big='x' * {MAX_CALL_FRAME}), told('few', deep=deep), "
        "told('few', odd=object()), told('few', nan=float('nan')), told('few'), "
        "told('nested', many=[[]] * 10_000), told('text', many='\\\\\"[[' * 10_000)[:3]]"
    )
    answers = Answers(answer)
    value = (await run(pool, code, calls=answers)).value
    codes = [each[0] if isinstance(each, list) else each for each in value]
    assert codes == [
        "too_large",
        "too_large",
        "bad_request",
        "bad_request",
        "bad_request",
        "x" * 10,
        "too_large",
        "x" * 3,
    ]
    assert value[0][1] == "The answer has 8.0 MiB; a script is given 8 MiB at most. Ask for less at once."
    assert value[6][1].startswith("The call holds more than 10,000 lists and objects.")
    assert [asked["op"] for asked in answers.asked] == ["much", "few", "text"]


async def test_a_large_answer_arrives_whole(pool: Pool) -> None:
    answers = Answers(lambda asked, reply: send(reply, "ä" * (1 << 19)))
    code = "import gatewright\ntexts = {gatewright._call('x') for _ in range(5)}\nresult = [len(t) for t in texts]"
    assert (await run(pool, code, calls=answers)).value == [1 << 19]


async def test_a_cancelled_run_gives_up_its_call(pool: Pool) -> None:
    """Its answer, when it comes, goes nowhere; the next run has calls of its own."""
    under_way: list[Reply] = []
    answers = Answers(lambda asked, reply: under_way.append(reply))
    job = make_job("import gatewright\ngatewright._call('slow')", calls=answers, limits=limits(wall=60.0))
    ending = pool.submit(job)
    await until(lambda: under_way, "the call has come")
    assert answers.ends == 0
    pool.cancel(job.run_id, Intervention(Outcome.CANCELLED, "Enough."))
    assert (await ending).outcome is Outcome.CANCELLED
    assert answers.ends == 1
    send(under_way[0], "late")
    done = await run(pool, "import gatewright\nresult = gatewright._call('new')['op']", calls=Answers())
    assert done.value == "new"


async def test_a_second_answer_to_a_call_is_none(pool: Pool) -> None:
    def twice(asked: Any, reply: Reply) -> None:
        send(reply, asked["params"]["n"])
        send(reply, "again")

    code = "import gatewright\nresult = [gatewright._call('x', n=n) for n in range(3)]"
    assert (await run(pool, code, calls=Answers(twice))).value == [0, 1, 2]


async def test_calls_at_a_runs_end_are_answered_or_die_with_it(pool: Pool) -> None:
    code = (
        "import atexit, gatewright, threading\n"
        "def on_and_on():\n    while True: gatewright._call('thread')\n"
        "threading.Thread(target=on_and_on, daemon=True).start()\n"
        "atexit.register(lambda: print(gatewright._call('last')['op']))\nresult = gatewright._call('main')['op']"
    )
    for _ in range(5):
        answers = Answers()
        done = await run(pool, code, calls=answers)
        assert (done.outcome, done.value, done.sink.stdout) == (Outcome.OK, "main", "last\n"), done.ending
        asked = len(answers.asked)
        await expect_innocent(pool)
        assert (len(answers.asked), answers.ends) == (asked, 1)


async def test_a_signal_handler_may_end_a_call_at_any_moment(pool: Pool) -> None:
    """What was read of its reply is not lost, nor taken for another's."""

    def answer(asked: Any, reply: Reply) -> None:
        asyncio.get_running_loop().call_later(0.0005, send, reply, [asked["params"]["n"]] * 20_000)

    code = """
import gatewright, signal
class Enough(Exception): pass
def stop(*_):
    raise Enough
signal.signal(signal.SIGALRM, stop)
stopped, wrong = 0, []
for n in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + n % 50 * 0.00005)
        answer = gatewright._call('x', n=n)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if set(answer) != {n}: wrong.append(n)
    except Enough:
        stopped += 1
signal.setitimer(signal.ITIMER_REAL, 0)
result = [stopped > 0, wrong, gatewright._call('x', n='last')[0]]
"""
    done = await run(pool, code, calls=Answers(answer), wall=30.0)
    assert done.value == [True, [], "last"], done.ending


async def test_exceptions_of_handlers_leave_no_call_behind(pool: Pool) -> None:
    """Wherever they are raised, also in the lines that send a call and end it."""
    code = """
import gatewright, signal
class Enough(Exception): pass
def stop(*_):
    raise Enough
signal.signal(signal.SIGALRM, stop)
wrong = []
for n in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00002 + n % 100 * 0.000003)
        answer = gatewright._call('x', n=n)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if answer != n: wrong.append([n, answer])
    except Enough:
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
result = [wrong, gatewright._call('x', n='last')]
"""
    answers = Answers(lambda asked, reply: send(reply, asked["params"]["n"]))
    done = await run(pool, code, calls=answers, wall=30.0)
    assert done.value == [[], "last"], done.ending


async def test_an_exception_right_after_a_call_was_written_leaves_it_counted(pool: Pool) -> None:
    """Else more calls would be under way than an honest child may make, and the run would be ended for that."""
    code = """
import gatewright, sys
class Enough(Exception): pass
def stop(frame, event, called):
    if event == "c_return" and called.__name__ in ("write", "extend"):
        raise Enough
stopped = 0
for n in range(40):
    sys.setprofile(stop)
    try:
        gatewright._call('x', n=n)
    except Enough:
        stopped += 1
    finally:
        sys.setprofile(None)
result = [stopped, gatewright._call('x', n='last')]
"""
    held: list[Reply] = []

    def answer(asked: Any, reply: Reply) -> None:
        if asked["params"]["n"] == "last":
            send(reply, "last")
        held.append(reply)
        if len(held) == MAX_CALLS_AT_ONCE:
            for each in held:
                send(each, "late")

    done = await run(pool, code, calls=Answers(answer), wall=30.0)
    assert done.value == [40, "last"], done.ending


async def test_a_handler_that_calls_within_a_call_is_told_so(pool: Pool) -> None:
    def answer(asked: Any, reply: Reply) -> None:
        asyncio.get_running_loop().call_later(0.05, send, reply, asked["op"])

    code = """
import gatewright, signal
told = []
def ask(*_):
    try: told.append(gatewright._call('inner'))
    except gatewright.Error as error: told.append(error.code)
signal.signal(signal.SIGALRM, ask)
signal.setitimer(signal.ITIMER_REAL, 0.01)
result = [gatewright._call('outer'), told]
"""
    assert (await run(pool, code, calls=Answers(answer))).value == ["outer", ["busy"]]


async def test_descriptors_come_with_the_answer_that_they_are_of(pool: Pool) -> None:
    fds = []
    for text in (b"one", b"two", b"three"):
        fds.append(os.memfd_create("test"))
        os.write(fds[-1], text)

    def answer(asked: Any, reply: Reply) -> None:
        send(reply, "none") if asked["op"] == "plain" else send(reply, "some", asked_for(asked["op"]))

    def asked_for(op: str) -> list[int]:
        return fds[:1] if op == "first" else fds[1:]

    code = (
        "import gatewright, os\n"
        "def texts(op):\n    answer, fds = gatewright._call_with_buffers(op, None, {})\n"
        "    return [os.pread(fd, 10, 0).decode() for fd in fds]\n"
        "result = [texts(op) for op in ('plain', 'first', 'plain', 'others', 'first')]"
    )
    done = await run(pool, code, calls=Answers(answer))
    for fd in fds:
        os.close(fd)
    assert done.value == [[], ["one"], [], ["two", "three"], ["one"]], done.ending


async def test_a_process_that_a_script_has_forked_does_not_call(pool: Pool) -> None:
    code = """
import gatewright, os
pid = os.fork()
if pid == 0:
    try: gatewright._call('child')
    except gatewright.Error as error: print(error.code, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
result = gatewright._call('parent')['op']
"""
    answers = Answers()
    done = await run(pool, code, calls=answers, profile=ADMIN)
    assert (done.value, done.sink.stdout) == ("parent", "unavailable\n"), done.ending
    assert [asked["op"] for asked in answers.asked] == ["parent"]
