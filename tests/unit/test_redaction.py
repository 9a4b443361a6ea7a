"""Secrets stay out of the audit: by the names of values, by the form of tokens, by what is known to be secret."""

from __future__ import annotations

import json
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.secrets import SecretValue
from engine.services.access import Actor, Role
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck
from engine.services.masking import HIDDEN
from engine.services.redaction import Redactor
from engine.services.secrets import SecretService
from store.disk_space import DiskSpace, Floor
from store.secrets import SecretsFile
from store.state.audit import AuditEvent, AuditRow
from store.state.database import StateDB

ALICE = Actor("alice", 1000, Role.ADMIN)
OURS = "gw_0123456789ab_" + "Zx9_" * 10
DIGEST = "0123456789abcdef" * 4
LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"login with {OURS} failed", f"login with gw_0123456789ab_{HIDDEN} failed"),
        ("Authorization: Bearer abcdef.ghijkl-mn", f"Authorization: {HIDDEN}"),
        ("sent basic dXNlcjpwYXNzd29yZA==", f"sent basic {HIDDEN}"),
        ("https://bob:hunter2@pypi.plant/simple", f"https://{HIDDEN}@pypi.plant/simple"),
        ("https://hunter2@pypi.plant/simple", f"https://{HIDDEN}@pypi.plant/simple"),
        ("GET /x?token=abc&line=2", f"GET /x?token={HIDDEN}&line=2"),
        ('PGPASSWORD="two words" psql', f"PGPASSWORD={HIDDEN} psql"),
        ("password: hunter2", f"password: {HIDDEN}"),
        ("https://bob:hun@ter2@pypi.plant/simple@v1", f"https://{HIDDEN}@pypi.plant/simple@v1"),
        ("postgres://bob:hun/ter2@db:5432/plant", f"postgres://{HIDDEN}@db:5432/plant"),
        ("git+https://host:8080/tool@v1", "git+https://host:8080/tool@v1"),
        ("https://host:8080/?access_token=hunter2", f"https://host:8080/?access_token={HIDDEN}"),
        ("https://host/x?X-Amz-Signature=ab12&line=2", f"https://host/x?X-Amz-Signature={HIDDEN}&line=2"),
        ("deploy --api-key hunter2 --line 2", f"deploy --api-key {HIDDEN} --line 2"),
        ("curl -u bob:hunter2 https://host", f"curl -u {HIDDEN} https://host"),
        ("Authorization: Token hunter2", f"Authorization: {HIDDEN}"),
        ("Cookie: sid=hunter2; other=hunter2", f"Cookie: {HIDDEN}"),
        ('bad: {"password": "hunter2", "line": 2}', f'bad: {{"password": {HIDDEN}, "line": 2}}'),
        ("bad: {'db_password':'hunter2'}", f"bad: {{'db_password':{HIDDEN}}}"),
        ("password:hunter2", f"password:{HIDDEN}"),
        ("password=hun;ter2,x&line=2", f"password={HIDDEN}&line=2"),
        (f"deploy_ghp_{'a1B2' * 9}.py", f"deploy_ghp_{HIDDEN}"),
        (f"pypi-{'a1B2' * 9}", f"pypi-{HIDDEN}"),
        (f"ghp_{'a1B2' * 9} pushed", f"ghp_{HIDDEN} pushed"),
        ("AKIAIOSFODNN7EXAMPLE", f"AKIA{HIDDEN}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", f"eyJ{HIDDEN}"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----***\n",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIB", "-----BEGIN PRIVATE KEY-----***"),
        ("line1/token_report.py", "line1/token_report.py"),
        ("token:dashboard", "token:dashboard"),
        ("login from 10.0.0.7", "login from 10.0.0.7"),
        ("#12 monkey.py", "#12 monkey.py"),
        ("/srv/data:/srv/other", "/srv/data:/srv/other"),
        ("https://pypi.plant/simple?page=2", "https://pypi.plant/simple?page=2"),
        (DIGEST, DIGEST),
    ],
)
def test_a_text_keeps_all_but_what_is_secret(text: str, kept: str) -> None:
    assert Redactor().text(text) == kept


def redacted(redactor: Redactor, subject: str = "", **detail: object) -> tuple[str, dict[str, object]]:
    event = redactor.event(AuditEvent(1.0, "alice", 1, "cli", "save", subject, json.dumps(detail, sort_keys=True)))
    found: dict[str, object] = json.loads(event.detail)
    return event.subject, found


def test_what_a_detail_names_a_secret_is_hidden_and_our_own_names_are_not() -> None:
    _, detail = redacted(
        Redactor(), password="x", settings={"api_key": 5, "limit": 3, "on": True, "key_file": ""}, token="dash1",
        keys=["last_run"], **{"lib/secret_names.py": DIGEST}, requirements=["numpy", f"x @ https://a:b@{'h'}/x.whl"],
    )  # fmt: skip
    assert detail == {
        "password": HIDDEN, "settings": {"api_key": HIDDEN, "limit": 3, "on": True, "key_file": ""}, "token": "dash1",
        "keys": ["last_run"], "lib/secret_names.py": DIGEST,
        "requirements": ["numpy", f"x @ https://{HIDDEN}@h/x.whl"],
    }  # fmt: skip


