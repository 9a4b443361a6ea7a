"""Batches and previews in a real engine: macros that do what they like, tasks, records, reads, leases."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon_support import PATIENCE, eventually

from engine import Engine
from engine.document_text import front_matter_of
from engine.models.macros import (
    BatchInfo,
    BatchRequest,
    DocumentInput,
    PreviewRequest,
    Read,
    ReadsRequest,
    RenderedDocument,
    RenderRequest,
    SourceDocument,
)
from engine.models.metrics import RENDERS
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest, RunState
from engine.models.scripts import SaveRequest
from engine.models.sync import TaskState
from engine.services.access import Actor, Role, ServiceError
from engine.services.macros import batches
from engine.services.runs import service as run_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = '# /// script\n# [tool.gatewright]\n# kind = "macro"\n{more}# ///\n'
OPERATOR = Actor(name="opa", uid=4711, role=Role.OPERATOR)
AUTHOR = Actor(name="ada", uid=4712, role=Role.AUTHOR)

MACROS = {
    "box": """def render(params, context):
    return f"<b>{params.get('n')} {context['document']['path']}</b>"
""",
    "none": "def render(params, context):\n    return None\n",
    "octets": "def render(params, context):\n    return b'bytes'\n",
    "huge": "def render(params, context):\n    return 'x' * (50 << 20)\n",
    "raises": "def render(params, context):\n    raise ValueError(open(params['at']) if params else 'no luck')\n",
    "exits": "def render(params, context):\n    if params.get('now'):\n        raise SystemExit(3)\n    return 'ok'\n",
    "loops": "def render(params, context):\n    while params.get('forever'):\n        pass\n    return 'ok'\n",
    "floods": "def render(params, context):\n    print('y' * 5_000_000)\n    return 'ok'\n",
    "greedy": (
        "def render(params, context):\n    params.clear()\n    context['document']['meta']['title'] = 'mine'\n"
        "    context.clear()\n    return 'ok'\n"
    ),
    "title": "def render(params, context):\n    return str(context['document']['meta'].get('title'))\n",
    "cloud": (
        "import gatewright\ndef render(params, context):\n"
        "    return ' '.join(f'{one.name}={one.count}' for one in gatewright.documents.tags())\n"
    ),
    "writes": (
        "import gatewright\ndef render(params, context):\n    gatewright.state.set('a', 1)\n    return 'written'\n"
    ),
    "length": "def render(params, context):\n    return str(len(params['t']))\n",
}
LIMITS = {"loops": "# [tool.gatewright.limits]\n# timeout = 5\n"}


def source_of(name: str) -> str:
    return HEADER.format(more=LIMITS.get(name, "")) + MACROS[name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("render") / "plant", pool_size=2) as engine:
        for name in MACROS:
            await engine.scripts.save(f"macros/{name}.py", SaveRequest(text=source_of(name)), engine.owner)
        yield engine


def source_document(path: str, text: str = "", front_matter: str = "") -> SourceDocument:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    if (place := front_matter_of(text)) is not None:
        front_matter = place.yaml
    return SourceDocument(path=path, sha256=sha256, size=len(text), front_matter=front_matter)


async def rendered(engine: Engine, *texts: str, actor: Actor = OPERATOR) -> list[RenderedDocument]:
    """Render texts in a batch of their own."""
    documents = [DocumentInput(path=f"{number}.md", text=text) for number, text in enumerate(texts)]
    batch = await engine.render.begin(
        BatchRequest(documents=[source_document(one.path, one.text) for one in documents]), actor
    )
    try:
        return (await engine.render.documents(batch.id, RenderRequest(documents=documents), actor)).documents
    finally:
        await engine.render.end(batch.id, actor)


async def test_macros_that_misbehave_fail_by_themselves_and_the_rest_goes_on(engine: Engine) -> None:
    text = (
        "[[box n=1]]\n[[none]]\n[[octets]]\n[[huge]]\n[[raises]]\n[[exits now=1]][[exits]]\n[[floods]]\n"
        "[[greedy n=1]][[title]]\n[[writes]]\n[[box n=2]]"
    )
    [document, other] = await rendered(
        engine, f"---\ntitle: Night\n---\n{text}", "[[box n=3]][[exits]][[raises at=/plant.csv]]"
    )
    lines = document.text.split("\n")[3:]
    assert lines == [
        "<b>1 0.md</b>", "[[none]]", "[[octets]]", "[[huge]]", "[[raises]]", "[[exits now=1]]ok", "ok", "okNight",
        "[[writes]]", "<b>2 0.md</b>",
    ]  # fmt: skip
    assert other.text == "<b>3 1.md</b>ok[[raises at=/plant.csv]]"
    assert "A macro reaches no files" in other.warnings[0].message
    assert "--file" not in other.warnings[0].message + (other.warnings[0].traceback or "")
    failed = {warning.macro: warning for warning in document.warnings}
    assert failed.keys() == {"none", "octets", "huge", "raises", "exits", "writes"}
    assert all(warning.kind == "error" for warning in document.warnings)
    assert failed["raises"].line == 8
    assert 'File "macros/raises.py", line 6, in render' in (failed["raises"].traceback or "")
    assert "state.set" in failed["writes"].message
    await refused_on_record(engine, "call state.set", "not_for_kind")


async def refused_on_record(engine: Engine, action: str, code: str) -> None:
    """Wait until the audit names what a macro asked for in vain."""
    async with asyncio.timeout(PATIENCE):
        while (action, code) not in [  # noqa: ASYNC110 - the audit has no event to wait for
            (record.action, record.detail.get("refused"))
            for record in (await engine.audit.list(engine.owner, limit=50)).records
        ]:
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_macro_that_loops_is_stopped_and_its_other_calls_are_made(engine: Engine) -> None:
    [document] = await rendered(engine, "[[loops]][[loops forever=1]][[loops]]")
    assert document.text == "ok[[loops forever=1]]ok"
    assert document.warnings[0].message.startswith("timeout: ")


async def test_a_tag_of_a_megabyte(engine: Engine) -> None:
    [document] = await rendered(engine, f'[[length t="{"é" * (1 << 20)}"]]')
    assert document.text == str(1 << 20)


async def test_what_macros_read_is_told_and_can_be_asked_again(engine: Engine) -> None:
    tree = [source_document("a.md", front_matter="tags: [pump, seal]"), source_document("b.md")]
    batch = await engine.render.begin(BatchRequest(documents=tree), OPERATOR)
    request = RenderRequest(documents=[DocumentInput(path="b.md", text="[[cloud]]")])
    [document] = (await engine.render.documents(batch.id, request, OPERATOR)).documents
    assert document.text == "pump=1 seal=1"
    [read] = document.reads
    assert read.operation == "documents.tags"
    again = await engine.render.reads(batch.id, ReadsRequest(reads=[read, Read(operation="documents.nope")]), OPERATOR)
    assert again.sha256 == [read.sha256, ""]
    await engine.render.end(batch.id, OPERATOR)
    tree[1] = source_document("b.md", front_matter="tags: [pump]")
    batch = await engine.render.begin(BatchRequest(documents=tree), OPERATOR)
    again = await engine.render.reads(batch.id, ReadsRequest(reads=[read]), OPERATOR)
    assert again.sha256 != [read.sha256]
    await engine.render.end(batch.id, OPERATOR)


async def begun(engine: Engine, actor: Actor = OPERATOR, **fields: Any) -> BatchInfo:
    return await engine.render.begin(BatchRequest(documents=[source_document("a.md")], **fields), actor)


async def test_a_batch_is_one_record_and_one_task(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ANSWER", 1)
    batch = await begun(engine, total=1)
    assert {use.name for use in batch.macros} >= set(MACROS)
    assert (await engine.runs.get(batch.run_id, OPERATOR)).state is RunState.RUNNING
    request = RenderRequest(documents=[DocumentInput(path="a.md", text="[[box]][[nope]]")] * 3)
    answer = await engine.render.documents(batch.id, request, OPERATOR)
    assert len(answer.documents) == 1, "the others find no room in the answer, and do not count as rendered"
    task = next(task for task in engine.tasks.list() if task.id == batch.task_id)
    assert (task.kind, task.actor, task.state) == ("render", "opa", TaskState.RUNNING)
    record = await engine.render.end(batch.id, OPERATOR)
    assert (record.id, record.kind, record.outcome) == (batch.run_id, RunKind.RENDER, Outcome.OK)
    assert record.note == "1 document with 2 tags, 1 of them wrong; 0 warnings."
    assert record.isolation
    await eventually(lambda: next(t for t in engine.tasks.list() if t.id == batch.task_id).state is TaskState.DONE)
    assert (await engine.runs.get(batch.run_id, OPERATOR)).outcome is Outcome.OK
    with pytest.raises(ServiceError) as refused:
        await engine.render.documents(batch.id, request, OPERATOR)
    assert refused.value.code == "no_batch"


async def figures(engine: Engine) -> tuple[int, int, int]:
    """How many batches were counted, went well and were cancelled."""
    groups = (await engine.metric_history.groups()).groups
    return next(((one.total, one.successful, one.cancelled) for one in groups if one.name == RENDERS), (0, 0, 0))


async def test_a_batch_is_counted_once(engine: Engine) -> None:
    total, successful, cancelled = await figures(engine)
    await rendered(engine, "[[box n=1]] [[cloud]]", "[[box n=2]]", "[[none]]")
    assert await figures(engine) == (total + 1, successful + 1, cancelled)


@pytest.mark.parametrize("by", ["task", "run"])
async def test_a_batch_that_is_cancelled_stops_within_an_instant(engine: Engine, by: str) -> None:
    total, successful, cancelled = await figures(engine)
    batch = await begun(engine)
    request = RenderRequest(documents=[DocumentInput(path="a.md", text="[[loops forever=1]]")])
    going_on = asyncio.ensure_future(engine.render.documents(batch.id, request, OPERATOR))
    await eventually(lambda: engine.pool.info().running > 0)
    if by == "task":
        await engine.tasks.cancel(batch.task_id, engine.owner)
    else:
        assert (await engine.runs.cancel(batch.run_id, OPERATOR)).outcome is Outcome.CANCELLED
    with pytest.raises(ServiceError) as refused:
        await going_on
    assert refused.value.code == "cancelled"
    assert (await engine.runs.get(batch.run_id, OPERATOR)).outcome is Outcome.CANCELLED
    await eventually(lambda: engine.pool.info().running == 0)
    assert await figures(engine) == (total + 1, successful, cancelled + 1)


async def test_a_batch_whose_client_left_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LEASE", 0.05)
    batch = await begun(engine)
    record = await engine.runs.wait(batch.run_id, OPERATOR)
    assert (record.outcome, record.error is not None) == (Outcome.CANCELLED, True)


async def test_a_batch_is_its_actors_own(engine: Engine) -> None:
    batch = await begun(engine)
    request = RenderRequest(documents=[])
    with pytest.raises(ServiceError, match="There is no such render"):
        await engine.render.documents(batch.id, request, AUTHOR)
    await engine.render.end(batch.id, OPERATOR)


async def test_a_batch_that_is_over_in_time_or_count_is_refused(engine: Engine) -> None:
    for fields, code in (({"timeout": 1e9}, "bad_timeout"), ({"workers": 0}, "bad_request")):
        with pytest.raises(ServiceError) as refused:
            await begun(engine, **fields)
        assert refused.value.code == code
    batch = await begun(engine, timeout=0.05)
    record = await engine.runs.wait(batch.run_id, OPERATOR)
    assert record.outcome is Outcome.TIMEOUT


async def test_a_run_cannot_be_of_the_kind_that_batches_are_and_a_batch_cannot_be_repeated(engine: Engine) -> None:
    with pytest.raises(ServiceError, match="begun by rendering documents"):
        await engine.run(RunRequest(kind=RunKind.RENDER))
    batch = await begun(engine)
    await engine.render.end(batch.id, OPERATOR)
    from engine.models.runs import ReplayRequest

    with pytest.raises(ServiceError, match="was a batch"):
        await engine.run_history.replay(batch.run_id, ReplayRequest(), engine.owner, "library")


async def test_a_preview_is_made_like_a_batch_with_what_is_wrong_in_its_place(engine: Engine) -> None:
    text = "a [[box n=1]] [[raises]] [[nope]] \\[[box]]"
    preview = await engine.render.preview(PreviewRequest(text=text, path="0.md"), AUTHOR)
    [batch] = await rendered(engine, text)
    assert batch.text == "a <b>1 0.md</b> [[raises]] [[nope]] \\[[box]]"
    shown = '<span class="macro-error" role="alert" title="ValueError: no luck">[[raises]]</span>'
    assert preview.text == batch.text.replace("[[raises]]", shown)
    assert [one.kind for one in preview.warnings] == [one.kind for one in batch.warnings]


async def test_a_preview_of_an_unsaved_macro_uses_its_text_and_nothing_else_does(engine: Engine) -> None:
    request = PreviewRequest(
        text="[[box]]", macro="macros/box.py", macro_text="def render(p, c):\n    return 'unsaved'\n"
    )
    assert (await engine.render.preview(request, AUTHOR)).text == "unsaved"
    assert (await engine.render.preview(PreviewRequest(text="[[box]]", path="x"), AUTHOR)).text == "<b>None x</b>"


async def test_a_preview_that_went_well_leaves_no_record_and_is_counted_for_the_audit(engine: Engine) -> None:
    engine.render.previews.close()
    before = (await engine.runs.list(engine.owner, limit=1)).runs[0].id
    told = engine.events.last_seq
    await engine.render.preview(PreviewRequest(text="no tag [[nope]]", path="w.md"), AUTHOR)
    for path in ("x.md", "y.md", "x.md"):
        await engine.render.preview(PreviewRequest(text="[[box]][[raises]]", path=path), AUTHOR)
    assert not [event for event in engine.events.since(told)[0] if "preview" in str(event.data)]
    assert (await engine.runs.list(engine.owner, limit=1)).runs[0].id == before
    engine.render.previews.close()
    [entry] = [one for one in (await engine.audit.list(engine.owner, limit=20)).records if "y.md" in one.subject]
    assert (entry.actor, entry.action, entry.subject) == ("ada", "preview", "x.md, y.md")
    assert entry.detail["previews"] == 3


@pytest.mark.parametrize("by", ["run", "leaving"])
async def test_a_preview_that_is_cancelled_ends_within_an_instant(
    engine: Engine, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_service, "WRITE_EVERY", 0.0)  # seconds until it is listed
    request = PreviewRequest(text="[[loops forever=1]]", path="z.md")
    going_on = asyncio.ensure_future(engine.render.preview(request, AUTHOR))
    await eventually(lambda: engine.pool.info().running > 0)

    async def newest() -> RunInfo:
        return (await engine.runs.list(engine.owner, limit=1)).runs[0]

    held = [run for run in engine.runs._active.values() if run.info.name == "preview z.md"]
    await eventually(lambda: any(run.kept_back is not None and run.kept_back.listed for run in held))
    listed = await newest()
    assert listed.name == "preview z.md"
    if by == "leaving":
        going_on.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going_on
        left = (await engine.runs.list(engine.owner, limit=1)).runs
        assert not left or left[0].id < listed.id
    else:
        assert (await engine.runs.cancel(listed.id, engine.owner)).outcome is Outcome.CANCELLED
        with pytest.raises(ServiceError, match="has ended"):
            await going_on
        assert (await newest()).outcome is Outcome.CANCELLED
        assert (await engine.runs.get(listed.id, engine.owner)).outcome is Outcome.CANCELLED
    await eventually(lambda: engine.pool.info().running == 0)


async def test_the_list_of_macros_names_those_that_cannot_be_used(engine: Engine, tmp_path: Path) -> None:
    folder = engine.project.scripts / "twice"
    folder.mkdir()
    try:
        (folder / "BOX.py").write_text(source_of("box"))
        listed = {one.name: one for one in (await engine.render.macros()).macros}
        assert listed["box"].problem is not None
        assert "Several macros are called box" in listed["box"].problem
        [document] = await rendered(engine, "[[box]]")
        assert (document.text, document.warnings[0].kind) == ("[[box]]", "error")
    finally:
        (folder / "BOX.py").unlink()
        folder.rmdir()
