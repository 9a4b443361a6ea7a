"""The scripts' own API over a whole engine: what a run may ask, as whom, how often, and what is on record of it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import tui
from engine import Engine
from engine.models.access import TokenRequest
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest, RunState
from engine.pool import calls
from engine.registry import OPERATIONS
from engine.services.access import Actor, Role
from engine.services.operations import UnboundOperation
from engine.services.runs.active import PROGRESS_EVERY
from engine.services.script_api import dispatcher
from engine.services.script_api.dispatcher import CallingRun, RunOperation

PAGE = Path(tui.__file__).parent / "help" / "scripts-api.md"

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATOR = Actor("ola", 4711, Role.OPERATOR)
OTHER = Actor("otto", 4712, Role.OPERATOR)

HEADER = '# /// script\n# [tool.gatewright]\n# kind = "{kind}"\n# ///\n'

TOLD = """
def told(ask):
    try:
        return ask()
    except gatewright.Error as error:
        return error.code
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("script_api") / "plant", pool_size=1) as opened:
        yield opened


async def run(engine: Engine, code: str, *, kind: str = "utility", path: str = "ask.py", actor: Any = None) -> Any:
    """Run ``code`` as a script of the project and return its value."""
    file = engine.project.scripts / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{HEADER.format(kind=kind)}import gatewright\n{TOLD}\n{code}\n")
    request = RunRequest(kind=RunKind.SCRIPT, script=path, mode="RESTRICTED")
    done = await engine.run(request, actor=actor)
    assert done.outcome is Outcome.OK, done.traceback
    return done.value


async def test_a_script_asks_for_everything_that_it_is_offered(engine: Engine) -> None:
    (engine.project.documents / "a.md").write_text("---\ntitle: First\ntags: [pump]\n---\nText of the pump\n")
    code = """
gatewright.progress(0, len([]))
result = {
    'me': gatewright.runs.current().name,
    'runs': [run.id for run in gatewright.runs.list(script='ask.py')] == [gatewright.runs.current().id],
    'script': gatewright.scripts.get('ask.py').text.count('result'),
    'scripts': 'ask.py' in [script.path for script in gatewright.scripts.list()],
    'documents': [document.title for document in gatewright.documents.list()],
    'document': gatewright.documents.get('a.md').tags,
    'text': gatewright.documents.load('a.md').text[-9:],
    'found': [one.path for one in gatewright.documents.search('pump')],
    'tags': gatewright.documents.tags(),
    'images': gatewright.documents.images(),
    'none': told(lambda: gatewright.documents.get('b.md')),
    'gateway': told(lambda: gatewright.tags.read('a')),
}
"""
    assert await run(engine, code) == {
        "me": "ask.py",
        "runs": True,
        "script": 2,
        "scripts": True,
        "documents": ["First"],
        "document": ["pump"],
        "text": "the pump\n",
        "found": ["a.md"],
        "tags": [{"name": "pump", "count": 1}],
        "images": [],
        "none": "no_document",
        "gateway": "unavailable",
    }


async def test_state_is_that_of_the_script_alone(engine: Engine) -> None:
    """Whatever path it names; and what two runs change at once is not lost."""
    code = """
state = gatewright.state
state.set('a', [1, 2.5, None]); state.set_all({'b': 1, 'c': 2}, remove=['a'])
state.delete('c')
counted = [state.update('n', lambda n: n + 1, 0) for _ in range(3)]
other = told(lambda: gatewright._call('state.get', path='other.py')['path'])
result = [state.get('a', 'gone'), state.all(), counted, other]
"""
    assert await run(engine, code, path="keeps.py") == ["gone", {"b": 1, "n": 3}, [1, 2, 3], "keeps.py"]
    assert await run(engine, "result = gatewright.state.all()", path="other.py") == {}
    done = await engine.execute(f"import gatewright\n{TOLD}\nresult = told(lambda: gatewright.state.get('a'))")
    assert done.value == "no_script"


