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
    """Print what other programs on the gateway call the engine with, and what scripts run with outside of it.

    \b
    Examples:
      gatewright client jython > python3.py
      gatewright client python > gatewright.py
    """


@client.command("jython")
@common_options
@click.pass_obj
def jython(invocation: Invocation) -> None:
    """Print the Python 3 library for Jython scripts in Ignition.

    1. Make a token: gatewright token create --role operator --name ignition --output ignition.token (author, for
    scripts that call exec, eval or callModule). The file must belong to the gateway's account and have the mode 0600.

    2. Start the gateway with the Java properties -Dgatewright.url=URL and -Dgatewright.token.file=FILE (and
    -Dgatewright.ca.file=FILE), or give --url, --token-file and --ca-file here: they are filled into the text, a token
    never is. On the engine's own host, where the gateway's account may use the project, -Dgatewright.socket=FILE is
    enough.

    3. In the Designer make a project library named python3, put this text into it, and replace "system.python3." with
    "python3." in the project's scripts.

    \b
    Examples:
      gatewright client jython > python3.py
      gatewright client jython --url https://plant:9089 > python3.py
    """
    text = resources.files("engine").joinpath("foreign", "python3.py").read_text("ascii")
    if invocation.url is not None:
        text = _filled_in(text, "DEFAULT_URL", _checked_url(invocation.url))
    for option, name in (("token_file", "DEFAULT_TOKEN_FILE"), ("ca_file", "DEFAULT_CA_FILE")):
        path = getattr(invocation, option)
        if path is not None:
            text = _filled_in(text, name, _checked_path(path))
    if invocation.json:
        invocation.print_json({"name": "python3", "text": text})
    else:
        invocation.streams.out.write(text)


@client.command("python")
@click.option("--stub", is_flag=True, help="Print the stub file for editors and type checkers instead.")
@common_options
@click.pass_obj
def python(invocation: Invocation, *, stub: bool) -> None:
    """Print a file that stands in for "import gatewright" where a script runs outside of Gatewright.

    Put it beside the scripts, or where the tests are. Parameters, log, progress, files and state then work with
    python, uv run and pytest; its own text says how. Runs of the engine have the real module and never read it.

    \b
    Examples:
      gatewright client python > gatewright.py
      gatewright client python --stub > gatewright.pyi
    """
    name = "gatewright.pyi" if stub else "gatewright.py"
    text = resources.files("engine").joinpath("foreign", name).read_text("utf-8")
    if invocation.json:
        invocation.print_json({"name": name, "text": text})
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


def _checked_path(path: str) -> str:
    """Return a path that means the same to the gateway. The file may be on another host; it is never read here.

    Raises:
        CommandError: It is relative.
    """
    if not os.path.isabs(path):
        raise CommandError(
            f"{path} is not where the gateway will look for it",
            hint="Give the whole path: the gateway has a current folder of its own.",
            exit_code=exit_codes.USAGE,
            code="bad_path",
        )
    return path


def _filled_in(text: str, name: str, value: str) -> str:
    """Return the text with a value for one of its defaults, as a literal of Python 2 in ASCII."""
    return text.replace(f"\n{name} = None\n", f"\n{name} = u{json.dumps(value)}\n", 1)
