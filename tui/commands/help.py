"""``help``: pages on a subject, for what does not fit the help of one command."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import click

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TOPICS = {
    "access": "accounts, roles, tokens, shared projects, TLS, a proxy in front",
    "api": "the REST API, with recipes for curl, requests and asyncio",
    "buffers": "large data into runs and out of them, without copies",
    "evidence": "what proves a run in one file, and how that is verified",
    "gateways": "names for gateways, tokens and sockets for them, one script on many",
    "installation": "install, upgrade, offline, backup, another host or account, uninstall",
    "jython": "Python 3 from Jython scripts on the gateway",
    "macros": "tags in documents, the macros that come with a project, writing one",
    "operations": "figures, alerts, yielding, the audit",
    "packages": "packages, environments, Python versions, wheelhouses, what scripts may import",
    "scripts-api": "what a script asks the engine by import gatewright",
    "service": "systemd units and their restrictions, reverse proxies, containers",
}


def _topics(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=about) for name, about in TOPICS.items() if name.startswith(incomplete)]


@click.command("help")
@click.argument("topic", metavar="[TOPIC]", required=False, shell_complete=_topics)
@common_options
@click.pass_obj
def help_page(invocation: Invocation, topic: str | None) -> int:
    """Print a page on a subject; without TOPIC, list the subjects. Of a command: gatewright COMMAND --help.

    \b
    Examples:
      gatewright help
      gatewright help access
    """
    if topic is None:
        invocation.show(TOPICS, _print_topics)
    else:
        text = page(topic)
        as_text = _plain(text)
        invocation.show({"topic": topic, "text": text}, lambda invocation, _: invocation.streams.out.write(as_text))
    return exit_codes.OK


def page(topic: str) -> str:
    """Return a page's text.

    Raises:
        CommandError: There is none of that name.
    """
    if topic in TOPICS:
        return resources.files("tui").joinpath("help", f"{topic}.md").read_text("utf-8")
    import difflib

    group = click.get_current_context().find_root().command
    if isinstance(group, click.Group) and topic in group.list_commands(click.get_current_context()):
        hint = f"The help of a command: gatewright {topic} --help"
    else:
        near = difflib.get_close_matches(topic.lower(), TOPICS, n=2)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        hint = f"{meant}The pages are: {', '.join(TOPICS)}"
    sentence = f"there is no page named {topic!r}"
    raise CommandError(sentence, hint=hint, exit_code=exit_codes.USAGE, code="usage")


def _print_topics(invocation: Invocation, topics: dict[str, str]) -> None:
    out = invocation.streams.out
    out.line("gatewright help TOPIC prints a page:\n")
    width = max(map(len, topics))
    for name, about in topics.items():
        out.line(f"  {name:<{width}} {about}")
    out.line("\nOf a command: gatewright COMMAND --help. In the console: F1.")


def _plain(text: str) -> str:
    """Return a page without the fences around its recipes, so that these can be copied as they stand."""
    lines = ("It prints:" if line == "```text" else line for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if not line.startswith("```"))
