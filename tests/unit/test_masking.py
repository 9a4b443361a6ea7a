"""Secrets are hidden in whatever a run writes, however it is cut and spelled, and nothing else is changed."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from msgspec.structs import replace

from engine.models.runs import Outcome, RunError, Stream
from engine.pool.outcome import Ending, ReturnedFile
from engine.services.masking import HIDDEN, PIECE, Masks

PASSWORD = "s3cr\"e't\\ü/+ ok"
PEM = (
    "-----BEGIN KEY-----\n"
    + "\n".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(8))
    + "\n-----END KEY-----\n"
)
OUT, ERR = Stream.STDOUT, Stream.STDERR


def masks(*values: str) -> Masks:
    made = Masks()
    for number, value in enumerate(values):
        made.add(f"secret{number}", value)
    return made


def streamed(made: Masks, pieces: list[str], stream: Stream = OUT) -> str:
    return "".join([*(made.output(stream, piece) for piece in pieces), *(text for _, text in made.rest())])


SPELLINGS = {
    "plain": str,
    "repr": repr,
    "repr with both quotes": lambda text: repr(f"{text} \"'"),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "json": json.dumps,
    "json in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "url": lambda text: f"https://ann:{quote(text, safe='')}@host/?q={quote_plus(text)}",
    "hexadecimal": lambda text: text.encode().hex(),
    "HEXADECIMAL": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "basic auth": lambda text: base64.b64encode(f"ann:{text}".encode()).decode(),
    "basic auth of bob": lambda text: base64.b64encode(f"robert:{text}".encode()).decode(),
    "base64 with more behind it": lambda text: base64.b64encode(f"{text}, and more".encode()).decode(),
    "url-safe base64": lambda text: base64.urlsafe_b64encode(f"x{text}".encode()).decode(),
}


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize(
    "secret",
    [PASSWORD, "hunter2-hunter2", "Pa$$w0rd\twith\ttabs", hashlib.sha512(b"long").hexdigest() * 2, "1234567890"],
)
def test_a_secret_is_hidden_however_it_is_spelled_and_cut(how: str, secret: str) -> None:
    spelled = SPELLINGS[how](secret)
    text = f"before <{spelled}> after"
    whole = masks(secret).text(text)
    assert HIDDEN in whole
    assert whole.startswith("before <")
    assert whole.endswith("> after")
    # At most what an encoding mixes with its neighbours is left, too little to be of use.
    assert len(whole.replace(HIDDEN, "")) <= len("before <> after") + (60 if how == "url" else 24)
    for at in range(0, len(text) + 1, 1 if how == "plain" else 11):
        assert streamed(masks(secret), [text[:at], text[at:]]) == whole
    assert streamed(masks(secret), list(text)) == whole


def test_a_secret_of_several_lines_is_hidden_whole_and_line_by_line() -> None:
    made = masks(PEM)
    for line in PEM.strip().splitlines():
        assert made.text(f"   {line},") == f"   {HIDDEN},"
    for text in (PEM, PEM.strip(), PEM.replace("\n", "\r\n"), json.dumps({"key": PEM}), repr(PEM)):
        shown = streamed(masks(PEM), [text[at : at + 7] for at in range(0, len(text), 7)])
        assert not any(line in shown for line in PEM.strip().splitlines()), shown


def test_what_is_no_secret_passes_unchanged_and_at_once() -> None:
    made = masks("hunter2")
    assert made.output(OUT, "hunt") == ""
    assert made.output(ERR, "an error\n") == "an error\n"
    assert made.output(OUT, "ing season\n") == "hunting season\n"
    assert made.output(OUT, "a prompt: ") == "a prompt: "
    assert made.output(OUT, "hunter") == ""
    assert list(made.rest()) == [(OUT, "hunter")]
    assert list(made.rest()) == []


def test_streams_are_cut_independently_of_each_other() -> None:
    made = masks("hunter2")
    assert made.output(OUT, "hunt") + made.output(ERR, "er2 hunt") + made.output(OUT, "er2") == f"er2 {HIDDEN}"
    assert list(made.rest()) == [(ERR, "hunt")]


def test_of_two_secrets_of_which_one_begins_the_other_the_longer_is_hidden() -> None:
    for order in (("pass", "password"), ("password", "pass")):
        for pieces in (["password pass"], list("password pass"), ["pass", "word pass"]):
            assert streamed(masks(*order), pieces) == f"{HIDDEN} {HIDDEN}"


def test_a_secret_that_comes_later_is_hidden_from_then_on_and_an_older_value_still() -> None:
    made = masks("first-value")
    made.add("secret0", "second-value")
    assert made.text("first-value second-value") == f"{HIDDEN} {HIDDEN}"


def test_any_text_cut_anywhere_reads_as_it_would_in_one_piece() -> None:
    chance = random.Random(13)
    for _ in range(400):
        secrets = ["".join(chance.choices("ab", k=chance.randint(4, 7))) for _ in range(chance.randint(1, 3))]
        text = "".join(chance.choices("abc", weights=(5, 5, 1), k=60))
        cuts = sorted(chance.choices(range(61), k=6))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, 60], strict=True)]
        shown = streamed(masks(*secrets), pieces)
        assert not any(secret in shown for secret in secrets), (secrets, pieces, shown)
        if len(secrets) == 1:
            assert shown == masks(*secrets).text(text)


def test_the_end_of_a_run_has_no_secret_in_any_part() -> None:
    secret = "hunter2hunter2"
    data = f"a\0{secret}\xff".encode("latin-1")
    ending = Ending(
        outcome=Outcome.SCRIPT_ERROR,
        duration=1.0,
        isolation="full",
        value={"a": [secret, {secret: 1, "n": 2.5}], "t": True, "none": None},
        has_value=True,
        text=f"'{secret}'",
        note=f"Its result is {secret}.",
        error=RunError(type=secret, message=f"no {secret}", filename=secret, hint=secret, module=secret, line=3),
        traceback=f"Traceback\n  {secret}",
        files=(
            ReturnedFile("plain.txt", bytearray(b"nothing"), "aa"),
            ReturnedFile(f"{secret}.txt", bytearray(b"nothing"), "bb"),
            ReturnedFile("leak.bin", bytearray(data), "cc"),
        ),
    )
    masked = masks(secret).ending(ending)
    assert secret not in repr(masked)
    assert secret.encode() not in b"".join(bytes(file.data) for file in masked.files)
    assert masked.value == {"a": [HIDDEN, {HIDDEN: 1, "n": 2.5}], "t": True, "none": None}
    assert masked.error is not None
    assert masked.error.line == 3
    assert masked.files[0] is ending.files[0]
    assert masked.files[1].name == f"{HIDDEN}.txt"
    assert masked.files[2].data == data.replace(secret.encode(), HIDDEN.encode())
    assert masked.files[2].sha256 == hashlib.sha256(masked.files[2].data).hexdigest()
    told = "A secret was hidden in leak.bin, which is no longer the file that the script wrote."
    assert masked.note == f"Its result is {HIDDEN}. {told}"
    plain = replace(ending, value=1, text="1", note=None, error=None, traceback=None, files=())
    assert masks(secret).ending(plain) == plain


@pytest.mark.parametrize(
    ("value", "shown"), [(12345678, HIDDEN), (912345678.5, HIDDEN), (1234567, 1234567), (True, True)]
)
def test_a_number_that_is_a_secret_is_hidden_in_values(value: Any, shown: Any) -> None:
    assert masks("12345678").value([value]) == [shown]


def test_less_than_a_piece_is_held_back() -> None:
    made = masks("x" * 5_000)
    shown = made.output(OUT, "x" * 4_999)
    assert set(shown) <= {"*"}
    assert sum(len(text) for _, text in made.rest()) < PIECE
