"""Gateways that say what they like: nothing of it harms the caller, and each gets its sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import PATIENCE, PROGRAM, in_terminal
from hostile_gateway import HostileGateway, hostile_gateway, said, streamed

from engine import evidence_check
from engine.client import calls, fleet
from engine.client.fleet import FailureKind, FleetRun
from engine.client.gateways import Gateway
from engine.evidence_check import AUDIT_FIELDS, content, digest, sealed
from engine.models.runs import RunKind, RunRequest
from store.audit_chain import digest as audit_digest
from tui import cli
from tui.commands.invocation import Invocation
from tui.runs import returned_files
from tui.screens.evidence import _checked

HARM = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e"
LINE = "\ngatewright: all is well"

RUNNING: dict[str, Any] = {
    "id": 5, "kind": "exec", "name": "<exec>", "state": "running", "mode": "RESTRICTED", "actor": "me",
    "source": "cli", "queued_at": 1.0, "timeout": 30.0, "code_sha256": "0" * 64,
}  # fmt: skip
FINISHED = {**RUNNING, "state": "finished", "outcome": "ok", "duration": 0.1}

Said = tuple[int, str, str]
Call = Callable[..., Said]


def wrote(*texts: str) -> list[tuple[str, Any]]:
    return [
        ("output", [{"seq": number, "stream": "stdout", "text": text, "at": 1.0}]) for number, text in enumerate(texts)
    ]


def running(*events: tuple[str, Any]) -> Callable[[str, str, bytes], Iterable[bytes] | None]:
    """A gateway on which each run is told of with these events."""

    def answer(method: str, target: str, _: bytes) -> Iterable[bytes] | None:
        if "/files/" in target:
            return said(b"content")
        if "/runs" in target:
            return streamed(("started", RUNNING), *events)
        return None if method == "GET" else said({"error": "No.", "code": "no"}, 400)

    return answer


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the user's file: hostile gateways by their names."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    token = tmp_path / "a.token"
    token.touch(0o600)
    token.write_text("secret-token")

    def name(**gateways: HostileGateway) -> None:
        file = tmp_path / "config/gatewright/gateways.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        file.write_text(
            "".join(f'[gateways.{name}]\nurl = "{one.url}"\ntoken_file = "{token}"\n' for name, one in gateways.items())
        )

    return name


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: str) -> Said:
        code = cli._call(arguments, Invocation())
        return (code, *capfd.readouterr())

    return call


RECORD = ("7" * 64, "ada", 1000, "cli", "run", "#3 a.py", "{}")
"""Of an audit, without its number and time."""


def other_evidence() -> bytes:
    """Evidence that fits together, of run 3."""
    text = content(b"result = 1\n") | {"sha256": digest(b"result = 1\n"), "size": 11}
    prev, *rest = RECORD
    values = (7, 1.5, *rest, prev)
    record = dict(zip((*AUDIT_FIELDS, "sha256"), (*values, audit_digest(*values)), strict=True))
    return sealed(
        {
            "run": {"id": 3, "name": "a.py", "actor": "ada", "grants": [], "shared": [], "code_sha256": text["sha256"]},
            "code": text, "shared": [], "inputs": {"sha256": None}, "output": {"stdout": {}, "stderr": {}},
            "result": {}, "approval": None, "interpreter": {},
            "audit": {"head": {"seq": 7, "sha256": record["sha256"]}, "records": [record], "about": [7]},
        }
    )  # fmt: skip


DEEP = b'{"unknown":' + b"[" * 500_000 + b"]" * 500_000 + b"}"


def test_an_answer_of_lists_in_lists_without_end_is_a_sentence(named: Callable[..., None], here: Call) -> None:
    with hostile_gateway(lambda *_: said(DEEP)) as gateway, hostile_gateway(lambda *_: said(DEEP, 403)) as refusing:
        named(deep=gateway, refusing=refusing)
        for name in ("deep", "refusing"):
            code, out, err = here("eval", "1", "--gateway", name)
            assert (code, out) == (3, "")
            assert "is no engine" in err
        code, out, _ = here("gateways", "check", "deep,refusing")
        assert (code, out.count("is no engine")) == (3, 2)


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (("finished", RUNNING), "The engine says that the run has ended, and that it goes on."),
        (("finished", {**FINISHED, "duration": "long"}), "The engine's answer makes no sense to this version."),
        (("finished", DEEP), "The engine's answer makes no sense to this version."),
    ],
)
def test_an_end_that_makes_no_sense_is_told_and_not_asked_for_again(
    named: Callable[..., None], here: Call, last: tuple[str, Any], sentence: str
) -> None:
    with hostile_gateway(running(last)) as gateway:
        named(odd=gateway)
        code, out, err = here("eval", "1", "--on", "odd")
        assert (code, f"no usable answer (1): odd\n  {sentence}\n" in out) == (3, True), (out, err)
        assert here("eval", "1", "--gateway", "odd")[0] == 3
        assert len(gateway.asked) <= 6, gateway.asked


async def test_a_gateway_that_says_the_same_and_hangs_up_is_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RECONNECT_DELAYS", (0.0, 0.1))
    token = tmp_path / "a.token"
    token.touch(0o600)
    token.write_text("t")

    async def prepare(_: object) -> RunRequest:
        return RunRequest(kind=RunKind.EXEC, code="1")

    with hostile_gateway(running()) as gateway:
        one = Gateway("one", url=gateway.url, token_file=str(token))
        (answer,) = [answer async for answer in FleetRun([one], prepare, "cli", patience=0.5).answers()]
        assert answer.failure is not None
        assert (answer.failure.kind, answer.run_id) == (FailureKind.LOST, 5)
        assert len(gateway.asked) <= 40, len(gateway.asked)


def test_nothing_that_a_gateway_says_reaches_the_terminal_as_more_than_text(
    named: Callable[..., None], here: Call
) -> None:
    ended = {
        **FINISHED, "name": HARM, "outcome": "script_error", "note": HARM, "unrecorded": HARM, "traceback": HARM,
        "error": {"type": HARM, "message": HARM}, "has_value": True, "value": {HARM: [HARM]}, "result": HARM,
        "files": [{"name": f"a{HARM}{LINE}", "size": 7, "sha256": HARM}], "buffers": [{"name": HARM, "size": 1}],
    }  # fmt: skip
    with hostile_gateway(running(*wrote(HARM), ("finished", ended))) as gateway:
        named(harm=gateway)
        for words in (["--on", "harm", "--out", "out"], ["--on", "harm", "--json"], ["--gateway", "harm"]):
            _, shown = in_terminal([PROGRAM, "eval", "1", *words])
            for ours in ("\x1b[K", "\x1b[31m", "\x1b[39m", "\r", "\n"):
                shown = shown.replace(ours, "\0" if ours == "\n" else "")
            assert [one for one in shown if not one.isprintable() and one != "\0"] == []
            assert "\0gatewright: all is well" not in shown or "--out" not in words


def test_what_can_be_done_next_is_told_for_the_same_engine(named: Callable[..., None], here: Call) -> None:
    left = {**FINISHED, "files": [{"name": "a", "size": 7, "sha256": "0"}], "buffers": [{"name": "b", "size": 7}]}
    hint = "Look: gatewright runs list; gatewright --project x runs list; gatewright token list"
    refused = said({"error": "No.", "code": "no", "hint": hint}, 403)
    with (
        hostile_gateway(running(("finished", left))) as gateway,
        hostile_gateway(lambda _, target, __: refused if "/runs" in target else None) as refusing,
    ):
        named(one=gateway, refusing=refusing)
        _, _, err = here("eval", "1", "--gateway", "one")
        assert "it left a file: gatewright --gateway one runs files 5 --out DIR\n" in err
        assert "held for ten minutes: gatewright --gateway one runs buffers 5 --save NAME=PATH\n" in err
        _, _, err = here("eval", "1", "--url", gateway.url, "--token-file", "a.token")
        assert f"gatewright --url {gateway.url} --token-file a.token runs files 5 --out DIR\n" in err
        _, _, err = here("eval", "1", "--gateway", "refusing")
        assert hint.replace("gatewright runs", "gatewright --gateway refusing runs", 1) in err


def test_files_of_a_gateway_stay_in_its_folder(named: Callable[..., None], here: Call, tmp_path: Path) -> None:
    for name in ("../../out", "/etc/gatewright-out", "a/../../out", "..", "a//b", ""):
        ended = {**FINISHED, "files": [{"name": name, "size": 7, "sha256": "0"}]}
        with hostile_gateway(running(("finished", ended))) as gateway:
            named(out=gateway)
            code, _, err = here("eval", "1", "--on", "out", "--out", "inner/folder")
            assert (code, "was not written" in err) == (1, True), (name, err)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".token", ".toml")] == []


def test_files_without_end_do_not_fill_the_disk(
    named: Callable[..., None], here: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returned_files, "MAX_FILE", 20)
    ended = {**FINISHED, "files": [{"name": f"{number}", "size": 7, "sha256": "0"} for number in range(9)]}
    with hostile_gateway(running(("finished", ended))) as gateway:
        named(out=gateway)
        code, _, err = here("eval", "1", "--on", "out", "--out", "left")
    assert (code, "2 of run 5 was not written: no run leaves more than 20 bytes" in err) == (1, True), err
    assert sorted(path.name for path in (tmp_path / "left/out").iterdir()) == ["0", "1"]


def test_a_token_goes_to_no_other_address(named: Callable[..., None], here: Call) -> None:
    with hostile_gateway(lambda *_: None) as other:

        def away(*_: object) -> Iterator[bytes]:
            yield f"HTTP/1.1 307 Go\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n".encode()

        with hostile_gateway(away) as gateway:
            named(away=gateway)
            code, out, _ = here("eval", "1", "--on", "away")
            assert (code, "which gets no token" in out) == (3, True)
            assert any(b"secret-token" in line for line in gateway.headers)
        assert other.asked == []


def test_of_much_output_the_beginning_is_held_and_the_rest_still_counts(
    named: Callable[..., None], here: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it comes in pieces, the same output stays the same, and another end makes a difference."""
    monkeypatch.setattr(fleet, "HELD_TEXT", 4000)
    monkeypatch.setattr(fleet, "LEAST_TEXT", 1001)
    text = "zeile ü\n" * 1000
    texts = {"whole": [text], "pieces": [text[:777], text[777:5001], text[5001:]], "other": [text, "!"], "less": ["x"]}
    served = [(name, hostile_gateway(running(*wrote(*found), ("finished", FINISHED)))) for name, found in texts.items()]
    gateways = {name: context.__enter__() for name, context in served}
    try:
        named(**gateways)
        code, out, err = here("eval", "1", "--on", "@all", "--json")
    finally:
        for _, context in served:
            context.__exit__(None, None, None)
    report = json.loads(out)
    assert (code, [group["gateways"] for group in report["groups"]]) == (0, [["whole", "pieces"], ["other"], ["less"]])
    runs = {one["gateway"]: one["run"] for one in report["answers"]}
    begin, rest = runs["whole"]["stdout"].rsplit("\n[", 1)
    assert begin == text.encode()[:1001].decode(errors="ignore")
    assert re.fullmatch(r"7,999 bytes more, SHA-256 [0-9a-f]{64}\]\n", rest)
    assert [runs[name]["output_complete"] for name in ("whole", "less")] == [False, True]
    assert "whole pieces other: Only the beginning of what it wrote is here" in err


