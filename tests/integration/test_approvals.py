"""Permissions through the engine: asked by a script, approved for its text, carried by its run, and lost by an edit."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from engine import Engine
from engine.models.permissions import Access, ApprovalState, ApproveRequest, Grant, PermissionReview
from engine.models.runs import Outcome, RunKind, RunRequest
from engine.models.scripts import SaveRequest, ScriptInfo
from engine.services.access import Actor, Role, ServiceError

AUTHOR = Actor(name="ann", uid=1000, role=Role.AUTHOR)


def script(body: str = "result = 1\n", *, read: str = "", write: str = "", more: str = "") -> str:
    lines = ["# /// script", "# [tool.gatewright.permissions]"]
    lines += [f"# {key} = [{paths}]" for key, paths in (("read", read), ("write", write)) if paths]
    return "\n".join([*lines, *([f"# {more}"] if more else []), "# ///", body])


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text("entry\n")
    return folder


async def save(engine: Engine, text: str, path: str = "own/logs.py") -> ScriptInfo:
    """Save over whatever is there."""
    try:
        base: str | None = (await engine.scripts.load(path)).info.sha256
    except ServiceError:
        base = None
    return await engine.scripts.save(path, SaveRequest(text=text, base_sha256=base), engine.owner)


def canonical(review: PermissionReview) -> list[Grant]:
    return [Grant(access=one.access, path=one.canonical or "") for one in review.asked]


async def approve(engine: Engine, path: str = "own/logs.py") -> PermissionReview:
    review = await engine.permissions.review(path, engine.owner)
    request = ApproveRequest(sha256=review.sha256, grants=canonical(review))
    return await engine.permissions.approve(path, request, engine.owner)


async def refusal(engine: Engine, path: str = "own/logs.py", code: str = "") -> ServiceError:
    before = (await engine.runs.list(engine.owner)).runs
    with pytest.raises(ServiceError) as caught:
        await engine.run(RunRequest(kind=RunKind.SCRIPT, script=path, code=code))
    assert (await engine.runs.list(engine.owner)).runs == before, "a refused run leaves no record"
    return caught.value


async def grants_of_a_run(engine: Engine, path: str = "own/logs.py") -> list[Grant]:
    run = await engine.call_script(path)
    assert run.outcome is Outcome.OK, run.error
    recorded = (await engine.runs.get(run.id, engine.owner)).grants
    assert run.grants == recorded
    return recorded


async def test_an_approved_run_carries_its_grants_and_one_more_byte_ends_that(engine: Engine, logs: Path) -> None:
    text = script(read=f'"{logs}"', write=f'"{logs}/a.log"')
    info = await save(engine, text)
    assert info.needs_approval
    assert info.permissions == [
        Grant(access=Access.READ, path=str(logs)), Grant(access=Access.WRITE, path=f"{logs}/a.log"),
    ]  # fmt: skip
    refused = await refusal(engine)
    assert (refused.code, refused.status) == ("needs_approval", 403)
    assert "own/logs.py" in refused.message
    assert "gatewright scripts approve own/logs.py" in (refused.hint or "")
    review = await engine.permissions.review("logs", engine.owner)
    assert review.state is ApprovalState.NEEDED
    assert [(one.change, one.folder) for one in review.asked] == [("new", True), ("new", False)]
    assert all(one.problem is None for one in review.asked)
    assert "+result = 1" in review.diff

    approved = await approve(engine)
    assert (approved.state, approved.approved_by, approved.diff) == (ApprovalState.APPROVED, engine.owner.name, "")
    assert await grants_of_a_run(engine) == info.permissions
    [listed] = [one for one in (await engine.scripts.list()).scripts if one.path == "own/logs.py"]
    assert not listed.needs_approval
    assert listed.permissions == info.permissions
    assert not (await engine.scripts.load("own/logs.py")).info.needs_approval

    await save(engine, text + "\n")
    assert "changed" in (await refusal(engine)).message
    changed = await engine.permissions.review("own/logs.py", engine.owner)
    assert changed.state is ApprovalState.CHANGED
    assert changed.approved_sha256 == info.sha256
    assert [one.change for one in changed.asked] == ["unchanged", "unchanged"]
    assert [line for line in changed.diff.split("\n")[3:] if line[0] in "+-"] == ["+"]

    await save(engine, text)
    assert await grants_of_a_run(engine) == info.permissions, "the approved text is approved, whatever was between"


READS = """\
found = {}
for path in params["paths"]:
    try:
        found[path] = open(path).read()
    except OSError as error:
        found[path] = type(error).__name__
