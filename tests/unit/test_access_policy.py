"""Roles of accounts: from the settings file, by ids, read again when the file changes; the last good ones hold."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from access_support import OWNER, AccessKit, access_kit

from engine.config import AccessSection, ConfigError, Settings
from engine.services import accounts, policy
from engine.services.access import Role, ServiceError
from engine.services.accounts import AccountNames, UnknownName
from engine.services.callers import Callers
from engine.services.policy import AccessPolicy, resolved
from engine.services.roles import AccountRoles
from engine.sockets import Peer

UID, GID = pwd.getpwnam("daemon").pw_uid, grp.getgrnam("daemon").gr_gid
DAEMON = Peer(1, UID, GID)
"""An account that every host has, with a group of the same name."""


def write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


@asynccontextmanager
async def watched(
    folder: Path, text: str | None = "", *, shared: bool = False
) -> AsyncIterator[tuple[AccessKit, AccessPolicy, Path]]:
    file = folder / "settings.toml"
    if text is not None:
        write(file, text)
    async with access_kit(folder) as kit:
        kept = AccessPolicy(file, Settings.load(file, {}).access, kit.callers, kit.audit, OWNER, shared=shared)
        await kept.start()
        yield kit, kept, file


def role_of(kit: AccessKit, peer: Peer = DAEMON) -> Role | None:
    try:
        return kit.callers.by_peer(peer).role
    except ServiceError:
        return None


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "SETTLE", 0.0)


def test_the_highest_role_wins_and_groups_count_with_the_primary_one() -> None:
    roles = AccountRoles(accounts={7: Role.VIEWER}, groups={50: Role.OPERATOR, 60: Role.AUTHOR})
    assert roles.of(Peer(1, 7, 7)) is Role.VIEWER
    assert roles.of(Peer(1, 7, 50)) is Role.OPERATOR
    assert roles.of(Peer(1, 7, 7, (50, 60))) is Role.AUTHOR
    assert roles.of(Peer(1, 8, 8, (61,))) is None


def test_names_become_ids_and_the_last_list_that_names_an_account_is_the_highest() -> None:
    roles = resolved(AccessSection(viewers=("daemon", "@daemon"), admins=("daemon",)))
    assert (roles.accounts, roles.groups) == ({UID: Role.ADMIN}, {GID: Role.VIEWER})


@pytest.mark.parametrize("name", ["no-such-account-here", "@no-such-group-here"])
def test_an_unknown_name_is_told(name: str) -> None:
    with pytest.raises(UnknownName, match=r"there is no (account|group) 'no-such-"):
        resolved(AccessSection(authors=(name,)))


def test_the_name_of_accounts_of_other_namespaces_has_no_role() -> None:
    with pytest.raises(UnknownName, match="nobody cannot have a role"):
        resolved(AccessSection(viewers=("nobody",)))


@pytest.mark.parametrize(
    "text", ['viewers = "ann"', "viewers = [7]", 'viewers = ["a:b"]', 'viewers = ["@"]', "viewer = []"]
)
def test_what_is_no_list_of_names_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "settings.toml", f"[access]\n{text}\n")
    with pytest.raises(ConfigError, match="access"):
        Settings.load(tmp_path / "settings.toml", {})


def test_names_with_blanks_and_backslashes_are_names(tmp_path: Path) -> None:
    named = 'viewers = ["@domain users", "PLANT\\\\ann", "x"]\nhosts = ["gw-01.plant.example", "192.0.2.7", "::1"]'
    write(tmp_path / "settings.toml", f"[access]\n{named}\n")
    access = Settings.load(tmp_path / "settings.toml", {}).access
    assert access.viewers == ("@domain users", "PLANT\\ann", "x")
    assert access.hosts == ("gw-01.plant.example", "192.0.2.7", "::1")


async def test_the_owner_and_root_are_administrators_and_others_are_told_whom_to_ask(tmp_path: Path) -> None:
    async with watched(tmp_path) as (kit, _, _):
        assert kit.callers.by_peer(Peer(1, OWNER.uid, 1)) == OWNER
        assert role_of(kit, Peer(1, 0, 0)) is Role.ADMIN
        with pytest.raises(ServiceError, match="This project belongs to olga") as refused:
            kit.callers.by_peer(DAEMON)
        assert (refused.value.status, refused.value.denied is not None) == (403, True)
        kit.callers.use_roles(AccountRoles(groups={77: Role.ADMIN}, admins=("@leads",)))
        with pytest.raises(
            ServiceError, match=rf"^uid {UID} has no role in this project, which belongs to olga\.$"
        ) as refused:
            kit.callers.by_peer(DAEMON)
        assert refused.value.hint == "Ask for one: @leads."


async def test_a_session_of_an_account_is_that_accounts_and_of_no_use_over_tcp(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        session, _ = kit.callers.session_of(OWNER)
        assert kit.callers.by_token(session, "", Peer(1, OWNER.uid, 1)) == OWNER
        for address, peer in (("127.0.0.1", None), ("", DAEMON)):
            with pytest.raises(ServiceError, match="no longer counts"):
                kit.callers.by_token(session, address, peer)


async def test_a_changed_file_counts_at_once_and_sessions_of_accounts_end(tmp_path: Path) -> None:
    async with watched(tmp_path, '[access]\nauthors = ["@daemon"]\n') as (kit, kept, file):
        await kit.callers.learn(DAEMON)  # from now on what it may do is remembered
        assert role_of(kit) is Role.AUTHOR
        session, _ = kit.callers.session_of(kit.callers.by_peer(DAEMON))
        assert kit.callers.by_token(session, "", DAEMON).role is Role.AUTHOR
        write(file, '[access]\nviewers = ["@daemon"]\n')
        await kept.look()
        assert role_of(kit) is Role.VIEWER
        with pytest.raises(ServiceError, match="not known here"):
            kit.callers.by_token(session, "", DAEMON)
        file.unlink()
        await kept.look()
        assert (role_of(kit), kept.problems) == (None, [])
        listed = [detail["authors"] or detail["viewers"] for _, _, detail in await kit.audited("access_policy")]
        assert listed == [["@daemon"], ["@daemon"], []]


async def test_a_change_is_not_put_down_to_an_account_that_need_not_have_made_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as (kit, kept, file):
        write(file, '[access]\nviewers = ["@daemon"]\n')
        await kept.look()
        write(file, "[access\n")
        await kept.look()
        whose = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
        [(actor, subject, _)] = await kit.audited("access_policy")
        assert (actor, subject) == ("engine", f"{file} of {whose}")
        [(actor, subject, detail)] = await kit.audited("access_policy_refused")
        assert (actor, subject) == ("engine", f"{file} of {whose}")
        assert "not valid TOML" in str(detail["problem"])
        file.unlink()
        await kept.look()
        assert (await kit.audited("access_policy"))[-1][1] == f"{file}, which is missing"


async def test_a_shared_project_where_no_account_has_a_role_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(tmp_path, None, shared=True) as (_, kept, file):
        assert f"No other account has a role in this shared project yet: {file} does not exist" in kept.problems[0]
        assert caplog.messages == kept.problems
        write(file, '[access]\nviewers = ["@daemon"]\n')
        await kept.look()
        assert kept.problems == []
        write(file, "")
        await kept.look()
        assert "names none under [access]" in kept.problems[0]
        write(file, '[access]\nviewers = ["@daemon"]\n')
        await kept.look()
        caplog.clear()
        file.unlink()
        await kept.look()
        assert "does not exist" in kept.problems[0]
        assert caplog.messages == kept.problems


async def test_a_settings_file_that_is_removed_is_logged_as_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with watched(tmp_path, '[access]\nviewers = ["@daemon"]\n') as (_, kept, file):
        file.unlink()
        await kept.look()
        assert caplog.messages[-1] == f"there is no {file}: accounts other than the owner and root have no role"


def test_who_has_no_role_in_a_shared_project_is_told_who_gives_them() -> None:
    callers = Callers(OWNER, shared_settings=Path("/etc/gatewright/plant.toml"))
    with pytest.raises(ServiceError, match=rf"^uid {UID} has no role in this shared project, which be") as refused:
        callers.by_peer(DAEMON)
    assert refused.value.hint == (
        "Ask an administrator of this host, who gives roles in /etc/gatewright/plant.toml under [access]."
    )


BAD = {
    "field": ('[access]\nviewer = ["daemon"]\n', "unknown key access.viewer"),
    "toml": ("[access\n", "not valid TOML"),
    "name": ('[access]\nadmins = ["no-such-account-here"]\n', "there is no account 'no-such-account-here'"),
    "other section": ('[access]\nadmins = ["daemon"]\n[pool]\nsize = 99\n', "pool size must be 3 to 20"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_wrong_file_changes_no_role_and_is_told_once(tmp_path: Path, kind: str) -> None:
    text, sentence = BAD[kind]
    good = '[access]\nauthors = ["daemon"]\n'
    async with watched(tmp_path, good) as (kit, kept, file):
        write(file, text)
        for _ in range(3):
            await kept.look()
            assert role_of(kit) is Role.AUTHOR
        [problem] = kept.problems
        assert sentence in problem
        assert problem.endswith("the roles of accounts stay as they were.")
        assert len(await kit.audited("access_policy_refused")) == 1
        write(file, good)
        await kept.look()
        assert kept.problems == []


async def test_a_file_that_others_could_have_written_changes_no_role(tmp_path: Path) -> None:
    async with watched(tmp_path) as (kit, kept, file):
        write(file, '[access]\nadmins = ["daemon"]\n')
        file.chmod(0o620)
        await kept.look()
        assert role_of(kit) is None
        assert "can be written by other accounts" in kept.problems[0]
        file.chmod(0o600)
        await kept.look()
        assert role_of(kit) is Role.ADMIN


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_file_of_another_account_changes_no_role(tmp_path: Path) -> None:
    async with watched(tmp_path) as (kit, kept, file):
        write(file, '[access]\nadmins = ["daemon"]\n')
        os.chown(file, 54_399, 0)
        await kept.look()
        assert role_of(kit) is None
        assert "belongs to another account (uid 54399)" in kept.problems[0]


async def test_other_sections_count_from_the_next_start_and_that_is_told(tmp_path: Path) -> None:
    async with watched(tmp_path) as (kit, kept, file):
        write(file, '[access]\nviewers = ["daemon"]\n[pool]\nsize = 7\n')
        await kept.look()
        assert role_of(kit) is Role.VIEWER
        [problem] = kept.problems
        assert "has changed under [pool]; that counts when the engine starts again" in problem
        write(file, "")
        await kept.look()
        assert kept.problems == []


async def test_unknown_names_at_the_start_leave_only_the_owner_until_they_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "AGAIN_EVERY", 0.0)
    known = accounts.account
    monkeypatch.setattr(policy, "account", lambda name: known("no-such-account-here"))
    async with watched(tmp_path, '[access]\nviewers = ["daemon"]\n') as (kit, kept, _):
        assert role_of(kit) is None
        assert "only the owner and root have a role" in kept.problems[0]
        monkeypatch.setattr(policy, "account", known)
        await kept.look()
        assert (role_of(kit), kept.problems) == (Role.VIEWER, [])


async def test_a_directory_that_hangs_keeps_nothing_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "START_PATIENCE", 0.01)
    answers = threading.Event()
    asked: list[str] = []

    def hangs(name: str) -> int:
        asked.append(name)
        answers.wait(20)
        return UID

    monkeypatch.setattr(policy, "account", hangs)
    async with watched(tmp_path, '[access]\nviewers = ["daemon"]\n') as (kit, kept, _):
        assert "does not answer" in kept.problems[0]
        answers.set()
        await kept.look()
        assert (role_of(kit), kept.problems, asked) == (Role.VIEWER, [], ["daemon"])


async def test_an_account_whose_name_does_not_come_is_called_by_its_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "PATIENCE", 0.01)
    comes = threading.Event()

    def lookup(uid: int) -> str:
        comes.wait(20)
        return f"name of {uid}"

    names = AccountNames(lookup)
    await names.learn(7)
    assert (names.of(7), names.known(7)) == ("uid 7", False)
    comes.set()
    async with asyncio.timeout(20):
        while not names.known(7):
            await names.learn(7)
    assert names.of(7) == "name of 7"