def test_a_record_that_is_too_large_to_be_held_is_told(
    named: Callable[..., None], here: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "HELD_RECORDS", 8 << 10)
    monkeypatch.setattr(fleet, "LEAST_RECORD", 4 << 10)
    large = {**FINISHED, "has_value": True, "value": ["x" * 100] * 50}
    with (
        hostile_gateway(running(("finished", large))) as gateway,
        hostile_gateway(running(("finished", FINISHED))) as good,
    ):
        named(large=gateway, good=good)
        code, out, _ = here("eval", "1", "--on", "@all")
        assert code == 3
        assert (
            "no usable answer (1): large\n  Its record is larger than the 4 KiB that are taken here.\n"
            "    Look there: gatewright --gateway large runs list\n" in out
        )
        assert here("eval", "1", "--gateway", "large")[0] == 0, "of one alone it is taken"


def test_with_few_descriptors_fewer_are_asked_at_the_same_time(named: Callable[..., None], tmp_path: Path) -> None:
    def slow(_: str, target: str, __: bytes) -> Iterator[bytes] | None:
        if "/runs" not in target:
            return None
        time.sleep(0.05)  # a run that takes a while, with its connection
        return streamed(("started", RUNNING), ("finished", FINISHED))

    with hostile_gateway(slow) as gateway:
        named(**{f"gw-{number:02}": gateway for number in range(48)})
        file = tmp_path / "config/gatewright/gateways.toml"
        tokens = iter(range(48))
        for number in range(48):
            (tmp_path / f"{number}.token").touch(0o600)
            (tmp_path / f"{number}.token").write_text("t")
        file.write_text(re.sub(r"a\.token", lambda _: f"{next(tokens)}.token", file.read_text()))
        done = subprocess.run(
            ["bash", "-c", 'ulimit -n 44; exec "$@"', "-", PROGRAM, "eval", "1", "--on", "@all"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert (done.returncode, "48 gateways, 48 ok" in done.stdout) == (0, True), done.stdout


def test_evidence_that_a_gateway_makes_up_is_not_kept(
    named: Callable[..., None], here: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: object) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        while True:
            yield b" " * 65536

    def serving(made: Callable[..., Iterable[bytes]]) -> Any:
        return lambda _, target, __: made() if "/evidence" in target else None

    monkeypatch.setattr(evidence_check, "MAX_FILE", 1 << 20)
    for made, sentence in (
        (endless, "it is larger than 1.0 MiB"),
        (lambda: said(other_evidence()), "it is about another run than 41"),
        (lambda: said(b"{}"), "it does not say that it is"),
    ):
        with hostile_gateway(serving(made)) as gateway:
            named(one=gateway)
            code, out, err = here("evidence", "41", "--gateway", "one")
            assert (code, out, sentence in err) == (1, "", True), err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.token"]
    with pytest.raises(evidence_check.NoEvidence, match="about another run than 41"):
        _checked(other_evidence(), 41)  # what the console asks


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other accounts")
def test_a_token_file_of_another_account_is_not_sent(named: Callable[..., None], here: Call, tmp_path: Path) -> None:
    with hostile_gateway(lambda *_: None) as gateway:
        named(one=gateway)
        os.chown(tmp_path / "a.token", 12345, 12345)
        code, out, _ = here("eval", "1", "--on", "one")
        assert (code, "belongs to another account" in out, gateway.asked) == (2, True, [])
