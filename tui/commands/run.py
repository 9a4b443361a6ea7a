"""``run``, ``exec`` and ``eval``."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from engine.models.runs import Mode, RunKind, RunRequest
from tui.commands import exit_codes
from tui.commands.arguments import ENVIRONMENT, SCRIPT, SECONDS, VERSION, gateway_selection, parameters
from tui.commands.errors import CommandError
from tui.commands.invocation import Decorated, Invocation, common_options
from tui.commands.params import (
    STANDARD_INPUT,
    assignments,
    given_params,
    named_paths,
    param_options,
    refuse_shared_input,
    utf8,
)
from tui.commands.run_options import RunOptions
from tui.text.sanitise import sanitise_line
from tui.text.script_names import SUFFIX, quoted

if TYPE_CHECKING:
    from engine.client.client import EngineClient


_LIKE_A_FILE = re.compile(r"[\w./~-]+\.py")


save_buffers = click.option(
    "--save-buffer",
    "save_buffers",
    metavar="NAME=PATH",
    multiple=True,
    callback=named_paths,
    help="Write a buffer that it leaves to a file, with your rights; never over another file.",
)

exit_status = click.option(
    "--exit-status",
    is_flag=True,
    help="End with what the script itself ended with, such as the 2 of sys.exit(2).",
)

cancel_on_exit = click.option(
    "--cancel-on-exit",
    is_flag=True,
    help="Also stop the run when this command is ended by SIGTERM or SIGHUP; else the run goes on.",
)


def _keep_on(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).on = value


_OPTIONS = (
    click.argument("argv", nargs=-1, metavar="[-- ARGUMENT...]"),
    param_options,
    click.option(
        "--file",
        "files",
        metavar="NAME=PATH",
        multiple=True,
        callback=assignments,
        shell_complete=parameters,
        help="A file parameter, read here with your rights; - is the standard input.",
    ),
    click.option(
        "--buffer",
        "buffers",
        metavar="NAME=PATH",
        multiple=True,
        callback=named_paths,
        help="A file that the script reads as gatewright.buffers[NAME], read here with your rights.",
    ),
    click.option("--stdin", is_flag=True, help="Hand the standard input over, for the script to read as its own."),
    click.option("--timeout", type=SECONDS, metavar="S", help="Seconds from its start until it is stopped."),
    click.option(
        "--mode",
        type=click.Choice([mode.value.lower() for mode in Mode], case_sensitive=False),
        help="What it may do: restricted, unless a token has another default.",
    ),
    click.option(
        "--out",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Write the files it leaves here, with your rights; never over another file.",
    ),
    save_buffers,
    exit_status,
    cancel_on_exit,
    click.option(
        "--on",
        metavar="NAME,NAME|@GROUP",
        is_eager=True,  # whose scripts are meant depends on it
        expose_value=False,
        callback=_keep_on,
        shell_complete=gateway_selection,
        help="Run it on each of these gateways of yours, at the same time, and compare what they answer.",
    ),
    click.option(
        "--gateway-timeout",
        type=SECONDS,
        metavar="S",
        help="With --on: seconds that each has for its answer; then its run is cancelled.",
    ),
    common_options,
)


class RunCommand(click.Command):
    """A command that takes a script's arguments behind ``--`` only: a word before it was meant as something else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._refuse_bare_words(ctx, args)
        return super().parse_args(ctx, args)

    def _refuse_bare_words(self, ctx: click.Context, args: list[str]) -> None:
        ends = [place for place, word in enumerate(args) if word == "--"]
        for end in (*ends, len(args)):
            try:
                found, _, _ = self.make_parser(ctx).parse_args(args[:end])
            except click.BadOptionUsage:
                continue  # this -- is the value of the option before it
            except click.UsageError:
                return  # which click itself tells best
            words = found.get("argv")
            if isinstance(words, (tuple, list)) and words:
                raise click.UsageError(_bare_word(words[0]), ctx)
            return


