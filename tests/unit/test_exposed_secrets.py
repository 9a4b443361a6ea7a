"""Secrets in a script's header are found by their key's name or by their look, and never repeated."""

from __future__ import annotations

import base64
import hashlib
import random
import uuid
from pathlib import Path

import pytest

import default_scripts
from engine.services.scripts.checks import _secret_problems
from store.frontmatter.exposed_secrets import exposed_secrets, looks_secret

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
"""In two pieces, so that nobody's scanner takes this file for a leak."""


def script(*lines: str) -> bytes:
    return "\n".join(["#!/usr/bin/python3", "# /// script", *(f"# {line}" for line in lines), "# ///", ""]).encode()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["[tool.gatewright.params.api_key]", 'default = "x"'], [("params.api_key.default", "api_key", 4, True)]),
        (["[tool.gatewright.params.pin]", "secret = true", "default = 4711"], [("params.pin.default", "pin", 5, True)]),
        (["[tool.gatewright.params.host]", f'default = "{KEY}"'], [("params.host.default", "host", 4, False)]),
        (["[tool.gatewright]", 'api_key = "x"', 'title = "t"'], [("api_key", None, 4, True)]),
        (["[tool.plant]", f'urls = ["a", "mqtt://me:{KEY[4:9]}@b"]'], [("tool.plant.urls", None, 4, False)]),
        (
            ["[tool.gatewright]", 'params = { token = { type = "str", default = "x" } }'],
            [("params.token.default", "token", 4, True)],
        ),
        (["[tool.gatewright]", "params.token.default = 'x'"], [("params.token.default", "token", 4, True)]),
        (["[tool.gatewright.params.api_key]", 'default = ""', 'help = "the key"'], []),
        (["[tool.gatewright.params.sort_key]", 'default = "name"', "secret = false"], []),
        (["[tool.gatewright.params.monkey]", 'default = "x"'], []),
        (['dependencies = ["a @ https://u:p@b/c"]', "[tool.gatewright.params.key]", 'type = "file"'], []),
        (["[tool.gatewright", "x"], []),
        ([], []),
    ],
)
def test_what_stands_in_a_header_is_found_with_its_line(lines, found):
    assert [tuple(one) for one in exposed_secrets(script(*lines))] == found


def test_the_warning_says_what_to_do_and_not_the_value():
    (problem,) = _secret_problems(script("[tool.gatewright.params.api_key]", 'default = "hunter2"'))
    assert problem.severity == "warning"
    assert "hunter2" not in problem.message
    assert "take it out, and change it" in problem.message
    assert "-p api_key" in problem.message
    (problem,) = _secret_problems(script("[tool.gatewright.params.x]", f'default = "{KEY}"'))
    assert (KEY in problem.message, "looks like a password or a key" in problem.message) == (False, True)


def test_known_forms_and_long_random_texts_look_secret():
    chance = random.Random(7)
    for size, least in ((20, 0.85), (32, 0.9), (64, 0.95)):
        texts = [base64.b64encode(chance.randbytes(size)).decode() for _ in range(200)]
        assert sum(map(looks_secret, texts)) >= least * len(texts)
    assert all(looks_secret(hashlib.sha256(chance.randbytes(8)).hexdigest()) for _ in range(200))
    for text in (KEY, "gh" + "p_" + "a1B2" * 9, "-----BEGIN " + "RSA PRIVATE KEY-----", "amqp://plc:s3c@host/q"):
        assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a short text with spaces, and of some length all the same",
        "/srv/plant-a/logs/2024/line-17/pump_station_4.csv",
        "https://historian.example:8080/api/v1/tags/Line7_Pump4_Speed",
        "BusyHoursReportOfTheNightShift2024",
        "the_name_of_a_very_long_column_in_a_table_7",
        "00000000000000000000000000000000",
        "20241130201412312023123120221231",
        "----------------------------------------",
        "%Y-%m-%dT%H:%M:%S.%f%z",
        "2024-11-30T10:00:00+01:00/2024-12-01",
        str(uuid.UUID(int=0x1234567890ABCDEF1234567890ABCDEF)),
    ],
)
def test_ordinary_defaults_do_not(text):
    assert not looks_secret(text)


def test_the_bundled_scripts_have_none():
    for path in Path(default_scripts.__file__).parent.rglob("*.py"):
        assert exposed_secrets(path.read_bytes()) == []
