"""Declared parameters: conversion and refusals."""

from typing import Any

import pytest

from engine.models.scripts import ParamInfo, ParamType
from engine.services.access import ServiceError
from engine.services.runs.params import CallMade, bind, convert

HOURS = ParamInfo(name="hours", type=ParamType.INT, default=24, required=False)
LOG = ParamInfo(name="log", type=ParamType.FILE)
LEVEL = ParamInfo(name="level", type=ParamType.CHOICE, choices=["warn", "error"])


@pytest.mark.parametrize(
    ("type_", "given", "want"),
    [
        (ParamType.INT, "42", 42),
        (ParamType.INT, -7, -7),
        (ParamType.FLOAT, "2.5", 2.5),
        (ParamType.FLOAT, 3, 3.0),
        (ParamType.BOOL, "yes", True),
        (ParamType.BOOL, "Off", False),
        (ParamType.BOOL, True, True),
        (ParamType.LIST, "a, b,,c", ["a", "b", "c"]),
        (ParamType.LIST, [1, 2], [1, 2]),
        (ParamType.STR, "007", "007"),
    ],
)
def test_converts_to_the_declared_type(type_: ParamType, given: Any, want: Any) -> None:
    got = convert(ParamInfo(name="x", type=type_), given)
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        (ParamType.INT, "4.5"),
        (ParamType.INT, True),
        (ParamType.INT, None),
        (ParamType.FLOAT, "nan"),
        (ParamType.FLOAT, "1e999"),
        (ParamType.FLOAT, 10**400),
        (ParamType.BOOL, "maybe"),
        (ParamType.BOOL, 1),
        (ParamType.LIST, {"a": 1}),
        (ParamType.STR, 7),
        (ParamType.CHOICE, "other"),
    ],
)
def test_refuses_what_does_not_fit_and_names_the_parameter(type_: ParamType, given: Any) -> None:
    with pytest.raises(ServiceError, match="'x' takes") as refusal:
        convert(ParamInfo(name="x", type=type_, choices=["one"]), given)
    assert refusal.value.code == "bad_params"


def test_defaults_are_filled_in_and_files_stay_out() -> None:
    assert bind([LOG, HOURS], {}, {"log": "id"}) == {"hours": 24}


def test_a_script_that_declares_nothing_takes_everything() -> None:
    assert bind([], {"a": 1}, {"b": "id"}) == {"a": 1}


@pytest.mark.parametrize(
    ("given", "files", "message"),
    [
        ({"horus": 3, "level": "warn"}, {"log": "id"}, "no parameter 'horus'"),
        ({"level": "warn"}, {}, r"'log' \(file\) is missing"),
        ({}, {"log": "id"}, r"'level' \(choice\) is missing"),
        ({"log": "/etc/passwd", "level": "warn"}, {}, "'log' is a file"),
        ({"level": "warn"}, {"log": "id", "extra": "id"}, "no parameter 'extra'"),
    ],
)
def test_refusals(given: dict[str, Any], files: dict[str, str], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        bind([LOG, HOURS, LEVEL], given, files)


@pytest.mark.parametrize("type_", [ParamType.INT, ParamType.FLOAT, ParamType.BOOL, ParamType.CHOICE])
def test_what_a_secret_was_given_is_in_no_sentence(type_: ParamType) -> None:
    pin = ParamInfo(name="pin", type=type_, choices=["warn"], secret=True)
    with pytest.raises(ServiceError) as caught:
        bind([pin], {"pin": "hunter2"}, {})
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
    assert "secret" in caught.value.message
    with pytest.raises(ServiceError) as caught:
        bind([pin], {}, {}, CallMade(cli=True))
    assert "--param-file pin=PATH" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("kind", "choices", "how"),
    [
        (ParamType.INT, [], "-p n=5"),
        (ParamType.STR, [], "-p n=TEXT"),
        (ParamType.BOOL, [], "-p n=true"),
        (ParamType.CHOICE, ["two words"], "-p n='two words'"),
    ],
)
def test_it_is_said_how_to_give_what_is_missing(kind: ParamType, choices: list[str], how: str) -> None:
    with pytest.raises(ServiceError) as caught:
        bind([ParamInfo(name="n", type=kind, choices=choices, required=True)], {}, {}, CallMade(cli=True))
    assert how in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (CallMade(), 'Give it by its name, such as {"n": 5}. It takes n (int), hours (int, optional).'),
        (CallMade(kwargs=["nr", "hours"]), "'nr' is none of its parameters. Give it by its name, "),
        (CallMade(args=1), "Positional arguments are not parameters. Give it by its name, "),
    ],
)
def test_programs_are_told_what_they_gave_in_its_place(call: CallMade, hint: str) -> None:
    with pytest.raises(ServiceError) as caught:
        bind([ParamInfo(name="n", type=ParamType.INT, required=True), HOURS], {}, {}, call)
    assert (caught.value.hint or "").startswith(hint)
    assert "-p" not in (caught.value.hint or "")


@pytest.mark.parametrize(("cli", "hint"), [(True, "--file log=PATH"), (False, 'in files: {"log": "ID"}')])
def test_it_is_said_how_to_give_a_file(cli: bool, hint: str) -> None:
    for given in ({}, {"log": "/etc/passwd"}):
        with pytest.raises(ServiceError) as caught:
            bind([LOG], given, {}, CallMade(cli=cli))
        assert hint in (caught.value.hint or "")


def test_on_a_command_line_a_missing_file_comes_with_the_words_of_its_author() -> None:
    log = ParamInfo(name="log", type=ParamType.FILE, help="a wrapper.log; documents/samples/wrapper.log is one to try")
    with pytest.raises(ServiceError) as caught:
        bind([log], {}, {}, CallMade(cli=True))
    assert caught.value.hint == f"Hand it over with --file log=PATH. It is {log.help}."