def _bare_word(word: str) -> str:
    from store.frontmatter.secret_names import names_a_secret

    shown = sanitise_line(word)
    name, equals, _ = shown.partition("=")
    if not equals or not name.isidentifier():
        how = "-p NAME=VALUE"
    elif names_a_secret(name):  # what it is must not get into logs
        shown, how = f"{name}=…", f"-p {name}, which asks for its value"
    else:
        how = f"-p {quoted(shown)}"
    return f"{shown}: arguments of the script stand behind --; a parameter is given by {how}"


def run_options(command: Callable[..., int]) -> Callable[..., int]:
    """Adds the options and hands them to ``command`` as one ``RunOptions``."""

    def with_options(
        invocation: Invocation,
        /,
        params: dict[str, str | None],
        param_files: dict[str, str],
        files: dict[str, str],
        buffers: dict[str, str],
        argv: tuple[str, ...],
        stdin: bool,
        timeout: float | None,
        mode: str | None,
        out: str | None,
        save_buffers: dict[str, str],
        exit_status: bool,
        cancel_on_exit: bool,
        gateway_timeout: float | None,
        **rest: str | None,
    ) -> int:
        code = STANDARD_INPUT if rest.get("code", "") in (None, STANDARD_INPUT) else ""
        own = STANDARD_INPUT if stdin else ""
        refuse_shared_input([code, own, *files.values(), *buffers.values(), *param_files.values()])
        given = given_params(params, param_files)
        arguments = tuple(map(utf8, argv))
        options = RunOptions(
            given,
            files,
            buffers,
            arguments,
            stdin,
            timeout,
            (mode or "").upper(),
            out,
            save_buffers,
            exit_status,
            cancel_on_exit,
            gateway_timeout,
        )
        return command(invocation, options, **rest)

    wrapped: Callable[..., int] = functools.update_wrapper(click.pass_obj(with_options), command)
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


@click.command("run", cls=RunCommand)
@click.argument("script", type=SCRIPT)
@run_options
def run_script(invocation: Invocation, options: RunOptions, script: str) -> int:
    """Run a saved script.

    SCRIPT is its path without scripts/, with or without .py, or just its file name; the path of its file will do, too.
    Its output comes as it is written; its result follows on stdout. What stands behind -- becomes sys.argv; secrets are
    better parameters, which no process list shows.

    Standard input is never read by itself: --stdin hands it over as the script's own, --file NAME=- as a parameter.

    The run belongs to the engine: Ctrl+C stops it, but it goes on when the line drops or when something like timeout(1)
    ends this command. With --cancel-on-exit it is stopped then.

    With --on it runs on several gateways, each with its own data, approvals and limits. Equal answers are shown once,
    others as differences; the exit code is that of the worst. See gatewright help gateways.

    \b
    Examples:
      gatewright run defaults/tour -p name=Anna -p pause=0.1
      gatewright run defaults/log_digest --file log=wrapper.log --timeout 60
      gatewright run night/report --exit-status -- --hours 5 --verbose
      gatewright run night/count --stdin < wrapper.log
      timeout 30 gatewright run night/report --cancel-on-exit --out .
      gatewright run night/tag_check --on @plant-b
    """
    return _run(invocation, options, RunRequest(kind=RunKind.SCRIPT, script=script))


def place_options(command: Decorated) -> Decorated:
    """Add the options that say where code runs: it has no header for that."""
    environment = click.option(
        "--environment", type=ENVIRONMENT, default="", metavar="NAME", help="The environment that it runs in."
    )
    python = click.option(
        "--python", type=VERSION, default="", metavar="VERSION", help="The Python that it runs on, such as 3.12."
    )
    return environment(python(command))


