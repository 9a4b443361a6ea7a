"""The git service: roles, the author of each account, refusals by code, and calls that are given up."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.models.git import GitAuthor, GitCommitRequest, GitPaths, GitTrustRequest
from engine.services.access import Actor, Role, ServiceError
from engine.services.git import GitService
from store import migrations
from store.database import APPLICATION_ID
from store.git.changes import Author
from store.git.repository import GitRepo
from store.git.trust import TrustFile
from store.state.database import StateDB

ALICE = Actor(name="alice", uid=1000, role=Role.AUTHOR)
BOB = Actor(name="bob", uid=1001, role=Role.AUTHOR)
ADMIN = Actor(name="root", uid=0, role=Role.ADMIN)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "plant"
    (root / "scripts").mkdir(parents=True)
    (root / ".gatewright").mkdir(mode=0o700)
    (root / ".gitignore").write_text("/.gatewright/\n")
    GitRepo(root).init()
    (root / "scripts/a.py").write_text("1\n")
    return root


@pytest.fixture
async def service(root: Path) -> AsyncIterator[GitService]:
    state = await StateDB.open(root / ".gatewright/state.db")
    yield GitService(root, TrustFile(root / ".gatewright"), state.authors)
    await state.close()


async def refusal(work: Awaitable[object]) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await work
    return refused.value


async def test_each_token_has_an_author_of_its_own(service: GitService) -> None:
    one = Actor("token:one", -1, Role.AUTHOR, token="1" * 12)
    two = Actor("token:two", -1, Role.AUTHOR, token="2" * 12)
    await service.set_author(GitAuthor(name="One", email="one@plant.example"), one)
    assert (await service.author(one)).name == "One"
    assert await service.author(two) == GitAuthor()


async def test_the_authors_of_an_older_database_stay(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    for script in migrations.scripts()[:12]:
        connection.executescript(script)
    connection.execute("INSERT INTO git_author VALUES (1000, 'Alice', 'alice@plant.example', 1.0)")
    connection.commit()
    connection.executescript(f"PRAGMA user_version=12; PRAGMA application_id={APPLICATION_ID};")
    connection.close()
    path.chmod(0o600)
    state = await StateDB.open(path)
    try:
        assert await state.authors.of(ALICE.identity) == Author("Alice", "alice@plant.example")
    finally:
        await state.close()


async def test_each_account_has_an_author_of_its_own(service: GitService, root: Path) -> None:
    assert await service.author(ALICE) == GitAuthor()
    await service.stage(GitPaths(paths=["scripts/a.py"]), ALICE)
    assert (await refusal(service.commit(GitCommitRequest(message="x"), ALICE))).code == "no_author"
    await service.set_author(GitAuthor(name="Alice", email="alice@plant.example"), ALICE)
    await service.set_author(GitAuthor(name="Bob", email="bob@plant.example"), BOB)
    made = await service.commit(GitCommitRequest(message="x"), ALICE)
    assert made.author == "Alice"
    (root / "scripts/a.py").write_text("2\n")
    await service.stage(GitPaths(paths=["scripts"]), BOB)
    assert (await service.commit(GitCommitRequest(message="y"), BOB)).author == "Bob"
    await service.set_author(GitAuthor(name=" Alice L. ", email="alice@plant.example"), ALICE)
    assert await service.author(ALICE) == GitAuthor(name="Alice L.", email="alice@plant.example")
    assert (await service.show(made.sha, "a.py")).text == "1\n"


@pytest.mark.parametrize(
    ("name", "email"),
    [("", "a@b"), (None, None), ("...", "a@b"), ("a<b", "a@b"), ("a\nb", "a@b"), ("a", ""), ("a", "a"), ("a", "a b@c"),
     ("a", "a@b>"), ("a", "a\x1b@b"), ("a" * 300, "a@b"), ("a\u2028b", "a@b")],
)  # fmt: skip
async def test_what_cannot_stand_in_a_commit_is_no_author(
    service: GitService, name: str | None, email: str | None
) -> None:
    assert (await refusal(service.set_author(GitAuthor(name=name, email=email), ALICE))).code == "bad_request"
    assert await service.author(ALICE) == GitAuthor()


async def test_roles(service: GitService) -> None:
    viewer = Actor(name="eve", uid=1, role=Role.OPERATOR)
    for work in (
        service.diff(viewer, "scripts/a.py", staged=False, commit=None),
        service.stage(GitPaths(paths=["scripts"]), viewer),
        service.unstage(GitPaths(paths=["scripts"]), viewer),
        service.commit(GitCommitRequest(message="x"), viewer),
        service.author(viewer),
        service.set_author(GitAuthor(name="a", email="a@b"), viewer),
        service.trust(GitTrustRequest(), ALICE),
    ):
        assert (await refusal(work)).code == "forbidden"


async def test_refusals_have_codes(service: GitService, root: Path) -> None:
    await service.set_author(GitAuthor(name="Alice", email="a@b"), ALICE)
    stage: Callable[[str], Awaitable[object]] = lambda path: service.stage(GitPaths(paths=[path]), ALICE)  # noqa: E731
    for work, code, status in (
        (service.commit(GitCommitRequest(message="x"), ALICE), "nothing_staged", 422),
        (stage("../x"), "bad_request", 400),
        (stage("none"), "not_found", 404),
        (service.show("0" * 40, "a.py"), "not_found", 404),
        (service.show("nobody", "a.py"), "not_found", 404),
        (service.show("a..b", "a.py"), "bad_request", 400),
        (service.diff(ALICE, None, staged=False, commit=None), "bad_request", 400),
        (service.log("a\0b"), "bad_request", 400),
    ):
        refused = await refusal(work)
        assert (refused.code, refused.status) == (code, status)
    os.rename(root / ".git", root / "gone")
    refused = await refusal(stage("scripts"))
    assert (refused.code, refused.message) == ("git", "This project has no git repository.")


async def test_trust_is_for_what_was_seen(service: GitService, root: Path) -> None:
    seen = await service.programs()
    assert (seen.needed, seen.trusted) == (False, False)
    config = root / ".git/config"
    config.write_text(config.read_text() + '[filter "f"]\n\tclean = cat\n')
    refused = await refusal(service.trust(GitTrustRequest(fingerprint=seen.fingerprint), ADMIN))
    assert (refused.code, refused.status) == ("changed", 409)
    refused = await refusal(service.stage(GitPaths(paths=["scripts"]), ALICE))
    assert (refused.code, refused.status) == ("untrusted", 403)
    assert "gatewright git trust" in (refused.hint or "")
    seen = await service.programs()
    assert [(one.kind, one.name, one.value) for one in seen.programs] == [("setting", "filter.f.clean", "cat")]
    assert (await service.trust(GitTrustRequest(fingerprint=seen.fingerprint), ADMIN)).trusted
    staged = await service.stage(GitPaths(paths=["scripts"]), ALICE)
    assert {file.path: file.index for file in staged.files} == {"scripts/a.py": "A", ".gitignore": "?"}
    assert not (await service.trust(GitTrustRequest(), ADMIN)).trusted


async def test_a_call_that_is_given_up_ends_its_git_before_the_next_one(
    service: GitService, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    slow = tools / "git"
    slow.write_text(f"#!/bin/sh\n[ $1 = version ] && echo git version 2.39 && exit\ntouch {tmp_path}/up\nsleep 60\n")
    slow.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        call = asyncio.create_task(service.log(None))
        async with asyncio.timeout(10):
            while not (tmp_path / "up").exists():  # noqa: ASYNC110 - a process says it by a file
                await asyncio.sleep(0.01)
        begun = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - begun < 20
    assert (await service.status()).available
