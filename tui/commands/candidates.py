"""What completion offers: scripts, what they take, and runs.

It is asked at every press of a key, often in folders that are no project. So it looks at the scripts' files itself, and
for runs, or where the scripts are elsewhere, asks an engine that runs already; it starts none, makes nothing, and takes
no account's place. Names that a terminal would obey are left out.
"""

from __future__ import annotations

import asyncio
import os
import stat
import tomllib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from engine.client.finding import find_project
from engine.client.launch import LaunchError, LocalTarget
from store.frontmatter.locate import find_block
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.models.documents import DocumentInfo
    from engine.models.scripts import ScriptInfo

OPEN = "open"
"""The type of an item that goes on behind what is offered: no space follows it."""

MAX_TEXT = 1 << 20
"""Bytes of a script that are read for its header, which may stand anywhere: as many as a script may have."""

MAX_FILES = 20_000

NEWEST = 30
"""Runs that are offered."""

PATIENCE = 1.0
"""Seconds that an engine has for its answer: somebody waits at a prompt."""

HEADER_KEYS: Mapping[str, tuple[str, ...]] = {
    "title": (),
    "description": (),
    "kind": ("utility", "macro"),
    "entrypoint": (),
    "enabled": ("true", "false"),
    "tags": (),
    "preload": (),
    "environment": (),
    "leave_processes": ("true", "false"),
    "requires-python": (),
    "dependencies": (),
    "limits.timeout": (),
    "limits.memory": (),
    "limits.output": (),
    "limits.result": (),
    "limits.scratch": (),
    "limits.open_files": (),
    "limits.parallel": (),
    "limits.output_stop": ("true", "false"),
    "permissions.read": (),
    "permissions.write": (),
    "permissions.secrets": (),
    "permissions.assistant": ("true", "false"),
}
"""Keys of a script's header, with the values that one of them has to have."""

PARAM_KEYS = ("type", "default", "help", "choices", "required", "secret")


def script_names(ctx: click.Context, incomplete: str, *, folder: str = "", suffix: str = "") -> list[CompletionItem]:
    """Offer scripts whose path begins as typed; without any, those whose file name does."""
    runs = ctx.info_name == "run"  # shared code does not
    names = [folder + name + suffix for name in _all_scripts(ctx) if not (runs and name.startswith("lib/"))]
    found = [name for name in names if name.startswith(incomplete)]
    if not found and not suffix:
        found = [f"{name}.py" for name in names if f"{name}.py".startswith(incomplete)]
    if not found:
        last = [name.rpartition("/")[2] for name in names]
        found = [name for name in last if name.startswith(incomplete) and last.count(name) == 1 and not folder]
    return _items(sorted(found))


def document_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer documents whose path begins as typed."""
    from engine.document_text import DOCUMENT_SUFFIXES

    root = _project_of(ctx)
    if root is None:
        names = [info.path for info in asyncio.run(_documents_elsewhere(ctx)) if info.sha256]
    else:
        names = list(_files(root / "documents", DOCUMENT_SUFFIXES))
    return _items(sorted(name for name in names if name.startswith(incomplete)))


def assignments(ctx: click.Context, incomplete: str, *, of_files: bool, by_path: bool) -> list[CompletionItem]:
    """Offer ``NAME=`` of each parameter that is not given yet; behind it a path, or the values to choose from."""
    name, equals, typed = incomplete.partition("=")
    params = _params(ctx)
    if equals and by_path:
        return [CompletionItem(typed, type="file")]
    if equals:
        values = [value for value in _choices(params.get(name)) if value.startswith(typed)]
        return _items(f"{name}={value}" for value in values)
    given = {name for option in ("params", "param_files", "files") for name in ctx.params.get(option) or ()}
    found = [
        key
        for key, table in params.items()
        if key.startswith(name) and key not in given and (_type(table) == "file") is of_files
    ]
    return _items((f"{key}=" for key in found), OPEN)


def header_keys(ctx: click.Context, incomplete: str, *, end: str) -> list[CompletionItem]:
    """Offer the keys of a script's header, with ``end`` behind them; and the values of those that have few."""
    key, equals, typed = incomplete.partition("=")
    if equals:
        return _items(f"{key}={value}" for value in HEADER_KEYS.get(key, ()) if value.startswith(typed))
    known = [*HEADER_KEYS, *(f"params.{name}.{part}" for name in _params(ctx) for part in PARAM_KEYS)]
    return _items((f"{one}{end}" for one in known if one.startswith(incomplete)), OPEN if end else "plain")