@click.command("exec", cls=RunCommand)
@click.argument("code", required=False)
@place_options
@run_options
def exec_code(invocation: Invocation, options: RunOptions, code: str | None, environment: str, python: str) -> int:
    """Run CODE, or what the standard input holds; a value left in `result` is printed.

    What stands behind -- becomes sys.argv.

    \b
    Examples:
      gatewright exec 'result = 1 + 1'
      gatewright exec - < trial.py
      gatewright exec - -- --hours 5 < trial.py
      gatewright exec 'print(params["log"].text()[:80])' --file log=wrapper.log
      gatewright exec - --buffer data=trend.bin --save-buffer out=new.bin < a.py
      gatewright exec --on gw-01,gw-02 'import sys; result = sys.version'
    """
    if code is not None:
        _refuse_file(invocation, code)
    text = _standard_input(invocation) if code is None or code == "-" else utf8(code)
    return _run(invocation, options, RunRequest(kind=RunKind.EXEC, code=text, environment=environment, python=python))


@click.command("eval", cls=RunCommand)
@click.argument("expr")
@place_options
@run_options
def eval_expression(invocation: Invocation, options: RunOptions, expr: str, environment: str, python: str) -> int:
    """Print the value of one expression.

    \b
    Examples:
      gatewright eval 'sum(range(10))'
      gatewright eval 'int(params["n"]) ** 2' -p n=12
    """
    request = RunRequest(kind=RunKind.EVAL, code=utf8(expr), environment=environment, python=python)
    return _run(invocation, options, request)


def _run(invocation: Invocation, options: RunOptions, request: RunRequest) -> int:
    if invocation.on is not None:
        from tui.commands.fleet import run_on_gateways

        return run_on_gateways(invocation, options, request)
    if options.gateway_timeout is not None:
        raise click.UsageError("--gateway-timeout belongs to --on.")
    import msgspec

    from tui.commands.following import run_to_end
    from tui.commands.uploads import upload_files, upload_standard_input

    async def work(client: EngineClient) -> int:
        files = await upload_files(client, options.files, invocation.streams)
        buffers = await upload_files(client, options.buffers, invocation.streams)
        stdin = await upload_standard_input(client, invocation.streams) if options.stdin else None
        wanted = msgspec.structs.replace(
            request,
            params=dict(options.params),
            files=files,
            buffers=buffers,
            argv=list(options.argv),
            stdin=stdin,
            timeout=options.timeout,
            mode=options.mode,
        )
        return await run_to_end(
            client,
            wanted,
            invocation.streams,
            as_json=invocation.json,
            out=options.out,
            save_buffers=options.save_buffers,
            reconnect=invocation.reconnect,
            exit_status=options.exit_status,
            cancel_on_exit=options.cancel_on_exit,
        )

    return invocation.ask(work)


def _refuse_file(invocation: Invocation, code: str) -> None:
    """Refuse the name of a Python file: as code it would do nothing, or fail with a name that nobody knows."""
    there = code.endswith(SUFFIX) and "\n" not in code and os.path.isfile(os.path.expanduser(code))
    if not there and not _LIKE_A_FILE.fullmatch(code):
        return
    if not there:
        raise CommandError(
            f"{code} is the name of a file, and there is none",
            hint=f"exec takes code. A saved script: {invocation.line('run', code.removesuffix(SUFFIX))}",
            exit_code=exit_codes.USAGE,
            code="no_file",
        )
    from tui.commands.script_paths import script_at

    script = None if invocation.elsewhere is not None else script_at(code, invocation.project)
    once = f"Run it: {invocation.line('exec', '-')} < {quoted(code)}   "
    raise CommandError(
        f"{code} is a file, and exec takes code",
        hint=f"Run the script: {invocation.line('run', script)}"
        if script is not None
        else f"{once}Keep it as a script: {invocation.line('scripts', 'import', code)}",
        exit_code=exit_codes.USAGE,
        code="file_given",
    )


def _standard_input(invocation: Invocation) -> str:
    if sys.stdin is None:
        raise click.UsageError("There is no code: give it as an argument or on the standard input.")
    if sys.stdin.isatty():
        invocation.streams.notify("reading code from the terminal; Ctrl+D on an empty line ends it")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"the code on the standard input is not UTF-8 (byte {error.start})", exit_code=exit_codes.USAGE
        ) from None
