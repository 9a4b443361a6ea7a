"""One script that uses all of its API in RESTRICTED, and macros that try what they may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from assistant_server import KEY, AssistantServer, assistant_server, says

from engine import Engine
from engine.config import AssistantSection, Settings
from engine.models.macros import PreviewRequest
from engine.models.permissions import ApproveRequest, Grant
from engine.models.runs import Mode, Outcome, RunInfo, RunKind, RunProgress, RunRequest
from engine.models.scripts import SaveRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = """\
# /// script
# [tool.gatewright]
# kind = "utility"
# entrypoint = "main"
# [tool.gatewright.params.table]
# type = "file"
# [tool.gatewright.permissions]
# assistant = true
# ///
import gatewright


def main(table):
    gatewright.progress(0, 2, "reading")
    rows = gatewright.files["table"].splitlines()
    runs = gatewright.state.update("runs", lambda runs: runs + 1, 0)
    gatewright.progress(2, 2, "asking")
    kind = gatewright.assistant.classify(" ".join(rows), ["pump", "valve"])
    data = "\\n".join(rows).upper().encode()
    gatewright.buffers.create("loud", len(data))[:] = data
    gatewright.log.info("%d rows", len(rows))
    return {
        "scripts": [script.path for script in gatewright.scripts.list() if script.path.startswith("own/")],
        "runs": runs, "rows": rows, "kind": kind, "same": table is gatewright.files["table"],
    }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[AssistantServer]:
    async with assistant_server() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(server: AssistantServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("everything")
    key_file = folder / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    section = AssistantSection(url=server.url, model=server.model, key_file=str(key_file), timeout=20.0)
    async with Engine.open(folder / "plant", pool_size=1, settings=replace(Settings(), assistant=section)) as opened:
        yield opened


async def test_a_script_lists_keeps_tells_reads_asks_and_hands_back(engine: Engine, server: AssistantServer) -> None:
    await engine.scripts.save("own/all.py", SaveRequest(text=SCRIPT), engine.owner)
    review = await engine.permissions.review("own/all.py", engine.owner)
    grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    await engine.permissions.approve("own/all.py", ApproveRequest(sha256=review.sha256, grants=grants), engine.owner)
    server.will(says("pump"))

    for number in (1, 2):
        writer = engine.buffers.create("table.csv", engine.owner)
        writer.write(b"pump 1\npump 2")
        file = writer.finish()
        request = RunRequest(kind=RunKind.SCRIPT, script="own/all.py", files={"table": file.id})
        started = await engine.runs.start(request, engine.owner, "library")
        told: list[RunProgress | None] = []
        async for item in engine.runs.follow(started.id, engine.owner):
            if isinstance(item, RunInfo):
                last = item
                told.append(item.progress)
        assert last.outcome is Outcome.OK, last.traceback
        assert last.mode is Mode.RESTRICTED
        assert last.value == {
            "scripts": ["own/all.py"], "runs": number, "rows": ["pump 1", "pump 2"], "kind": "pump", "same": True,
        }  # fmt: skip
        assert RunProgress(done=0, total=2, text="reading") in told
        assert [(made.name, made.size) for made in last.buffers] == [("loud", 13)]
        page = await engine.runs.output(started.id, engine.owner)
        assert "".join(chunk.text for chunk in page.chunks).endswith("INFO    2 rows\n")


MACRO = '# /// script\n# [tool.gatewright]\n# kind = "macro"\n# entrypoint = "render"\n# ///\nimport gatewright\n'
WRITES = """
def render(params, context):
    try:
        gatewright.state.set("a", 1)
    except gatewright.Error as error:
        refused = error.code
    try:
        open(params["path"], "w").write("x")
    except OSError as error:
        return f"{refused} {type(error).__name__}"
"""
PATCHES = """
import json
def render(params, context):
    import builtins
    json.dumps = lambda *_, **__: "patched"
    builtins.len = lambda _: -1
    return json.dumps([1])
"""
LOOKS = """
import json
def render(params, context):
    return f"{json.dumps([1])} {len('abc')}"
"""


async def test_a_macro_that_writes_is_refused_and_one_that_patches_changes_nothing_elsewhere(
    engine: Engine, tmp_path: Path
) -> None:
    for name, code in (("writes", WRITES), ("patches", PATCHES), ("looks", LOOKS)):
        await engine.scripts.save(f"own/{name}.py", SaveRequest(text=MACRO + code), engine.owner)
    target = tmp_path / "made"
    text = f'[[writes path="{target}"]] | [[patches]] | [[looks]]'
    for _ in range(2):
        shown = await engine.render.preview(PreviewRequest(text=text, path="a.md"), engine.owner)
        written, patched, looked = shown.text.split(" | ")
        assert written.startswith("not_for_kind "), shown.warnings
        assert not target.exists()
        assert (patched, looked) == ("patched", "[1] 3")
    after = await engine.execute("import json\nresult = [json.dumps([1]), len('abc')]")
    assert after.value == ["[1]", 3]