async def test_a_macro_reads_documents_and_nothing_else(engine: Engine) -> None:
    names = sorted({op.name for op in OPERATIONS if op.kinds} | set(engine.script_api.run_operations))
    code = f"result = {{name: told(lambda: gatewright._call(name, {{}}) and 'done') for name in {names}}}"
    as_macro = await run(engine, f"def render(params, context): return ''\n{code}", kind="macro", path="macro.py")
    allowed = {name for name, answer in as_macro.items() if answer != "not_for_kind"}
    assert allowed == {"documents.get", "documents.images", "documents.list", "documents.tags"}, "as a batch answers it"


async def test_no_run_asks_what_is_open_to_no_script(engine: Engine) -> None:
    closed = sorted({op.name for op in OPERATIONS if not op.kinds} - engine.script_api.run_operations.keys())
    assert {"scripts.save", "scripts.delete", "runs.start", "engine.stop", "git.commit", "tokens.create"} & set(closed)
    code = (
        f"result = sorted({{told(lambda: gatewright._call(name)) for name in {closed} + ['', 'x' * 1000, '__init__']}})"
    )
    assert await run(engine, code) == ["no_operation"]


async def test_a_script_gets_what_its_caller_would(engine: Engine) -> None:
    """A token for some scripts sees those alone, and nobody sees another's runs by a script, author or not."""
    await run(engine, "")
    request = RunRequest(kind=RunKind.SCRIPT, script="ask.py")
    theirs = await engine.runs.run_to_end(request, OTHER, "library", wait=20)
    code = f"""
result = {{
    'scripts': [script.path for script in gatewright.scripts.list()],
    'text': told(lambda: gatewright.scripts.get('ask.py') and 'read'),
    'documents': told(lambda: gatewright.documents.list() is not None and 'read'),
    'runs': sorted({{run.actor for run in gatewright.runs.list()}}),
    'theirs': told(lambda: gatewright.runs.get({theirs.id}) and 'read'),
    'told': told(lambda: gatewright._call('runs.progress', {{'done': 1}}, run_id={theirs.id}) and 'told'),
}}
"""
    made = await engine.tokens.create(
        TokenRequest(name="line1", role="operator", scripts=["line1/**"]), engine.owner, "library"
    )
    value = await run(engine, code, path="line1/look.py", actor=engine.tokens.actor_of(made.token))
    assert value == {
        "scripts": ["line1/look.py"], "text": "forbidden", "documents": "forbidden", "runs": ["token:line1"],
        "theirs": "forbidden", "told": "forbidden",
    }  # fmt: skip
    value = await run(engine, code, path="line1/look.py")  # the owner, an administrator
    assert (value["text"], value["documents"], value["theirs"], value["told"]) == (
        "read",
        "read",
        "forbidden",
        "forbidden",
    )
    assert value["runs"] == [engine.owner.name]


async def test_a_token_that_is_revoked_asks_nothing_more_by_the_runs_that_it_started(engine: Engine) -> None:
    made = await engine.tokens.create(TokenRequest(name="gone", role="operator"), engine.owner, "library")
    actor = engine.tokens.actor_of(made.token)
    assert actor is not None
    code = (
        f"import gatewright, time\n{TOLD}\nfirst = told(lambda: gatewright.runs.current().name)\nprint(first)\n"
        "while (now := told(lambda: gatewright.runs.current().name)) == first: time.sleep(0.01)\nresult = now"
    )
    (engine.project.scripts / "long.py").write_text(code)
    started = await engine.runs.start(RunRequest(kind=RunKind.SCRIPT, script="long.py"), actor, "rest")
    async for item in engine.runs.follow(started.id, engine.owner):
        if isinstance(item, list):
            assert item[0].text == "long.py\n"
            await engine.tokens.revoke("gone", engine.owner, "library")
        else:
            last = item
    assert last.value == "forbidden", last.traceback