def run_numbers(ctx: click.Context, incomplete: str, *, unfinished: bool) -> list[CompletionItem]:
    """Offer the newest runs of an engine that runs now; only those that can still be stopped if ``unfinished``."""
    found = asyncio.run(_newest_runs(ctx))
    return [
        CompletionItem(str(number), help=sanitise_line(about))
        for number, about, over in found
        if str(number).startswith(incomplete) and not (unfinished and over)
    ]


def token_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer the tokens of an engine that runs now."""
    found = asyncio.run(_tokens(ctx))
    return [CompletionItem(name, help=about) for name, about in found if name.startswith(incomplete)]


async def _tokens(ctx: click.Context) -> list[tuple[str, str]]:
    from engine.registry.access import TOKENS_LIST

    async with _engine(ctx) as client:
        found = None if client is None else await client.call(TOKENS_LIST)
    return [] if found is None else [(token.name, f"{token.role} {token.id}") for token in found.tokens]


def secret_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer the secrets of an engine that runs now."""
    return [CompletionItem(name) for name in asyncio.run(_secrets(ctx)) if name.startswith(incomplete)]


async def _secrets(ctx: click.Context) -> list[str]:
    from engine.registry.secrets import SECRETS_LIST

    async with _engine(ctx) as client:
        found = None if client is None else await client.call(SECRETS_LIST)
    return [] if found is None else [one.name for one in found.secrets]


def environment_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer the environments of an engine that runs now."""
    return _items(name for name in asyncio.run(_environments(ctx)) if name.startswith(incomplete))


async def _environments(ctx: click.Context) -> list[str]:
    from engine.registry.packages import ENVIRONMENTS_LIST

    async with _engine(ctx) as client:
        found = None if client is None else await client.call(ENVIRONMENTS_LIST)
    return [] if found is None else [one.name for one in found.environments]


def package_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer what is installed, by an engine that runs now."""
    return _items(name for name in asyncio.run(_packages(ctx)) if name.startswith(incomplete.lower()))


async def _packages(ctx: click.Context) -> list[str]:
    from engine.models.packages import DEFAULT
    from engine.registry.packages import PACKAGES_LIST, EnvironmentParams

    params = EnvironmentParams(environment=ctx.params.get("environment") or DEFAULT)
    async with _engine(ctx) as client:
        found = None if client is None else await client.call(PACKAGES_LIST, params)
    return [] if found is None else [one.name for one in found.packages]


