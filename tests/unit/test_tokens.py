"""Tokens: shown once, kept as a hash, over when they are revoked or their time is up; sessions and refused logins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from access_support import OWNER, access_kit

from engine.models.access import TokenRequest
from engine.services.access import Actor, Role, ServiceError
from engine.services.denials import KINDS, OF_ONE, OTHERS
from engine.services.sessions import LIFETIME, MOST, Sessions
from engine.services.throttle import ADDRESSES, FAILURES, LoginThrottle
from store.disk_space import ReadOnlySpace


async def test_a_token_is_let_in_with_its_role_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token(role="author", scripts=["line1/**"])
        actor = kit.callers.by_token(text, "10.0.0.7")
        assert (actor.name, actor.uid, actor.role, actor.scripts) == ("token:ci", -1, Role.AUTHOR, ("line1/**",))
        assert text.startswith(f"gw_{actor.token}_")
        [listed] = (await kit.tokens.list(OWNER)).tokens
        assert (listed.name, listed.created_by, listed.last_used_at) == ("ci", "olga", kit.clock.now)
        await kit.tokens.load()
        assert kit.callers.by_token(text, "") == actor
        assert [detail["role"] for _, _, detail in await kit.audited("token_create")] == ["author"]
    secret = text.rpartition("_")[2].encode()
    for file in tmp_path.iterdir():
        assert secret not in file.read_bytes(), file.name


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.removeprefix("gw_"),
        lambda text: text.rpartition("_")[0],
        lambda text: f"gws_{text.removeprefix('gw_')}",
        lambda text: f"{text}\udcff",
        lambda text: "",
        lambda text: "gw_",
        lambda text: "gw__",
    ],
)
async def test_what_is_not_exactly_the_token_is_refused(tmp_path: Path, change: Callable[[str], str]) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token()
        with pytest.raises(ServiceError, match="not known here") as refused:
            kit.callers.by_token(change(text), "10.0.0.7")
        assert (refused.value.status, refused.value.code) == (401, "unauthorized")
        assert kit.callers.by_token(text, "10.0.0.7").name == "token:ci"


@pytest.mark.parametrize(
    "change",
    [lambda text: text[:-1], lambda text: text + "0", lambda text: text[:-64] + "0" * 64, lambda text: text[1:]],
)
async def test_what_is_not_exactly_the_session_is_refused(tmp_path: Path, change: Callable[[str], str]) -> None:
    async with access_kit(tmp_path) as kit:
        session, _ = kit.callers.session_of(kit.callers.by_token(await kit.token(), ""))
        with pytest.raises(ServiceError, match="not known here"):
            kit.callers.by_token(change(session), "")
        with pytest.raises(ServiceError, match="not known here"):  # the token's id with the session's secret
            kit.callers.by_token(f"gw_{kit.callers.by_token(session, '').token}_{session[-64:]}", "")


async def test_a_revoked_token_and_its_sessions_are_over_at_once_and_for_good(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        text, other = await kit.token(), await kit.token("other")
        session, _ = kit.callers.session_of(kit.callers.by_token(text, ""))
        others, _ = kit.callers.session_of(kit.callers.by_token(other, ""))
        assert kit.callers.by_token(session, "").name == "token:ci"
        await kit.tokens.revoke("ci", OWNER, "cli")
        for each, sentence in ((text, "token ci was revoked at 20"), (session, "not known here")):
            with pytest.raises(ServiceError, match=sentence):
                kit.callers.by_token(each, "")
        assert kit.callers.by_token(others, "").name == "token:other"
        await kit.tokens.load()
        with pytest.raises(ServiceError, match="token ci was revoked at 20") as refused:
            kit.callers.by_token(text, "")
        assert (refused.value.status, refused.value.code) == (401, "unauthorized")
        assert [subject for _, subject, _ in await kit.audited("token_revoke")] == ["ci"]
        with pytest.raises(ServiceError, match="no token of this name"):
            await kit.tokens.revoke("ci", OWNER, "cli")
        assert (await kit.token()) != text  # its name is free again


async def test_an_expired_token_and_its_sessions_are_refused_and_its_name_is_free(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token(expires="2h")
        session, lifetime = kit.callers.session_of(kit.callers.by_token(text, ""))
        assert lifetime <= 28_800
        assert kit.callers.self(kit.callers.by_token(session, "")).expires_at == kit.clock.now + 7200
        kit.clock.now += 7199
        assert kit.callers.by_token(text, "")
        kit.clock.now += 1
        for each, sentence in ((text, "token ci expired at 20"), (session, "no longer counts")):
            with pytest.raises(ServiceError, match=sentence):
                kit.callers.by_token(each, "")
        assert [token.expired for token in (await kit.tokens.list(OWNER)).tokens] == [True]
        assert await kit.token()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 90 * 86_400), ("12h", 43_200), ("30m", 1800), ("2w", 14 * 86_400)]
)
async def test_a_token_expires_after_a_while(tmp_path: Path, text: str, seconds: float) -> None:
    async with access_kit(tmp_path) as kit:
        await kit.token(expires=text)
        assert (await kit.tokens.list(OWNER)).tokens[0].expires_at == kit.clock.now + seconds


async def test_a_token_expires_at_the_end_of_its_last_day_on_this_host(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        day = datetime.fromtimestamp(kit.clock.now).date() + timedelta(days=3)  # noqa: DTZ006 - this host's calendar
        await kit.token(expires=day.isoformat())
        expires = (await kit.tokens.list(OWNER)).tokens[0].expires_at
        assert expires is not None
        assert time.strftime("%Y-%m-%d %H:%M", time.localtime(expires - 1)) == f"{day.isoformat()} 23:59"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"role": "king"}, "no role 'king'; the roles are viewer, operator, author, admin"),
        ({"default_mode": "root"}, "no mode 'root'"),
        ({"default_mode": "ADMIN"}, "role operator cannot have ADMIN as its default mode"),
        ({"expires": "soon"}, "'soon' does not say how long"),
        ({"expires": "0d"}, "for more than nothing"),
        ({"expires": "999999w"}, "at most 100 years"),
        ({"expires": "9999-12-31"}, "does not say how long"),
        ({"expires": "9000-12-31"}, "at most 100 years"),
        ({"expires": "2001-02-03"}, "is over"),
        ({"name": ""}, "token's name has letters"),
        ({"name": " a"}, "token's name has letters"),
        ({"name": "a "}, "token's name has letters"),
        ({"name": "a  b"}, "single blanks"),
        ({"name": "a/b"}, "token's name has letters"),
        ({"name": "a\nb"}, "token's name has letters"),
        ({"name": "a" * 65}, "at most 64 characters"),
        ({"name": "0123456789ab"}, "does not look like a token's id"),
        ({"name": "CI"}, "There is a token ci already"),
        ({"role": "admin", "scripts": ["line1/*"]}, "for some scripts only cannot have the role admin"),
        ({"scripts": ["../x"]}, "no pattern of script paths"),
        ({"scripts": ["/x"]}, "no pattern of script paths"),
        ({"scripts": [""]}, "no pattern of script paths"),
        ({"scripts": ["x"] * 2 + [f"{n}" for n in range(101)]}, "at most 100 patterns"),
    ],
)
async def test_what_no_token_can_be_is_said(tmp_path: Path, fields: dict[str, object], sentence: str) -> None:
    async with access_kit(tmp_path) as kit:
        await kit.token()
        with pytest.raises(ServiceError, match=sentence):
            await kit.token(**{"name": "new", **fields})  # type: ignore[arg-type]
        assert [token.name for token in (await kit.tokens.list(OWNER)).tokens] == ["ci"]


async def test_a_token_for_some_scripts_makes_none_and_nobody_below_admin_does(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        wanted = TokenRequest(name="mine", role="viewer")
        scoped = Actor("token:line1", -1, Role.ADMIN, token="1" * 12, scripts=("line1/*",))
        for actor in (scoped, replace(OWNER, role=Role.AUTHOR)):
            with pytest.raises(ServiceError, match="may not create tokens"):
                await kit.tokens.create(wanted, actor, "rest")
        assert (await kit.tokens.list(OWNER)).tokens == []


async def test_where_nothing_can_be_written_no_token_is_made_and_a_revoked_one_is_over_for_this_engine(
    tmp_path: Path,
) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token()
    async with access_kit(tmp_path, ReadOnlySpace("the disk is full", "Free some room.")) as kit:
        with pytest.raises(ServiceError, match=r"^No token was created: the disk is full\.$"):
            await kit.token("new")
        assert kit.callers.by_token(text, "")
        with pytest.raises(ServiceError, match="will in the next one, since its end could not be recorded: the disk"):
            await kit.tokens.revoke("ci", OWNER, "cli")
        with pytest.raises(ServiceError, match="was revoked"):
            kit.callers.by_token(text, "")


@pytest.mark.parametrize("why", ["expired", "revoked"])
async def test_a_token_that_is_over_is_named_to_who_has_its_secret_and_on_record(tmp_path: Path, why: str) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token(expires="2h")
        kit.clock.now += 7200
        if why == "revoked":
            await kit.tokens.revoke("ci", OWNER, "cli")
        guess = text[:-1] + ("0" if text[-1] != "0" else "1")
        for sent, sentence in ((text, f"The token ci (was )?{why} at"), (guess, "^This token is not known here")):
            with pytest.raises(ServiceError, match=sentence):
                kit.callers.by_token(sent, "10.0.0.7")
        named, guessed = await kit.audited("denied")
        assert named == ("unknown", "login from 10.0.0.7", {"token": "ci", "why": why})
        assert guessed == ("unknown", "login from 10.0.0.7", {})


async def test_no_more_revoked_tokens_are_remembered_than_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.services.tokens.MOST_REVOKED", 2)
    async with access_kit(tmp_path) as kit:
        texts = [await kit.token(name) for name in ("a", "b", "c")]
        for name in ("a", "b", "c"):
            kit.clock.now += 1
            await kit.tokens.revoke(name, OWNER, "cli")
        for _ in range(2):
            assert [ended and ended.name for ended in map(kit.tokens.ended, texts)] == [None, "b", "c"]
            await kit.tokens.load()


async def test_when_a_token_was_used_last_is_written_when_it_is_asked_for_and_no_sooner(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token()
        kit.callers.by_token(text, "")
        assert [row.last_used_at for row in await kit.state.tokens.rows()] == [None]
        await kit.tokens.note_used()
        assert [row.last_used_at for row in await kit.state.tokens.rows()] == [kit.clock.now]


async def test_a_session_is_the_same_for_half_its_life_and_may_never_do_more_than_its_token(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        actor = kit.callers.by_token(await kit.token(role="author"), "")
        first, lifetime = kit.callers.session_of(actor)
        assert lifetime == LIFETIME
        kit.clock.now += LIFETIME / 2 - 1
        assert kit.callers.session_of(actor)[0] == first
        kit.clock.now += 1
        second, _ = kit.callers.session_of(actor)
        assert second != first
        assert kit.callers.by_token(first, "") == kit.callers.by_token(second, "") == actor
        less = replace(actor, role=Role.VIEWER)
        assert kit.callers.by_token(kit.callers.session_of(less)[0], "").role is Role.VIEWER
        kit.clock.now += LIFETIME
        with pytest.raises(ServiceError, match="not known here"):
            kit.callers.by_token(second, "")


async def test_a_name_of_two_words_is_a_name(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        assert kit.callers.by_token(await kit.token("line 1"), "").name == "token:line 1"
        await kit.tokens.revoke("line 1", OWNER, "cli")


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    texts = [sessions.of(Actor(f"a{uid}", uid, Role.VIEWER))[0] for uid in range(MOST + 1)]
    assert [sessions.actor_of(texts[0]), sessions.actor_of(texts[1])] == [None, Actor("a1", 1, Role.VIEWER)]


async def test_a_thousand_bad_logins_are_two_records_and_keep_no_valid_token_out(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        text = await kit.token()
        answers = []
        for number in range(1000):
            with pytest.raises(ServiceError) as refused:
                kit.callers.by_token(f"gw_guess_{number}", "10.0.0.66")
            answers.append((refused.value.status, refused.value.code))
            assert kit.callers.by_token(text, "10.0.0.66")
            kit.clock.now += 0.01
        assert answers == [(401, "unauthorized")] * FAILURES + [(429, "throttled")] * (1000 - FAILURES)
        assert 0 < (refused.value.retry_after or 0) <= 60
        with pytest.raises(ServiceError, match="not known here"):
            kit.callers.by_token("gw_guess", "10.0.0.67")
        kit.clock.now += 60
        kit.denials.settle()
        denied = await kit.audited("denied")
        assert [(subject, detail.get("repeated")) for _, subject, detail in denied] == [
            ("login from 10.0.0.66", None),
            ("login from 10.0.0.67", None),
            ("login from 10.0.0.66", 999),
        ]
        with pytest.raises(ServiceError, match="not known here"):  # a minute later it is asked again
            kit.callers.by_token("gw_guess", "10.0.0.66")


def test_the_throttle_forgets_the_address_that_failed_longest_ago() -> None:
    throttle = LoginThrottle(lambda: 0.0)
    for _ in range(FAILURES):
        assert throttle.failed("10.0.0.1") is None
    assert throttle.failed("10.0.0.1") == 60
    for number in range(ADDRESSES):
        assert throttle.failed(f"2001:db8::{number:x}") is None
    assert throttle.failed("10.0.0.1") is None


async def test_bad_logins_from_very_many_addresses_are_few_records(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        for number in range(1000):
            with pytest.raises(ServiceError):
                kit.callers.by_token("gw_guess", f"10.0.{number >> 8}.{number & 255}")
        kit.denials.settle(everything=True)
        denied = await kit.audited("denied")
        assert len(denied) == OF_ONE + 2
        assert (denied[-1][:2], denied[-1][2]["repeated"]) == (("unknown", OTHERS), 1000 - OF_ONE - 1)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("2001:db8:1:2::7", "2001:db8:1:2::/64"), ("::ffff:10.0.0.9", "10.0.0.9"), ("fe80::1%eth0", "fe80::/64"),
     ("", "this host"), ("testclient", "testclient")],
)  # fmt: skip
async def test_refused_logins_are_counted_for_who_has_the_address(tmp_path: Path, address: str, shown: str) -> None:
    async with access_kit(tmp_path) as kit:
        with pytest.raises(ServiceError, match="not known"):
            kit.callers.by_token("gw_guess", address)
        assert [subject for _, subject, _ in await kit.audited("denied")] == [f"login from {shown}"]


async def test_refusals_of_very_many_kinds_are_bounded(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        for number in range(KINDS + 100):
            kit.denials.note(Actor(f"a{number}", number, Role.VIEWER), "rest", "runs.start")
        kit.denials.settle(everything=True)
        denied = await kit.audited("denied")
        assert len(denied) == KINDS + 2
        assert (denied[-1][:2], denied[-1][2]["repeated"]) == (("several", OTHERS), 99)


async def test_counted_refusals_are_dated_when_the_last_of_them_happened(tmp_path: Path) -> None:
    async with access_kit(tmp_path) as kit:
        began = kit.clock.now
        for _ in range(3):
            kit.denials.note(Actor("bob", 1, Role.VIEWER), "cli", "runs.start", needs="operator")
            kit.clock.now += 2
        kit.denials.note(Actor("bob", 1, Role.VIEWER), "cli", "runs.start", needs="admin")
        kit.clock.now += 300
        kit.denials.settle()
        newest, admin, _ = (await kit.audit.list(OWNER)).records
        assert newest.at == began + 4
        times = {"first_at": began + 2, "last_at": began + 4}
        assert newest.detail == {"needs": "operator", "repeated": 2, **times}
        assert admin.detail == {"needs": "admin"}
        assert (await kit.audit.verify(OWNER)).problem is None
