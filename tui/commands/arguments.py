"""What commands take: scripts, numbers of runs, counts, seconds; what is wrong with one, and how it is completed."""

from __future__ import annotations

import math
import os
import sys
from typing import IO, TYPE_CHECKING, Any

import click
from click.types import FloatParamType, IntParamType, StringParamType

from tui.text.script_names import BY_PATH

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class RunNumber(IntParamType):
    """A run, by its number."""

    name = "run"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal()):
            self.fail(f"{text!r} is no number of a run. gatewright runs list shows them.", param, ctx)
        return int(text)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from tui.commands.candidates import run_numbers

        return run_numbers(ctx, incomplete, unfinished=param.name == "run_ids")


class Count(IntParamType):
    """A whole number from ``least`` to ``most``."""

    name = "n"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else -1
        if number < self._least or (self._most is not None and number > self._most):
            bounds = f"from {self._least} to {self._most}" if self._most is not None else f"from {self._least} on"
            self.fail(f"{text!r} is no whole number {bounds}.", param, ctx)
        return number


class Amount(FloatParamType):
    """A finite number of a unit, ``least`` or more: JSON has no others and would turn them into "none given"."""

    name = "n"

    def __init__(self, unit: str, least: float = -math.inf) -> None:
        self._unit, self._least = unit, least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            amount = float(str(value))
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount) or amount < self._least:
            self.fail(f"{str(value)!r} is no number of {self._unit}, such as 30 or 0.5.", param, ctx)
        return amount


class Hours(FloatParamType):
    """Hours of the past: more than none, ``most`` at most."""

    name = "hours"

    def __init__(self, most: float) -> None:
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            hours = float(str(value))
        except ValueError:
            hours = math.nan
        if not 0 < hours <= self._most:
            self.fail(f"{str(value)!r} is no number of hours up to {self._most:g}, such as 24.", param, ctx)
        return hours


class ScriptName(StringParamType):
    """A script, as people name it: also by the path of its file, from which its own path is made.

    Args:
        folder: Completed as the path of its file below this folder; such a name is taken as it is.
        suffix: Completed with it.
        gone: It need not be there any more.
        later: Taken as it is, by a command that learns its project later.
    """

    name = "script"

    def __init__(self, folder: str = "", suffix: str = "", *, gone: bool = False, later: bool = False) -> None:
        self._folder, self._suffix, self._gone, self._later = folder, suffix, gone, later

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        text = str(value)
        if ctx is None or self._folder or self._later:
            return text
        from tui.commands.script_paths import script_elsewhere, script_meant

        if ctx.obj.elsewhere is not None:
            return script_elsewhere(text, ctx.obj.elsewhere)
        return script_meant(text, ctx.obj.project, gone=self._gone)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith(BY_PATH):
            return host_files(ctx, param, incomplete)
        from tui.commands.candidates import script_names

        return script_names(ctx, incomplete, folder=self._folder, suffix=self._suffix)


class DocumentName(StringParamType):
    """A document of the project by its path, with or without its suffix."""

    name = "document"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from tui.commands.candidates import document_names

        return document_names(ctx, incomplete)