result = found
"""


async def test_an_approved_folder_is_read_and_nothing_beside_it(engine: Engine, logs: Path, tmp_path: Path) -> None:
    (tmp_path / "beside.log").write_text("beside")
    (logs / "out").symlink_to(tmp_path / "beside.log")
    (logs / "inner").mkdir()
    (logs / "inner" / "b.log").write_text("inner")
    text = script(READS, read=f'"{logs}"', more='[tool.gatewright.params.paths]\n# type = "list"')
    await save(engine, text)
    await approve(engine)
    beside = [f"{logs}/out", f"{tmp_path}/beside.log", f"{logs}/../beside.log"]
    paths = [f"{logs}/a.log", f"{logs}/inner/b.log", *beside]
    run = await engine.call_script("own/logs.py", params={"paths": paths})
    assert run.outcome is Outcome.OK, run.error
    found = [run.value[path] for path in paths]
    assert found[:2] == ["entry\n", "inner"]
    assert not {"beside"} & set(found[2:]), found


async def test_an_approved_folder_is_written_and_read_only_where_it_says_read(engine: Engine, tmp_path: Path) -> None:
    out, logs = tmp_path / "out", tmp_path / "in"
    out.mkdir()
    logs.mkdir()
    attempt = f"try:\n    open('{logs}/made', 'w')\nexcept OSError:\n    result = 'held'\n"
    body = f"open('{out}/made', 'w').write('x')\n{attempt}"
    await save(engine, script(body, read=f'"{logs}"', write=f'"{out}"'))
    await approve(engine)
    run = await engine.call_script("own/logs.py")
    assert (run.outcome, run.value) == (Outcome.OK, "held"), run.error
    assert (out / "made").read_text() == "x"
    assert list(logs.iterdir()) == []


async def test_grants_are_recorded_with_the_run_and_approvals_outlive_the_engine(tmp_path: Path, logs: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        await save(engine, script(read=f'"{logs}"'))
        await approve(engine)
        run = await engine.call_script("own/logs.py")
        plain = await engine.execute("result = 1")
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        kept = await engine.runs.get(run.id, engine.owner)
        assert kept.grants == [Grant(access=Access.READ, path=str(logs))]
        assert (await engine.runs.get(plain.id, engine.owner)).grants == []
        assert await grants_of_a_run(engine) == kept.grants


async def test_unsaved_text_needs_an_approval_of_its_own(engine: Engine, logs: Path) -> None:
    text = script(read=f'"{logs}"')
    await save(engine, text)
    await approve(engine)
    assert (await refusal(engine, code=text + "#")).code == "needs_approval"
    same = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="own/logs.py", code=text))
    assert (await engine.runs.get(same.id, engine.owner)).grants
    elsewhere = await refusal(engine, path="own/other.py", code=text)
    assert elsewhere.code == "needs_approval", "the path of the script counts"
    freed = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="own/logs.py", code="result = 1"))
    assert (await engine.runs.get(freed.id, engine.owner)).grants == []


async def test_an_approved_script_is_entered_where_it_says(engine: Engine, logs: Path) -> None:
    body = "def main():\n    return 1\ndef other():\n    return 2\n"
    entered = '# [tool.gatewright]\n# entrypoint = "main"\n# [tool'
    await save(engine, script(body, read=f'"{logs}"').replace("# [tool", entered))
    await approve(engine)
    request = RunRequest(kind=RunKind.SCRIPT, script="own/logs.py", entrypoint="other")
    with pytest.raises(ServiceError, match="only by the entrypoint that it declares"):
        await engine.run(request)
    assert (await engine.run(msgspec.structs.replace(request, entrypoint="main"))).value == 1


async def test_only_an_administrator_decides(engine: Engine, logs: Path) -> None:
    await save(engine, script(read=f'"{logs}"'))
    review = await engine.permissions.review("own/logs.py", AUTHOR)
    request = ApproveRequest(sha256=review.sha256, grants=canonical(review))
    for decision in (
        engine.permissions.approve("own/logs.py", request, AUTHOR), engine.permissions.refuse("own/logs.py", AUTHOR),
    ):  # fmt: skip
        with pytest.raises(ServiceError) as caught:
            await decision
        assert (caught.value.code, caught.value.status) == ("forbidden", 403)
    assert (await engine.permissions.review("own/logs.py", AUTHOR)).state is ApprovalState.NEEDED


async def test_an_approval_of_what_was_not_seen_is_refused(engine: Engine, logs: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(logs)
    await save(engine, script(read=f'"{link}"'))
    review = await engine.permissions.review("own/logs.py", engine.owner)
    assert review.asked[0].canonical == str(logs)
    (tmp_path / "others").mkdir()
    wrong = [
        ApproveRequest(sha256="0" * 64, grants=canonical(review)),
        ApproveRequest(sha256=review.sha256, grants=[]),
        ApproveRequest(sha256=review.sha256, grants=[Grant(access=Access.READ, path=str(link))]),
        ApproveRequest(sha256=review.sha256, grants=[Grant(access=Access.WRITE, path=str(logs))]),
    ]
    for request in wrong:
        with pytest.raises(ServiceError) as caught:
            await engine.permissions.approve("own/logs.py", request, engine.owner)
        assert (caught.value.code, caught.value.status) == ("changed", 409)
    link.unlink()
    link.symlink_to(tmp_path / "others")
    with pytest.raises(ServiceError) as caught:
        await engine.permissions.approve(
            "own/logs.py", ApproveRequest(sha256=review.sha256, grants=canonical(review)), engine.owner
        )
    assert caught.value.code == "changed"
    assert (await refusal(engine)).code == "needs_approval"


async def test_a_link_swapped_after_the_approval_ends_it(engine: Engine, logs: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(logs)
    await save(engine, script(read=f'"{link}"'))
    await approve(engine)
    assert await grants_of_a_run(engine) == [Grant(access=Access.READ, path=str(logs))]
    (tmp_path / "others").mkdir()
    link.unlink()
    link.symlink_to(tmp_path / "others")
    refused = await refusal(engine)
    assert refused.code == "needs_approval"
    assert "leads elsewhere" in refused.message
    review = await engine.permissions.review("own/logs.py", engine.owner)
    assert review.state is ApprovalState.CHANGED
    assert [one.change for one in review.asked] == ["new"]
    assert review.removed == [Grant(access=Access.READ, path=str(logs))]
    link.unlink()
    link.symlink_to("/etc")
    refused = await refusal(engine)
    assert (refused.code, refused.status) == ("bad_permission", 422)
    link.unlink()
    link.symlink_to(logs)
    assert await grants_of_a_run(engine)


async def test_a_component_swapped_for_a_link_ends_the_approval(engine: Engine, logs: Path, tmp_path: Path) -> None:
    (logs / "inner").mkdir()
    await save(engine, script(read=f'"{logs}/inner"'))
    await approve(engine)
    logs.rename(tmp_path / "moved")
    logs.symlink_to(tmp_path / "moved")
    assert (await refusal(engine)).code == "needs_approval"


async def test_a_file_replaced_by_a_link_or_a_folder_ends_the_approval(engine: Engine, logs: Path) -> None:
    await save(engine, script(read=f'"{logs}/a.log"'))
    await approve(engine)
    (logs / "a.log").rename(logs / "a.log.1")
    assert "does not exist" in (await refusal(engine)).message
    (logs / "a.log").symlink_to("a.log.1")
    assert (await refusal(engine)).code == "needs_approval"
    (logs / "a.log").unlink()
    (logs / "a.log").mkdir()
    assert (await refusal(engine)).code == "needs_approval"
    (logs / "a.log").rmdir()
    (logs / "a.log").write_text("a new file after rotation")
    assert await grants_of_a_run(engine)


async def test_a_declared_encoding_ends_an_approval_and_unsaved_text_has_none_either(
    engine: Engine, logs: Path
) -> None:
    text = script(read=f'"{logs}"')
    await save(engine, text)
    approved = await approve(engine)
    coded = f"# coding: unicode_escape\n# \\nresult = open('{logs}/a.log').read()\n{text}"
    assert "declares the encoding unicode_escape" in (await refusal(engine, code=coded)).message
    await save(engine, coded)
    refused = await refusal(engine)
    assert (refused.code, refused.status) == ("bad_script", 422)
    for work in (
        engine.permissions.review("own/logs.py", engine.owner),
        engine.permissions.approve(
            "own/logs.py", ApproveRequest(sha256=approved.sha256, grants=canonical(approved)), engine.owner
        ),
    ):
        with pytest.raises(ServiceError, match="cannot be judged: It declares the encoding"):
            await work
    await save(engine, text)
    assert await grants_of_a_run(engine)


async def test_a_refusal_is_remembered_and_withdraws(engine: Engine, logs: Path) -> None:
    text = script(read=f'"{logs}"')
    await save(engine, text)
    refused = await engine.permissions.refuse("own/logs.py", engine.owner)
    assert refused.state is ApprovalState.REFUSED
    assert f"refused the permissions that it asks for, by {engine.owner.name}" in (await refusal(engine)).message
    await approve(engine)
    assert await grants_of_a_run(engine)
    withdrawn = await engine.permissions.refuse("own/logs.py", engine.owner)
    assert withdrawn.state is ApprovalState.REFUSED
    assert withdrawn.approved_sha256 == withdrawn.sha256, "what was approved before is still told"
    assert (await refusal(engine)).code == "needs_approval"
    await save(engine, "result = 1\n")
    assert await grants_of_a_run(engine) == []
    await save(engine, script(read=f'"{logs}"', body="result = 2\n"))
    assert (await engine.permissions.review("own/logs.py", engine.owner)).state is ApprovalState.CHANGED


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"read": '"/"'}, "whole file system"),
        ({"read": '"/etc"'}, "never granted"),
        ({"write": f'"{pwd.getpwuid(0).pw_dir}/.ssh"'}, "never granted"),
        ({"read": '"logs"'}, "not absolute"),
        ({"read": '"/no/such/path"'}, "does not exist"),
        ({"read": '"/tmp/../etc"'}, '".."'),
        ({"read": '"/a\\u0000b"'}, "U+0000"),
        ({"read": '"/dev/null"'}, "is a device"),
    ],
)
async def test_what_cannot_be_granted_is_not_approved(engine: Engine, asked: dict[str, str], said: str) -> None:
    await save(engine, script(**asked))
    review = await engine.permissions.review("own/logs.py", engine.owner)
    assert review.state is ApprovalState.NEEDED
    assert said in (review.asked[0].problem or "")
    with pytest.raises(ServiceError) as caught:
        await engine.permissions.approve(
            "own/logs.py", ApproveRequest(sha256=review.sha256, grants=canonical(review)), engine.owner
        )
    assert (caught.value.code, caught.value.status) == ("bad_permission", 422)
    assert said in caught.value.message
    # Nobody is sent to an administrator for it either.
    refused = await refusal(engine)
    assert refused.code == "bad_permission"
    assert said in refused.message


async def test_the_projects_own_places_are_never_granted(engine: Engine) -> None:
    root = engine.project.root
    for path in (root, root.parent, root / "scripts", root / ".git", root / ".gatewright" / "envs"):
        await save(engine, script(read=f'"{path}"'))
        review = await engine.permissions.review("own/logs.py", engine.owner)
        assert "never granted" in (review.asked[0].problem or ""), path
    await save(engine, script(read=f'"{root / "documents"}"'))
    assert (await approve(engine)).state is ApprovalState.APPROVED


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('connect = ["10.0.0.1:80"]', '"connect"'),
        ('read = "/srv"', "must be a list"),
        ("write = [1]", "must be a list"),
        (f"read = {[f'/srv/{n}' for n in range(17)]}", "17 permissions"),
    ],
)
async def test_a_table_that_cannot_be_understood_stops_the_script(engine: Engine, more: str, said: str) -> None:
    info = await save(engine, script(more=more))
    assert said in (info.problem or "")
    refused = await refusal(engine)
    assert (refused.code, refused.status) == ("bad_script", 422)
    with pytest.raises(ServiceError, match="cannot be judged"):
        await engine.permissions.review("own/logs.py", engine.owner)


async def test_a_script_that_asks_for_nothing_has_nothing_to_decide(engine: Engine) -> None:
    await save(engine, "result = 1\n")
    review = await engine.permissions.review("own/logs.py", engine.owner)
    assert (review.state, review.asked, review.diff) == (ApprovalState.NONE, [], "")
    with pytest.raises(ServiceError, match="asks for no permissions"):
        await engine.permissions.approve("own/logs.py", ApproveRequest(sha256=review.sha256, grants=[]), engine.owner)
    with pytest.raises(ServiceError, match="asks for no permissions"):
        await engine.permissions.refuse("own/logs.py", engine.owner)
    with pytest.raises(ServiceError, match="no script"):
        await engine.permissions.review("none", engine.owner)


async def test_a_disabled_script_can_be_reviewed(engine: Engine, logs: Path) -> None:
    disabled = "# [tool.gatewright]\n# enabled = false\n# [tool"
    await save(engine, script(read=f'"{logs}"').replace("# [tool", disabled, 1))
    assert (await approve(engine)).state is ApprovalState.APPROVED


async def test_decisions_are_events(engine: Engine, logs: Path) -> None:
    await save(engine, script(read=f'"{logs}"'))
    seen = engine.events.last_seq
    await approve(engine)
    await engine.permissions.refuse("own/logs.py", engine.owner)
    events = [event.data for event in engine.events.since(seen)[0] if event.type == "script"]
    assert events == [{"path": "own/logs.py", "change": "approved"}, {"path": "own/logs.py", "change": "refused"}]


async def test_a_list_asks_the_database_once(engine: Engine, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        await save(engine, script(read=f'"{logs}"'), f"own/logs{number}.py")
    asked = []
    approved = engine.scripts._approvals.approved

    async def counted() -> dict[str, str]:
        asked.append(1)
        return await approved()

    monkeypatch.setattr(engine.scripts._approvals, "approved", counted)
    listed = (await engine.scripts.list()).scripts
    assert sum(info.needs_approval for info in listed) == 5
    assert len(asked) == 1


async def test_two_ways_of_writing_one_path_are_one_grant(engine: Engine, logs: Path) -> None:
    await save(engine, script(read=f'"{logs}", "{logs}/", "{logs}/."'))
    await approve(engine)
    assert await grants_of_a_run(engine) == [Grant(access=Access.READ, path=str(logs))]


async def test_comparing_long_texts_leaves_the_loop_to_others(engine: Engine, logs: Path) -> None:
    head = script(read=f'"{logs}"', body="")
    await save(engine, head + "a = 1\n" * 100_000)
    await approve(engine)
    await save(engine, head + "b = 2\na = 1\n" * 60_000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    counting = asyncio.create_task(count())
    review = await engine.permissions.review("own/logs.py", engine.owner)
    counting.cancel()
    assert review.diff.endswith("read the whole text.")
    assert turns > 3
