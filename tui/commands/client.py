"""``client``: what programs on the gateway use to call the engine."""

from __future__ import annotations

import json
import os
from importlib import resources

import click

from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Invocation, common_options


@click.group("client", cls=CommandGroup)
@common_options
def client() -> None:
    """Print what other programs on the gateway call the engine with.

    \b
    Examples:
      gatewright client jython > python3.py
    """


@client.command("jython")
@click.option("--url", metavar="URL", help="Where the engine is, filled into the text: https://host:port.")
@click.option(
    "--token-file",
    metavar="PATH",
    type=click.Path(),
    help="The gateway's file with the token, filled into the text. Its content is never read here.",
)
@common_options
@click.pass_obj
def jython(invocation: Invocation, url: str | None, token_file: str | None) -> None:
    """Print the Python 3 library for Jython scripts in Ignition.

    1. Make a token: gatewright token create --role operator --name ignition (author, for scripts that call exec, eval
    or callModule), and put it into a file of the gateway's account with the mode 0600.

    2. Start the gateway with the Java properties -Dgatewright.url=URL and -Dgatewright.token.file=PATH, or give --url
    and --token-file here.

    3. In the Designer make a project library named python3, put this text into it, and replace "system.python3." with
    "python3." in the project's scripts.

    \b
    Examples:
      gatewright client jython > python3.py
      gatewright client jython --token-file /etc/gatewright/ignition.token
      gatewright client jython --url https://127.0.0.1:9089
    """
    text = resources.files("engine").joinpath("foreign", "python3.py").read_text("ascii")
    if url is not None:
        text = _filled_in(text, "DEFAULT_URL", _checked_url(url))
    if token_file is not None:
        if not os.path.isabs(token_file):
            raise CommandError(
                f"{token_file} is not where the gateway will look for it",
                hint="Give the whole path: the gateway has a current folder of its own.",
                exit_code=exit_codes.USAGE,
                code="bad_path",
            )
        text = _filled_in(text, "DEFAULT_TOKEN_FILE", token_file)
    if invocation.json:
        invocation.print_json({"name": "python3", "text": text})
    else:
        invocation.streams.out.write(text)


def _checked_url(url: str) -> str:
    """Return a URL that the text will take.

    Raises:
        CommandError: It has a path or an account in it, or another scheme.
    """
    scheme, _, rest = url.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not rest or not set("@/?# ").isdisjoint(rest):
        raise CommandError(
            "that is no URL of an engine",
            hint="It is like https://host:port, without an account and without a path.",
            exit_code=exit_codes.USAGE,
            code="bad_url",
        )
    return url.rstrip("/")


def _filled_in(text: str, name: str, value: str) -> str:
    """Return the text with a value for one of its defaults, as a literal of Python 2 in ASCII."""
    return text.replace(f"\n{name} = None\n", f"\n{name} = u{json.dumps(value)}\n", 1)
