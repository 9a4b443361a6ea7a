"""What of a run's arguments is not kept in clear, in the many ways in which people hand over a secret."""

from __future__ import annotations

import json

import pytest

from engine.models.runs import RunKind, RunRequest
from engine.services.runs.inputs import (
    MAX_INPUTS,
    GivenInputs,
    SecretKeeper,
    given_inputs,
    read_inputs,
    with_secret_arguments,
)

SECRET = "S3CR3T"


def kept(argv: list[str]) -> tuple[list[str], list[str]]:
    """The arguments as they are kept, and the names of what is not; all of it comes back by its names."""
    request = RunRequest(kind=RunKind.EXEC, code="1", argv=argv)
    given = given_inputs(request, {}, None, SecretKeeper(b"k" * 32, {}))
    assert given.text is not None
    assert SECRET not in given.text
    inputs = read_inputs(given.text)
    seen = inputs["argv"]
    names = [one.name for one in inputs["secrets"]]
    values = {}
    for name in names:
        at = int(name[4:].split("_")[0]) - 1
        values[name] = argv[at][len(seen[at].removesuffix("***")) :]
    assert with_secret_arguments(seen, values) == argv
    return seen, names


@pytest.mark.parametrize(
    ("argv", "seen"),
    [
        (["--password", f"--{SECRET}"], ["--password", "***"]),
        (["--password", "--token", SECRET], ["--password", "***", "***"]),
        (["--header", f"Authorization: Bearer {SECRET}"], ["--header", "Authorization:***"]),
        (["--header", f"Authorization:Basic {SECRET}"], ["--header", "Authorization:***"]),
        (["Authorization:", "Bearer", SECRET, "x"], ["Authorization:", "***", "***", "x"]),
        (["-H", f"X-Api-Key: {SECRET}"], ["-H", "X-Api-Key:***"]),
        (["--value", f"Bearer {SECRET}"], ["--value", "Bearer ***"]),
        (["--bearer", SECRET], ["--bearer", "***"]),
        ([f"PGPASSWORD={SECRET}"], ["PGPASSWORD=***"]),
        ([f"MYSQL_PWD={SECRET}"], ["MYSQL_PWD=***"]),
        (["--user", f"root:{SECRET}", "x"], ["--user", "***", "x"]),
        ([f"--user=root:{SECRET}"], ["--user=***"]),
        ([f"-uroot:{SECRET}"], ["-u***"]),
        (["--cookie", SECRET], ["--cookie", "***"]),
        (["--auth", SECRET], ["--auth", "***"]),
        (["--pwd", SECRET], ["--pwd", "***"]),
        ([f"--passwort={SECRET}"], ["--passwort=***"]),
        ([f"password: {SECRET}"], ["password:***"]),
        (["password:", SECRET, "x"], ["password:", "***", "x"]),
        ([f"--api-key:{SECRET}"], ["--api-key:***"]),
        ([json.dumps({"a": 1, "password": SECRET})], ['{"a": 1, "password":***']),
        ([json.dumps(json.dumps({"password": SECRET}))], ['"{\\"password\\":***']),
        ([f"https://{SECRET}@host"], ["***"]),
        ([f"https://h/?a=b&token={SECRET}&c=d"], ["https://h/?a=b&token=***"]),
        ([f"https://u:{SECRET}@h/?token=x"], ["***"]),
        ([f"//u:{SECRET}@h"], ["***"]),
        ([f"https://u:a/{SECRET}@h"], ["***"]),
        ([f"u:{SECRET}@h:22"], ["***"]),
        ([f"--dsn=postgres://u:{SECRET}@h/db"], ["***"]),
        ([f"--set=db.password={SECRET}"], ["--set=db.password=***"]),
    ],
)
def test_a_secret_is_not_kept_and_comes_back_by_its_name(argv: list[str], seen: list[str]) -> None:
    assert kept(argv)[0] == seen


@pytest.mark.parametrize(
    "argv",
    [
        ["--user", "anna", "--hours", "5"], ["https://host:8080/a?b=c"], ["12:30:00"], ["git@host:plant.git"],
        ["--mail", "a@b.c"], ["name=value", "--x=1:2"], ["monkey=1", "--author", "anna", "bypass: 2"], ["", "-", "--"],
        ["C:\\plant\\a.csv"], ['{"hours": 5}'],
    ],
)  # fmt: skip
def test_ordinary_arguments_are_kept(argv: list[str]) -> None:
    request = RunRequest(kind=RunKind.EXEC, code="1", argv=argv)
    given = given_inputs(request, {}, None, SecretKeeper(b"k" * 32, {}))
    assert given.text is not None
    assert json.loads(given.text) == {"argv": argv}


def test_of_more_than_is_kept_there_is_a_hash_that_nobody_can_guess_from() -> None:
    def given(key: bytes, last: str) -> GivenInputs:
        request = RunRequest(kind=RunKind.EXEC, code="1", argv=["x" * MAX_INPUTS, last])
        return given_inputs(request, {}, None, SecretKeeper(key * 32, {}))

    assert given(b"k", "--password=x").text is None
    assert given(b"k", "--password=x") == given(b"k", "--password=x")
    others = {
        given(b"k", "--password=x").sha256,
        given(b"k", "--password=y").sha256,
        given(b"l", "--password=x").sha256,
    }
    assert len(others) == 3
