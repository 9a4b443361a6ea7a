"""Every command's help: whole sentences, lines that fit, and examples that mean what they say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import tui
from engine.api.compat.table import COMPAT_OPERATIONS
from engine.registry import OPERATIONS
from engine.registry.operation import BASE, COMPAT_BASE
from tui.cli import CONSOLE, _load, cli
from tui.commands.invocation import Invocation

COLUMNS = 80


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command there is, groups included, with the words that lead to it."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(
        cli, [*path, "--help"], obj=Invocation(), prog_name="gatewright", terminal_width=COLUMNS
    )
    assert result.exit_code == 0, result.output
    return result.output


def examples(text: str) -> list[str]:
    """The lines below "Examples:", up to an empty one, or the one that a paragraph ends with."""
    found = text.partition("\n  Examples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in found.splitlines()] or [
        " ".join(one.split()) for one in re.findall(r"Example:\s+(.+?)\n\n", text, re.DOTALL)
    ]


def test_the_walk_finds_the_commands() -> None:
    assert {(), ("run",), ("runs", "list"), ("git", "commit"), ("scripts", "defaults")} <= ALL.keys()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_line_is_cut_and_none_is_too_wide(path: tuple[str, ...]) -> None:
    text = help_of(path)
    assert not re.search(r"\w(\.\.\.|…)(\n|$)", text.partition("\n")[2]), text
    assert max(map(len, text.splitlines())) <= COLUMNS
    listed = text.partition("\nCommands:\n")[2]
    ends = [entry.rstrip() for entry in re.split(r"\n  (?=\w)", listed.strip("\n")) if entry.strip()]
    assert all(end.endswith(".") for end in ends), "a sentence goes to its end"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_help_has_examples_that_are_understood(path: tuple[str, ...]) -> None:
    shown = examples(help_of(path))
    assert shown, "an example says more than a paragraph"
    for line in shown:
        called = line.removeprefix("timeout 30 ")
        called = called.removeprefix("source <(").removesuffix(")") if called.startswith("source") else called
        words = shlex.split(re.sub(r" [<>] \S+$", "", called))
        assert words[0] == "gatewright"
        assert tuple(words[1 : 1 + len(path)]) == path, "it shows this command"
        understood(words[1:])


def understood(words: list[str]) -> None:
    """Raise if click would refuse these words; nothing is called."""
    context = cli.make_context("gatewright", list(words), obj=Invocation())
    while isinstance(context.command, click.Group):
        _, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        if isinstance(command, click.Group) and not rest:
            return
        context = command.make_context(command.name, rest, parent=context)


LOCAL = {
    ("restore",), ("doctor",), ("engine", "serve"), ("engine", "install"), ("engine", "uninstall"), ("gateways",),
    ("gateways", "list"), ("gateways", "add"), ("gateways", "remove"), ("gateways", "check"),
}  # fmt: skip
"""What is done on this host, for no engine elsewhere."""


def test_every_command_that_asks_an_engine_takes_a_gateway() -> None:
    def takes(command: click.Command) -> bool:
        options = [param for param in command.params if isinstance(param, click.Option)]
        return any("--gateway" in option.opts and not option.hidden for option in options)

    assert {path for path, command in ALL.items() if not takes(command)} == LOCAL


def test_the_console_has_examples_too() -> None:
    console = _load(CONSOLE)
    with click.Context(console, info_name="gatewright") as context:
        for line in examples(console.get_help(context)):
            understood(shlex.split(line)[1:])


INTERNAL = re.compile(
    r"\b(zygote|frontmatter|seccomp|landlock|namespace|struct|msgspec|repr|API|REST|JSON schema|asyncio|sqlite"
    r"|integer range|python name)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_help_names_an_internal_thing(path: tuple[str, ...]) -> None:
    assert not INTERNAL.search(help_of(path))


def test_each_address_on_a_page_is_one_of_the_engine() -> None:
    paths = [*(BASE + one.path for one in OPERATIONS), *(COMPAT_BASE + one.path for one in COMPAT_OPERATIONS)]
    known = re.compile("|".join(re.escape(re.sub(r"{[^}]+}", "*", path)).replace(r"\*", ".+") for path in paths))
    named = {
        (page.name, address.rstrip("."))
        for page in Path(tui.__file__).parent.glob("help/*.md")
        for address in re.findall(rf"(?:{BASE}|{COMPAT_BASE})/[\w/.-]+", page.read_text())
    }
    assert len(named) > 10
    assert not [(page, address) for page, address in named if not known.fullmatch(address)]