def python_versions(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer the versions of Python that scripts can run on, by an engine that runs now."""
    return _items(version for version in asyncio.run(_pythons(ctx)) if version.startswith(incomplete))


async def _pythons(ctx: click.Context) -> list[str]:
    from engine.registry.packages import PYTHON_LIST

    async with _engine(ctx) as client:
        found = None if client is None else await client.call(PYTHON_LIST)
    usable = [] if found is None else [one.version for one in found.interpreters if one.problem is None]
    return list(dict.fromkeys(version.rpartition(".")[0] for version in usable))


async def _newest_runs(ctx: click.Context) -> list[tuple[int, str, bool]]:
    from engine.registry.runs import RUNS_LIST, RunListParams

    async with _engine(ctx) as client:
        found = None if client is None else await client.call(RUNS_LIST, RunListParams(limit=NEWEST))
    runs = [] if found is None else found.runs
    return [(run.id, f"{run.name} {run.outcome or run.state}", run.outcome is not None) for run in runs]


async def _scripts_elsewhere(ctx: click.Context) -> list[ScriptInfo]:
    from engine.registry.scripts import SCRIPTS_LIST

    async with _engine(ctx) as client:
        return [] if client is None else (await client.call(SCRIPTS_LIST)).scripts


async def _documents_elsewhere(ctx: click.Context) -> list[DocumentInfo]:
    from engine.registry.documents import DOCUMENTS_LIST, DocumentListParams

    async with _engine(ctx) as client:
        return [] if client is None else (await client.call(DOCUMENTS_LIST, DocumentListParams())).documents


@asynccontextmanager
async def _engine(ctx: click.Context) -> AsyncIterator[EngineClient | None]:
    """Hand out a client of the engine that is meant, if it runs now and answers in time; else None."""
    folder = _project_of(ctx)
    if folder is None and ctx.obj.elsewhere is None:
        yield None
        return
    target = ctx.obj.target() if folder is None else LocalTarget(folder)
    async with asyncio.timeout(PATIENCE):
        client = await target.reach("cli")
        try:
            yield client
        finally:
            if client is not None:
                await client.close()


def _project_of(ctx: click.Context) -> Path | None:
    """The project's folder; None where there is none on this host."""
    if ctx.obj.elsewhere is not None:
        return None
    try:
        return find_project(ctx.obj.project, tell=lambda _: None)
    except LaunchError:
        return None


def _scripts_of(ctx: click.Context) -> Path | None:
    folder = _project_of(ctx)
    return None if folder is None else folder / "scripts"


def _all_scripts(ctx: click.Context) -> list[str]:
    """The scripts' paths without ``.py``: of a folder as its files are, else as the engine says."""
    if ctx.obj.elsewhere is not None:
        return [info.path.removesuffix(".py") for info in asyncio.run(_scripts_elsewhere(ctx))]
    root = _scripts_of(ctx)
    return [] if root is None else list(_paths(root))


def _paths(root: Path) -> Iterator[str]:
    """The scripts' paths without ``.py``, as lists have them."""
    return (path.removesuffix(".py") for path in _files(root, (".py",)))


def _files(root: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Paths below ``root`` of the files with one of these suffixes."""
    count = 0
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith((".", "__pycache__")))
        for name in names:
            count += 1
            if name.endswith(suffixes) and not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), root)
        if count > MAX_FILES:
            return


def _params(ctx: click.Context) -> Mapping[str, Any]:
    """The tables of the parameters of the script that the command line names."""
    named = _named_script(ctx)
    if named is None:
        return {}
    wanted = named.removesuffix(".py")
    paths = _all_scripts(ctx)
    matches = [path for path in paths if path == wanted] or [
        path for path in paths if path.rpartition("/")[2] == wanted
    ]
    if len(matches) != 1:
        return {}
    root = _scripts_of(ctx)
    if root is None:
        (info,) = [one for one in asyncio.run(_scripts_elsewhere(ctx)) if one.path == f"{matches[0]}.py"]
        return {param.name: {"type": param.type.value, "choices": param.choices} for param in info.params}
    header = _header(_text(root / f"{matches[0]}.py"))
    params = header.get("tool", {}).get("gatewright", {}).get("params", {})
    return params if isinstance(params, dict) else {}


def _named_script(ctx: click.Context) -> str | None:
    """The script on the command line, which click leaves among the rest where the option at the cursor has no value."""
    if ctx.command.name not in ("run", "set"):
        return None
    named = ctx.params.get("script") or next(iter(ctx.args), None)
    return named if isinstance(named, str) else None


def _text(path: Path) -> str:
    """The text of an ordinary file; of a pipe nothing, since nobody may ever write to it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.read(fd, MAX_TEXT).decode("utf-8-sig", "replace")
    finally:
        os.close(fd)


def _header(text: str) -> dict[str, Any]:
    block = find_block(text)
    return {} if block is None else tomllib.loads(block.text)


def _type(table: object) -> object:
    return table.get("type") if isinstance(table, dict) else None


def _choices(table: object) -> list[str]:
    if not isinstance(table, dict):
        return []
    choices = table.get("choices")
    if isinstance(choices, list):
        return [str(choice) for choice in choices]
    return ["true", "false"] if _type(table) == "bool" else []


def _items(values: Iterable[str], kind: str = "plain") -> list[CompletionItem]:
    return [CompletionItem(value, type=kind) for value in values if value == sanitise_line(value)]