def test_a_known_secret_is_hidden_in_every_place_and_spelling_but_in_no_number() -> None:
    redactor = Redactor()
    redactor.know(["1234", 'pü"ss wort'])
    subject, detail = redacted(redactor, "#1234 1234.py", text='pü"ss wort', url="p%C3%BC%22ss%20wort", sha256=DIGEST)
    assert subject == f"#1234 {HIDDEN}.py"
    assert detail == {"text": HIDDEN, "url": HIDDEN, "sha256": DIGEST}


def test_a_detail_that_is_no_object_is_looked_at_too() -> None:
    redactor = Redactor()
    redactor.know(["hunter2"])
    for detail in ("hunter2", '["hunter2"]', '"hunter2"', "{"):
        assert "hunter2" not in redactor.event(AuditEvent(1.0, "a", 1, "cli", "x", "", detail)).detail


@given(
    secret=st.text(LETTERS, min_size=12, max_size=40).filter(lambda text: not text.isdigit()),
    before=st.text(max_size=20), after=st.text(max_size=20), inside=st.sampled_from(["text", "list", "object", "key"]),
)  # fmt: skip
def test_no_known_secret_is_left_wherever_it_stands(secret: str, before: str, after: str, inside: str) -> None:
    redactor = Redactor()
    redactor.know([secret])
    text = f"{before}{secret}{after}"
    value = {"text": text, "list": [1, [text]], "object": {"a": {"b": text}}, "key": {text: 1}}[inside]
    event = redactor.event(AuditEvent(1.0, "alice", 1, "cli", "x", text, json.dumps({"why": value})))
    assert secret not in event.subject
    assert secret not in event.detail


@given(
    secret=st.text(LETTERS + "_-", min_size=16, max_size=60), before=st.text(" \n\"'(,", max_size=3),
    shape=st.sampled_from(["gw_0123456789ab_{}", "Bearer {}", "basic {}", "https://u:{}@host/x", "https://{}@host",
                           "password={}", "--api-key={}", "password:{}", "https://u:a@{}@host", "cookie: a={}",
                           "ghp_{}", "eyJ{}",
                           "-----BEGIN PRIVATE KEY-----\n{}\n"]),
)  # fmt: skip
def test_no_token_of_a_known_form_is_left(secret: str, before: str, shape: str) -> None:
    assert secret not in Redactor().text(f"so {before}{shape.format(secret)} it was")


@given(st.text(max_size=60))
def test_redacting_again_changes_nothing(text: str) -> None:
    redactor = Redactor()
    redactor.know(["hunter2000"])
    once = redactor.text(text)
    assert redactor.text(once) == once


PIECES = st.sampled_from([
    " ", "=", ":", ": ", "\n", "\\", '"', "://", "@", "bob", "hunter2000", "gw_0123456789ab_", "Bearer ", "BASIC ",
    "x" * 16, "AKIA", "ghp_", "eyJ", "sk-", "-----BEGIN PRIVATE KEY-----", "password", "api_key", "token", "digest ",
    "ü", "'", "--", "-u ", ";", ",", "&", "cookie", "/", "pypi-", "sig",
])  # fmt: skip
PIECED = st.lists(PIECES, max_size=6).map("".join)


@given(PIECED, st.dictionaries(PIECED, st.recursive(PIECED, lambda inner: st.lists(inner, max_size=2)), max_size=3))
def test_the_glance_that_spares_a_closer_look_misses_nothing(subject: str, detail: dict[str, object]) -> None:
    redactor = Redactor()
    redactor.know(["hunter2000"])
    event = AuditEvent(1.0, "alice", 1, "cli", "x", subject, json.dumps(detail, sort_keys=True))
    found = redactor.event(event)
    redactor._is_plain = lambda *_: False  # type: ignore[method-assign]
    assert found == redactor.event(event)


@pytest.mark.parametrize("way", ["told", "with a run", "condensed"])
async def test_every_way_into_the_record_hides_secrets_before_the_hash(tmp_path: Path, way: str) -> None:
    async with closing(await StateDB.open(tmp_path / "state.db")) as state:
        newest = await recorded(state, tmp_path, way)
        assert (newest.subject, newest.details) == (f"see {HIDDEN}", {"url": f"https://{HIDDEN}@host"})
        assert await state.audit.verify() is None


async def recorded(state: StateDB, tmp_path: Path, way: str) -> AuditRow:
    """Have a record with a known secret made in one of the ways that there are, by an engine that starts."""
    audit = AuditService(state.audit, None)
    space: SpaceCheck = DiskSpace(tmp_path, Floor(0, 0.0))
    await SecretService(SecretsFile(tmp_path), space, audit, _nothing).set(
        "db", SecretValue(value="hunter2000"), ALICE, "cli"
    )
    await audit.flush()
    again = AuditService(state.audit, None)
    await SecretService(SecretsFile(tmp_path), space, again, _nothing).load()
    event = AuditEvent(1.0, "alice", 1, "cli", "x", "see hunter2000", '{"url": "https://hunter2000@host"}')
    if way == "told":
        again.tell(ALICE, "cli", "x", event.subject, **json.loads(event.detail))
        await again.flush()
    elif way == "with a run":
        await state.apply([], [], [], audit=[event])
    else:
        await state.note_condensed([], [event])
    return (await state.audit.newest(1))[0]


@asynccontextmanager
async def closing(state: StateDB) -> AsyncIterator[StateDB]:
    try:
        yield state
    finally:
        await state.close()


async def _nothing() -> dict[str, list[str]]:
    return {}