async def test_calls_are_on_record_in_sum(engine: Engine) -> None:
    code = """
for _ in range(5): gatewright.scripts.list(); gatewright.progress(1)
for _ in range(3): told(lambda: gatewright.tags.read('a'))
told(lambda: gatewright._call('scripts.delete'))
"""
    await run(engine, code, path="counted.py")
    records = (await engine.audit.list(engine.owner, limit=20)).records
    told = {
        (record.action, record.detail.get("refused")): record.detail["calls"]
        for record in records
        if record.subject.endswith(" counted.py") and record.action.startswith("call ")
    }
    assert told == {("call scripts.list", None): 5, ("call tags.read", "unavailable"): 3, ("call ?", "no_operation"): 1}


async def test_a_flood_waits_and_the_engine_does_not(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "BURST", 20)
    monkeypatch.setattr(dispatcher, "PER_SECOND", 200)
    loop, longest = asyncio.get_running_loop(), 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)

    watching = asyncio.create_task(watch())
    code = """
import time
start = time.monotonic()
for _ in range(80): gatewright.progress(1)
result = time.monotonic() - start
"""
    took = await run(engine, code)
    watching.cancel()
    assert took >= 0.25, "60 calls above what may be saved up, at 200 a second"
    assert longest < 10


async def test_what_does_not_fit_is_refused_with_a_sentence(engine: Engine) -> None:
    code = """
deep = '{"a":' * 100_000 + '1' + '}' * 100_000
def raw(text):
    reply, _ = gatewright._ask(text.encode(errors='surrogateescape'))
    import json
    return json.loads(reply)['error']
result = [raw('['), raw('{}'), raw('{"op":"runs.get","params":[]}'), raw('{"op":"runs.get","params":{"run_id":"x"}}'),
    raw('{"op":"runs.progress","body":{"done":-1}}'), raw('{"op":"runs.get","params":' + deep + '}'),
    raw('{"op":"state.set","body":{"values":' + deep + '}}'),
    raw('{"op":"state.set","body":{"values":{"a":"\\udcff"}}}'), raw('{"op":"runs.get","params":{"x":"\\udcff"}}')]
"""
    value = await run(engine, code)
    assert {error["code"] for error in value} == {"bad_request"}
    assert value[0]["message"].startswith("The call does not fit: ")
    assert value[3]["message"].startswith("What runs.get is given does not fit: ")
    assert not any("Traceback" in json.dumps(error) for error in value)