class ModuleName(StringParamType):
    """A module that a script imports. Names of the standard library are completed."""

    name = "module"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from click.shell_completion import CompletionItem

        names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class EnvironmentName(StringParamType):
    """An environment of the project."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from tui.commands.candidates import environment_names

        return environment_names(ctx, incomplete)


class InstalledName(StringParamType):
    """A package that is installed in the environment that the command line names."""

    name = "package"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from tui.commands.candidates import package_names

        return package_names(ctx, incomplete)


class PythonChoice(StringParamType):
    """A version of Python, or the path of an interpreter, which is made absolute: the engine has another folder."""

    name = "python"

    def __init__(self, *, by_path: bool = False, by_version: bool = False) -> None:
        self._by_path, self._by_version = by_path, by_version

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if self._by_version:
            if not (text and text.strip(".0123456789")):
                return text
            self.fail(f"{text!r} is no version of Python, such as 3.12.", param, ctx)
        if (not self._by_path and os.sep not in text) or (ctx is not None and ctx.obj.elsewhere is not None):
            return text
        return os.path.join(os.getcwd(), os.path.expanduser(text))  # and not normalised: a folder may be a link

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if self._by_path or os.sep in incomplete:
            return host_files(ctx, param, incomplete)
        from tui.commands.candidates import python_versions

        return python_versions(ctx, incomplete)


class SourceFile(click.File):
    """A file that is read; ``-`` is the standard input."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> IO[Any]:  # noqa: ANN401
        if value == "-" and sys.stdin is None:
            self.fail("the standard input is closed", param, ctx)
        return super().convert(value, param, ctx)


class NewScript(StringParamType):
    """The path of a script that is to be made."""

    name = "path"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        from tui.commands.script_paths import new_script_meant, script_elsewhere

        if ctx is None:
            return str(value)
        if ctx.obj.elsewhere is not None:
            return script_elsewhere(str(value), ctx.obj.elsewhere)
        return new_script_meant(str(value), ctx.obj.project)


SHARED_MARK = "@"
"""What the ID of a shared project follows, where a folder could stand; a folder of such a name is ./@name."""

RUN_NUMBER = RunNumber()
SECONDS = Amount("seconds")
DAYS = Amount("days", least=0)
MODULE = ModuleName()
ENVIRONMENT = EnvironmentName()
INSTALLED = InstalledName()
PYTHON = PythonChoice()
VERSION = PythonChoice(by_version=True)
INTERPRETER = PythonChoice(by_path=True)
DOCUMENT = DocumentName()
SCRIPT = ScriptName()
PAST_SCRIPT = ScriptName(gone=True)
"""A script that may have been deleted."""
OPENED_SCRIPT = ScriptName(later=True)
NEW_SCRIPT = NewScript()
SCRIPT_FILE = ScriptName(suffix=".py", gone=True)
"""A script by its whole path, as records and differences have it."""
PROJECT_FILE = ScriptName(folder="scripts/", suffix=".py")
"""A script's file as git names it."""


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a folder, which the shell knows best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def projects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a project: a shared one of this host by its ID, else a folder."""
    if not incomplete.startswith(SHARED_MARK):
        return folders(ctx, param, incomplete)
    from click.shell_completion import CompletionItem

    from engine.client.shared import shared_ids

    return [CompletionItem(SHARED_MARK + one) for one in shared_ids() if (SHARED_MARK + one).startswith(incomplete)]


def gateway_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of one of the user's gateways."""
    from click.shell_completion import CompletionItem

    from engine.client.gateways import Gateways

    found = Gateways.load().by_name.values()
    return [CompletionItem(one.name, help=one.place) for one in found if one.name.startswith(incomplete)]


def gateway_selection(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete several gateways and groups, with commas between them."""
    from click.shell_completion import CompletionItem

    from engine.client.gateways import EVERY, GROUP_MARK, Gateways

    gateways = Gateways.load()
    before, comma, last = incomplete.rpartition(",")
    names = [*gateways.by_name, *(GROUP_MARK + group for group in (*gateways.groups, EVERY))]
    given = before.split(",")
    return [CompletionItem(before + comma + one) for one in names if one.startswith(last) and one not in given]


def host_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a file, which the shell knows best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def parameters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete ``NAME=VALUE`` by what the script that is named takes."""
    from tui.commands.candidates import assignments

    return assignments(ctx, incomplete, of_files=param.name == "files", by_path=param.name != "params")


def keys_of_header(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete ``KEY=VALUE``, or KEY, by what a script's header may say."""
    from tui.commands.candidates import header_keys

    return header_keys(ctx, incomplete, end="=" if param.name == "values" else "")
