"""A run in memory: chunks in order, followers served, nothing after the end."""

import asyncio
from dataclasses import dataclass, field

from msgspec.structs import replace

from engine.models.runs import Mode, Outcome, OutputChunk, RunInfo, RunKind, RunState, Stream
from engine.services.runs.active import SEAL_BYTES, ActiveRun

OUT, ERR = Stream.STDOUT, Stream.STDERR


@dataclass
class Listener:
    chunks: list[OutputChunk] = field(default_factory=list)
    states: list[RunState] = field(default_factory=list)

    def run_changed(self, run: ActiveRun) -> None:
        self.states.append(run.info.state)

    def run_queue_moved(self, run: ActiveRun) -> None:
        self.states.append(run.info.state)

    def run_progressed(self, run: ActiveRun) -> None:
        self.states.append(run.info.state)

    def run_output(self, run: ActiveRun, removed: list[int], added: list[OutputChunk]) -> None:
        self.chunks = [chunk for chunk in self.chunks if chunk.seq not in removed] + added


def make(limit: int = 1 << 20) -> tuple[ActiveRun, Listener]:
    listener = Listener()
    info = RunInfo(
        id=7,
        kind=RunKind.EXEC,
        name="<exec>",
        state=RunState.QUEUED,
        mode=Mode.RESTRICTED,
        actor="alice",
        source="cli",
        queued_at=0.0,
        timeout=30.0,
        code_sha256="",
    )
    return ActiveRun(info, 1001, [], listener, limit), listener


def finish(run: ActiveRun) -> None:
    run.finish(replace(run.info, state=RunState.FINISHED, outcome=Outcome.OK))


async def test_the_order_of_both_streams_is_kept() -> None:
    run, listener = make()
    for stream, text in [(OUT, "a"), (OUT, "b"), (ERR, "c"), (OUT, "d")]:
        run.output(stream, text)
    finish(run)
    assert [(c.seq, c.stream, c.text) for c in run.chunks()] == [(0, OUT, "ab"), (1, ERR, "c"), (2, OUT, "d")]
    assert listener.chunks == run.chunks()


async def test_a_wild_alternation_keeps_its_order() -> None:
    run, _ = make()
    wanted = [(ERR if number % 3 else OUT, str(number)) for number in range(3_000)]
    for stream, text in wanted:
        run.output(stream, text)
    finish(run)
    assert "".join(c.text for c in run.chunks()) == "".join(text for _, text in wanted)
    assert len(run.chunks()) == 2_000  # neighbours of one stream are one


async def test_much_output_is_sealed_at_once() -> None:
    run, listener = make()
    run.output(OUT, "x" * SEAL_BYTES)
    assert len(listener.chunks) == 1


async def test_a_follower_sees_everything_once_and_ends_with_the_final_record() -> None:
    run, _ = make()
    run.output(OUT, "before ")
    run.seal()
    got: list[object] = []

    async def follow() -> None:
        async for item in run.follow(0):
            got.append(item)

    follower = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    run.started(1, 4242, "process")
    await asyncio.sleep(0)
    run.output(OUT, "after")
    finish(run)
    await follower
    text = "".join(chunk.text for item in got if isinstance(item, list) for chunk in item)
    assert text == "before after"
    assert isinstance(got[-1], RunInfo)
    assert got[-1].outcome is Outcome.OK


async def test_a_follower_that_is_slow_with_one_batch_gets_what_was_written_meanwhile() -> None:
    run, _ = make()
    run.output(OUT, "first ")
    run.seal()
    text = ""
    async for item in run.follow(0):
        if isinstance(item, list):
            text += "".join(chunk.text for chunk in item)
        if not run.finished:  # the follower is still busy with the first batch
            run.output(OUT, "last")
            finish(run)
    assert text == "first last"


async def test_a_late_follower_starts_where_it_asks() -> None:
    run, _ = make()
    run.output(OUT, "one")
    run.seal()
    run.output(ERR, "two")
    finish(run)
    items = [item async for item in run.follow(1)]
    assert [c.text for c in items[0]] == ["two"]  # type: ignore[union-attr]
    assert items[-1] is run.info


async def test_moves_in_the_queue_reach_the_record() -> None:
    run, listener = make()
    run.queued(3, "all slots are busy")
    assert (run.info.queue_position, run.info.queue_reason) == (3, "all slots are busy")
    run.started(2, 99, "process")
    assert (run.info.queue_position, run.info.slot, run.info.state) == (None, 2, RunState.RUNNING)
    assert listener.states == [RunState.QUEUED, RunState.RUNNING]
