"""Shared code through the engine: judged, recorded, repeated and approved by its texts."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon_support import write_settings

from engine import Engine
from engine.models.checks import CheckRequest
from engine.models.permissions import ApprovalState, ApproveRequest, Grant, PermissionReview
from engine.models.runs import Mode, Outcome, ReplayRequest, RunInfo, RunKind, RunRequest
from engine.models.scripts import RenameRequest, SaveRequest
from engine.models.shared import SharedFile
from engine.services.access import Actor, Role, ServiceError
from engine.services.scripts import shared_code

OPERATOR = Actor(name="otto", uid=1001, role=Role.OPERATOR)
TAGS = "def parse(text):\n    return text.split('/')\n"
USER = "from lib.tags import parse\nresult = parse('A/B')\n"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    root = tmp_path_factory.mktemp("shared") / "plant"
    root.mkdir()
    write_settings(root, '[policy]\nadmin_as_root = true\nmodules = ["importlib"]\n')
    async with Engine.open(root, pool_size=1) as engine:
        yield engine


@pytest.fixture
def engine(opened: Engine) -> Engine:
    """The engine of all these tests, with no script."""
    shutil.rmtree(opened.project.scripts)
    opened.project.scripts.mkdir()
    return opened


async def save(engine: Engine, packages: Mapping[str, str] | None = None, **texts: str) -> None:
    """Save over whatever is there: ``lib__tags`` is ``lib/tags.py``; ``packages`` have folders as keys."""
    files = {f"{folder}/__init__.py": text for folder, text in (packages or {}).items()}
    for path, text in (files | {f"{key.replace('__', '/')}.py": text for key, text in texts.items()}).items():
        try:
            base: str | None = (await engine.scripts.load(path)).info.sha256
        except ServiceError:
            base = None
        await engine.scripts.save(path, SaveRequest(text=text, base_sha256=base), engine.owner)


async def run(engine: Engine, **fields: Any) -> RunInfo:
    return await (await engine.runs.launch(RunRequest(**fields), engine.owner, "library")).ended()


async def script(engine: Engine, path: str, **fields: Any) -> RunInfo:
    return await run(engine, kind=RunKind.SCRIPT, script=path, **fields)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_every_kind_of_run_imports_it_and_records_its_hash(engine: Engine) -> None:
    await save(engine, lib__tags=TAGS, lib__unused="X = 1\n", own__user=USER)
    tags = [SharedFile(path="lib/tags.py", sha256=digest(TAGS))]
    runs = [
        await script(engine, "own/user"),
        await script(engine, "own/user", mode=Mode.ADMIN),
        await script(engine, "own/user", code=USER + "# unsaved\n"),
        await run(engine, kind=RunKind.EXEC, code=USER),
        await run(engine, kind=RunKind.EVAL, code="__import__('lib.tags').tags.parse('A/B')"),
        await run(engine, kind=RunKind.CALL, module="lib.tags", function="parse", args=["A/B"]),
    ]
    for info in runs:
        assert (info.outcome, info.value, info.shared) == (Outcome.OK, ["A", "B"], tags), info
        assert info.isolation
    await engine.runs.recorder.flush()
    assert (await engine.runs.get(runs[0].id, engine.owner)).shared == tags
    assert [info.shared for info in (await engine.runs.list(engine.owner)).runs] == [tags] * len(runs)
    plain = await run(engine, kind=RunKind.EXEC, code="result = 1")
    assert plain.shared == []
    entries = (await engine.audit.list(engine.owner)).records
    assert [entry.detail["lib/tags.py"] for entry in entries if entry.action == "admin_run"] == [digest(TAGS)]


async def test_a_module_knows_its_file_and_tracebacks_the_path_that_people_know(engine: Engine) -> None:
    """In ADMIN mode shared code finds what lies beside it, as a script does."""
    read = "BESIDE = (Path(__file__).parent / 'site.json').read_text()"
    text = f"from pathlib import Path\n{read}\ndef fail(): return 1 / 0\n"
    await save(engine, lib__site=text)
    (engine.project.scripts / "lib" / "site.json").write_text("{}")
    code = "import inspect, lib.site\nprint(lib.site.BESIDE, inspect.getsource(lib.site.fail))\nlib.site.fail()"
    info = await run(engine, kind=RunKind.EXEC, code=code, mode=Mode.ADMIN)
    assert info.error is not None
    assert (info.error.type, info.error.filename, info.error.line) == ("ZeroDivisionError", "lib/site.py", 3), info
    assert info.traceback is not None
    assert str(engine.project.scripts) not in info.traceback
    output = await engine.runs.output(info.id, engine.owner)
    assert "".join(chunk.text for chunk in output.chunks) == "{} def fail(): return 1 / 0\n\n"


async def test_a_saved_change_counts_for_the_next_run_and_not_for_the_one_that_goes_on(engine: Engine) -> None:
    code = "import time\nprint('go', flush=True)\ntime.sleep(0.3)\nfrom lib.tags import parse\nresult = parse('x')"
    await save(engine, lib__tags="parse = lambda text: 'old'\n")
    active = await engine.runs.launch(RunRequest(kind=RunKind.EXEC, code=code), engine.owner, "library")
    await save(engine, lib__tags="parse = lambda text: 'new'\n")
    assert (await active.ended()).value == "old"
    assert (await run(engine, kind=RunKind.EXEC, code=code)).value == "new"


async def test_compiled_code_is_kept_by_hash_and_gives_the_same(engine: Engine) -> None:
    await save(engine, lib__tags=TAGS, own__user=USER)
    first = await script(engine, "own/user")
    await asyncio.wait_for(engine.shared.compiled(), 30)
    assert all(one.code for one in engine.shared.with_code(engine.shared.look(USER.encode())) if one.path)
    assert (await script(engine, "own/user")).value == first.value
    many = [f"lib/many/m{number}.py" for number in range(40)]
    (engine.project.scripts / "lib/many").mkdir()
    for path in many:
        (engine.project.scripts / path).write_text(f"PATH = {path!r}\n")
    names = ", ".join(path.removesuffix(".py").replace("/", ".") for path in many)
    assert (await run(engine, kind=RunKind.EXEC, code=f"import {names}\nresult = 1")).value == 1
    await asyncio.wait_for(engine.shared.compiled(), 30)
    assert all(one.code for one in engine.shared.with_code(engine.shared.look(f"import {names}".encode())) if one.path)
    await save(engine, lib__tags=TAGS.replace("'/'", "'B'"))
    assert (await script(engine, "own/user")).value == ["A/", ""]
    await save(engine, lib__tags="def parse(\n")
    for _ in range(2):  # what cannot be compiled ahead either says the same again
        broken = await script(engine, "own/user")
        assert broken.error is not None
        assert (broken.error.type, broken.error.filename, broken.error.line) == ("SyntaxError", "lib/tags.py", 1)
        await asyncio.wait_for(engine.shared.compiled(), 30)


async def test_a_replay_has_the_texts_of_then(engine: Engine) -> None:
    kit = {"lib/kit": "from lib.tags import parse\n"}
    await save(engine, kit, lib__tags=TAGS, own__user=USER.replace("lib.tags", "lib.kit"))
    old = await script(engine, "own/user")
    await save(engine, lib__tags="def parse(text):\n    return 'changed'\n")
    assert (await script(engine, "own/user")).value == "changed"
    again = await (await engine.run_history.launch(old.id, ReplayRequest(), engine.owner, "library")).ended()
    assert (again.value, again.shared, again.replay_of) == (["A", "B"], old.shared, old.id)
    inputs = await engine.run_history.inputs(old.id, engine.owner)
    assert inputs.shared["lib/tags.py"] == TAGS
    other = await script(engine, "own/user")
    compared = await engine.run_history.compare(old.id, other.id, engine.owner)
    assert "lib/tags.py" in compared.code
    assert "+    return 'changed'" in compared.code


async def test_an_operator_replays_with_changed_shared_code_only_as_an_author(engine: Engine) -> None:
    """A text that is saved no more is a text that somebody sends: for that an operator has no right."""
    await save(engine, lib__tags=TAGS, own__user=USER)
    request = RunRequest(kind=RunKind.SCRIPT, script="own/user")
    old = await (await engine.runs.launch(request, OPERATOR, "library")).ended()
    same = await (await engine.run_history.launch(old.id, ReplayRequest(), OPERATOR, "library")).ended()
    assert same.value == ["A", "B"]
    await save(engine, lib__tags=TAGS + "# changed\n")
    with pytest.raises(ServiceError) as caught:
        await engine.run_history.launch(old.id, ReplayRequest(), OPERATOR, "library")
    assert caught.value.status == 403


async def test_texts_go_with_the_last_run_that_had_them(engine: Engine) -> None:
    await save(engine, lib__tags=TAGS, own__user=USER)
    await script(engine, "own/user")
    last = await run(engine, kind=RunKind.EXEC, code="import lib.tags")
    await engine.runs.recorder.flush()

    def delete(where: str) -> set[str]:
        with closing(sqlite3.connect(engine.project.state_db)) as database, database:
            database.execute("PRAGMA foreign_keys = ON")
            database.execute(f"DELETE FROM run WHERE {where}")
            return {row[0] for row in database.execute("SELECT sha256 FROM run_code")}

    assert await asyncio.to_thread(delete, f"id <> {last.id}") == {digest(TAGS), digest("import lib.tags")}
    assert await asyncio.to_thread(delete, "1") == set()


def asking(logs: Path, body: str = USER) -> str:
    return f'# /// script\n# [tool.gatewright.permissions]\n# read = ["{logs}"]\n# ///\n{body}'


def decision(review: PermissionReview) -> ApproveRequest:
    grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
    shared = [SharedFile(path=file.path, sha256=file.sha256) for file in review.shared]
    return ApproveRequest(sha256=review.sha256, grants=grants, shared=shared)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


async def test_an_approval_is_for_the_shared_code_too(engine: Engine, logs: Path) -> None:
    await save(
        engine, lib__tags="from . import deep\n" + TAGS, lib__deep="D = 1\n", lib__other="O = 1\n", user=asking(logs)
    )
    first = await engine.permissions.review("user.py", engine.owner)
    assert [(file.path, file.change) for file in first.shared] == [("lib/deep.py", "new"), ("lib/tags.py", "new")]
    assert "+++ lib/deep.py" in first.diff
    assert "+D = 1" in first.diff
    await engine.permissions.approve("user.py", decision(first), engine.owner)
    assert (await script(engine, "user")).outcome is Outcome.OK
    assert not (await engine.scripts.info("user.py")).needs_approval

    await save(engine, lib__other="O = 2\n")  # which it does not import
    assert (await script(engine, "user")).outcome is Outcome.OK

    await save(engine, lib__deep="D = 2\n")
    with pytest.raises(ServiceError, match=r"lib/deep\.py, which user\.py imports, changed") as caught:
        await script(engine, "user")
    assert caught.value.code == "needs_approval"
    assert (await engine.scripts.info("user.py")).needs_approval
    [listed] = [info for info in (await engine.scripts.list()).scripts if info.path == "user.py"]
    assert listed.needs_approval
    changed = await engine.permissions.review("user.py", engine.owner)
    assert changed.state is ApprovalState.CHANGED
    assert [(file.path, file.change) for file in changed.shared] == [
        ("lib/deep.py", "changed"),
        ("lib/tags.py", "unchanged"),
    ]
    assert "--- approved lib/deep.py" in changed.diff
    assert "-D = 1\n+D = 2" in changed.diff
    report = await engine.sync.rebuild(engine.owner, everything=True)
    problems = [problem.problem for part in report.parts for problem in part.problems]
    assert problems == ["The shared code that it imports is no longer the approved one."]

    with pytest.raises(ServiceError, match=r"lib/deep\.py, which user\.py imports, changed since you looked"):
        await engine.permissions.approve("user.py", decision(first), engine.owner)
    await engine.permissions.approve("user.py", decision(changed), engine.owner)
    assert (await script(engine, "user")).outcome is Outcome.OK
    # The old text again is not what is approved now.
    await save(engine, lib__deep="D = 1\n")
    with pytest.raises(ServiceError, match="changed since the permissions"):
        await script(engine, "user")


async def test_a_refusal_needs_no_shared_code_that_can_be_used(engine: Engine, logs: Path) -> None:
    await save(engine, lib__tags=TAGS, refused=asking(logs))
    (engine.project.scripts / "lib/tags.py").write_bytes(b"\xff")
    with pytest.raises(ServiceError, match=r"lib/tags\.py cannot be imported"):
        await engine.permissions.review("refused.py", engine.owner)
    refused = await engine.permissions.refuse("refused.py", engine.owner)
    assert refused.state is ApprovalState.REFUSED


async def test_a_file_that_comes_to_be_withdraws_an_approval_of_a_script_that_names_it(
    engine: Engine, logs: Path
) -> None:
    body = "try:\n    import lib.late\nexcept ImportError:\n    pass\nresult = 1\n"
    await save(engine, lib__tags=TAGS, late=asking(logs, body))
    await engine.permissions.approve(
        "late.py", decision(await engine.permissions.review("late.py", engine.owner)), engine.owner
    )
    assert (await script(engine, "late")).value == 1
    await save(engine, lib__late="X = 1\n")
    with pytest.raises(ServiceError, match=r"lib/late\.py, which late\.py imports, changed"):
        await script(engine, "late")


async def test_shared_code_does_not_run_and_asks_for_nothing(engine: Engine, logs: Path) -> None:
    await save(
        engine, lib__tags=asking(logs, TAGS).replace("# [tool", "# [tool.gatewright]\n# entrypoint = 'parse'\n# [tool")
    )
    info = await engine.scripts.info("lib/tags.py")
    assert (info.shared, info.permissions, info.needs_approval) == (True, [], False)
    assert info.note is not None
    assert "entrypoint, permissions of its header mean nothing" in info.note
    for fields in ({}, {"code": TAGS}):
        with pytest.raises(ServiceError, match="holds shared code") as caught:
            await script(engine, "lib/tags.py", **fields)
        assert (caught.value.code, caught.value.hint) == ("shared_code", "In a script: import lib.tags")
    with pytest.raises(ServiceError, match="holds shared code"):
        await engine.permissions.review("lib/tags.py", engine.owner)


async def test_an_import_of_a_script_says_where_shared_code_belongs(engine: Engine) -> None:
    await save(
        engine,
        area__helpers="def f():\n    return 1\n",
        area__user="from helpers import f\nresult = f()\n",
        far__away="A = 1\n",
    )
    restricted = await script(engine, "area/user")
    assert restricted.outcome is Outcome.IMPORT_DENIED
    assert restricted.error is not None
    assert "helpers is a script of this project (area/helpers.py)" in restricted.error.message
    assert "gatewright scripts rename area/helpers lib/helpers" in restricted.error.message
    assert "if it is installed" not in f"{restricted.error.message}{restricted.traceback}"
    admin = await script(engine, "area/user", mode=Mode.ADMIN)
    assert admin.error is not None
    assert admin.error.message == "No module named 'helpers'"
    assert admin.note is not None
    assert "scripts do not import each other" in admin.note
    await engine.scripts.list()
    far = await run(engine, kind=RunKind.EXEC, code="import away", mode=Mode.ADMIN)
    assert far.note is not None
    assert "far/away.py" in far.note
    report = await engine.checks.check(CheckRequest(text="from helpers import f\n", path="area/user.py"), engine.owner)
    assert [problem.message for problem in report.problems] == [restricted.error.message]
    # What it advises helps.
    await engine.changes.rename("area/helpers.py", RenameRequest(new_path="lib/helpers.py"), engine.owner)
    moved = await script(engine, "area/user")
    assert moved.error is not None
    sentence = 'helpers is shared code of this project (lib/helpers.py): write "from lib.helpers import …".'
    assert moved.error.message == sentence
    report = await engine.checks.check(CheckRequest(text="from helpers import f\n", path="area/user.py"), engine.owner)
    assert [problem.message for problem in report.problems] == [sentence]
    await save(engine, area__user="from lib.helpers import f\nresult = f()\n")
    assert (await script(engine, "area/user")).value == 1


async def test_names_that_are_made_while_a_script_runs_are_told(engine: Engine) -> None:
    await save(engine, lib__tags=TAGS)
    hidden = await run(engine, kind=RunKind.EXEC, code="import importlib\nimportlib.import_module('lib.' + 'tags')")
    assert hidden.outcome is Outcome.SCRIPT_ERROR
    assert hidden.note is not None
    assert "No shared code came with this run" in hidden.note
    some = "import importlib, lib.units\nimportlib.import_module('lib.' + 'tags')"
    await save(engine, lib__units="U = 1\n")
    other = await run(engine, kind=RunKind.EXEC, code=some)
    assert other.note is not None
    assert "lib/tags.py did not come with this run" in other.note
    said = await run(
        engine, kind=RunKind.EXEC, code="import importlib\nresult = importlib.import_module('lib.tags').parse('a')"
    )
    assert said.value == ["a"]
    missing = await run(engine, kind=RunKind.EXEC, code="import lib.tagz")
    assert missing.note == "There is no lib/tagz.py among the project's scripts."


async def test_only_lib_is_shared_and_what_a_child_says_is_no_path(engine: Engine) -> None:
    await save(engine, library__x="def f():\n    return 1\n", lib__tags=TAGS)
    called = await run(engine, kind=RunKind.CALL, module="library.x", function="f", mode=Mode.ADMIN)
    assert (called.outcome, called.shared) == (Outcome.SCRIPT_ERROR, [])
    for name in ("../library/x", "/etc/passwd", "lib." + "x" * 10_000, "lib.\x1b[31m", "lib..tags", ""):
        assert engine.shared.explain(name, "library/x.py") is None


async def test_packages_before_modules_and_folders_without_init(engine: Engine) -> None:
    packages = {"lib/a": "WHICH = 'package'\n", "lib/star": "__all__ = ['one']\n"}
    await save(engine, packages, lib__a="WHICH = 'module'\n", lib__deep__er__x="X = 3\n", lib__star__one="ONE = 1\n")
    code = "import lib.a\nfrom lib.deep.er import x\nfrom lib.star import *\nresult = [lib.a.WHICH, x.X, one.ONE]"
    info = await run(engine, kind=RunKind.EXEC, code=code)
    assert info.value == ["package", 3, 1], info
    assert [file.path for file in info.shared] == [
        "lib/a/__init__.py",
        "lib/deep/er/x.py",
        "lib/star/__init__.py",
        "lib/star/one.py",
    ]


async def test_links_and_foreign_codings_are_refused(engine: Engine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("S = 1\n")
    await save(engine, lib__tags=TAGS)
    scripts = engine.project.scripts
    (scripts / "lib" / "linked.py").symlink_to(secret)
    with pytest.raises(ServiceError, match=r"lib/linked\.py is a symbolic link"):
        await run(engine, kind=RunKind.EXEC, code="import lib.linked")
    (scripts / "lib" / "way").symlink_to(tmp_path)
    assert (await run(engine, kind=RunKind.EXEC, code="import lib.way.secret")).outcome is Outcome.SCRIPT_ERROR
    (scripts / "lib" / "latin.py").write_bytes(b"# coding: latin-1\nX = '\xe4'\n")
    with pytest.raises(ServiceError, match=r"lib/latin\.py cannot be imported: It declares the encoding"):
        await run(engine, kind=RunKind.EXEC, code="import lib.latin")
    (scripts / "lib" / "bytes.py").write_bytes(b"X = 1\nY = '\xe4'\n")
    with pytest.raises(ServiceError, match=r"lib/bytes\.py cannot be imported: It is not UTF-8 in line 2"):
        await run(engine, kind=RunKind.EXEC, code="import lib.bytes")


async def test_what_one_run_may_import_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await save(engine, lib__a="A = 1\n", lib__b="B = 1\n", lib__c="C = '" + "x" * 200 + "'\n")
    monkeypatch.setattr(shared_code, "MAX_FILES", 2)
    monkeypatch.setattr(shared_code, "MAX_SIZE", 100)
    await save(engine, lib__d="D = 1\n")
    for code, sentence in (
        ("import lib.a, lib.b, lib.d", "more than 2 files"),
        ("import lib.c", "more than 100 bytes"),
    ):
        with pytest.raises(ServiceError, match=sentence) as caught:
            await run(engine, kind=RunKind.EXEC, code=code)
        assert caught.value.code == "too_much_shared_code"


async def test_a_check_knows_lib(engine: Engine) -> None:
    await save(engine, lib__tags=TAGS)
    report = await engine.checks.check(
        CheckRequest(text="import lib.tags\nimport lib.nix\n", path="area/user.py"), engine.owner
    )
    assert [(problem.line, problem.message) for problem in report.problems] == [
        (2, "There is no lib/nix.py among the project's scripts.")
    ]
    assert report.notes == [
        "Outside Gatewright this script finds lib by PYTHONPATH: PYTHONPATH=scripts uv run scripts/area/user.py"
    ]
    top = await engine.checks.check(CheckRequest(text="import lib.tags\n", path="user.py"), engine.owner)
    assert (top.problems, top.notes) == ([], [])
    header = "# /// script\n# [tool.gatewright]\n# entrypoint = 'nothing'\n# ///\n"
    [problem] = (await engine.checks.check(CheckRequest(text=header + TAGS, path="lib/tags.py"), engine.owner)).problems
    assert "entrypoint of its header mean nothing" in problem.message