async def test_a_failure_of_ours_is_told_without_its_insides(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(run: CallingRun, asked: object) -> object:
        raise ValueError("insides")

    async def fails_later(run: CallingRun, asked: object) -> object:
        raise ValueError("insides")

    usual = engine.script_api.run_operations
    for method in (fails, fails_later):
        broken = RunOperation(("utility",), dict[str, Any], method)
        monkeypatch.setattr(engine.script_api, "run_operations", usual | {"broken": broken})
        code = "try: gatewright._call('broken')\nexcept gatewright.Error as error: result = [error.code, str(error)]"
        assert await run(engine, code) == ["internal", "The engine failed at this call; its log says why."]
        assert "insides" in caplog.text
        caplog.clear()


async def test_a_run_that_ends_takes_its_calls_along(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(run: CallingRun, asked: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    operation = RunOperation(("utility",), dict[str, Any], slow)
    monkeypatch.setattr(engine.script_api, "run_operations", engine.script_api.run_operations | {"slow": operation})
    request = RunRequest(kind=RunKind.EXEC, code="import gatewright\ngatewright._call('slow')")
    started = await engine.runs.start(request, engine.owner, "library")
    async with asyncio.timeout(20):
        await begun.wait()
        await engine.runs.cancel(started.id, engine.owner)
        await cancelled.wait()


async def test_progress_is_shown_while_it_goes_on_and_kept_by_no_record(engine: Engine) -> None:
    shown: list[RunInfo] = []
    code = """
import gatewright, time
for n in range(1, 501):  # not by gatewright.progress, which keeps a pace of its own
    gatewright._call('runs.progress', {'done': n, 'total': 2000, 'text': f'row {n}'})
gatewright.log.warning('%d rows', 2000)
"""
    started = await engine.runs.start(RunRequest(kind=RunKind.EXEC, code=code), engine.owner, "library")
    async for item in engine.runs.follow(started.id, engine.owner):
        if isinstance(item, RunInfo):
            shown.append(item)
    told = [info.progress for info in shown if info.progress is not None]
    assert told
    assert told[0].text == "row 1"
    assert shown[-1].duration is not None
    assert len(told) <= 2 + shown[-1].duration / PROGRESS_EVERY
    assert shown[-1].state is RunState.FINISHED
    assert shown[-1].progress is None
    chunks = (await engine.runs.output(started.id, engine.owner)).chunks
    assert "".join(chunk.text for chunk in chunks)[9:] == "WARNING 2000 rows\n"


async def test_a_script_of_its_name_does_not_stand_in_for_it(engine: Engine) -> None:
    """Nor as the module that an entrypoint runs in, nor from shared code."""
    path = engine.project.scripts / "gatewright.py"
    path.write_text(
        '# /// script\n# [tool.gatewright]\n# entrypoint = "main"\n# ///\nmine = 1\n'
        "def main():\n    import gatewright\n    return [hasattr(gatewright, 'mine'), gatewright.runs.current().name]\n"
    )
    done = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="gatewright.py"))
    path.unlink()
    assert done.value == [False, "gatewright.py"], done.traceback
    library = engine.project.scripts / "lib" / "asks.py"
    library.parent.mkdir(exist_ok=True)
    library.write_text("import gatewright\ndef name(): return gatewright.runs.current().name, gatewright.params\n")
    done = await engine.execute("from lib import asks\nresult = asks.name()", params={"a": 1})
    assert done.value == ["<exec>", {"a": 1}], done.traceback


async def test_an_error_that_is_not_caught_says_what_to_do(engine: Engine) -> None:
    done = await engine.execute("import gatewright\ngatewright.tags.read('a')")
    assert done.outcome is Outcome.SCRIPT_ERROR
    assert done.error is not None
    assert (done.error.type, done.error.line) == ("gatewright.Error", 2)
    assert "connected to no tags. Hand their values" in done.error.message
    assert "sdk.py" not in (done.traceback or "")


async def test_the_recipe_of_the_help_page_prints_what_it_says(engine: Engine) -> None:
    code, prints = re.findall(r"^```python script\n(.*?)^```\n\n```text\n(.*?)^```", PAGE.read_text(), re.M | re.S)[0]
    (engine.project.scripts / "recipe.py").write_text(code)
    for _ in range(2):
        done = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="recipe.py"))
        assert done.stdout == prints, done.traceback
    state = await engine.script_state.get("recipe.py", "done", engine.owner)
    assert state.entries[0].value == 6


async def test_a_long_answer_is_written_beside_the_event_loop(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []
    encoded = dispatcher._encoded

    def encode(answer: object) -> bytes:
        written.append(threading.current_thread() is threading.main_thread())
        return encoded(answer)

    monkeypatch.setattr(dispatcher, "_encoded", encode)
    monkeypatch.setattr(calls, "LONG", 1)
    await run(engine, "", path="one.py")
    code = "import gatewright\nresult = [len(gatewright.scripts.list()) > 1, gatewright.runs.current().name]"
    assert (await engine.execute(code)).value == [True, "<exec>"]
    assert written == [False, True]


async def test_for_a_run_that_asks_nothing_nothing_is_made(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(dispatcher, "CallingRun", lambda *given: made.append(given))
    assert (await engine.execute("result = 1 + 1")).value == 2
    assert made == []


async def test_no_name_has_two_methods(engine: Engine) -> None:
    operation = RunOperation(("utility",), dict[str, Any], lambda run, asked: None)
    for name in ("runs.get", "tags.read"):
        with pytest.raises(UnboundOperation):
            engine.script_api.add(name, operation)
