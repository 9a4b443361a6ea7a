"""``packages``: what scripts can import beside the standard library, installed and removed by an administrator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from engine.models.packages import (
    DEFAULT,
    CreateEnvironment,
    InstallRequest,
    UninstallRequest,
    UpgradeRequest,
)
from engine.registry.packages import (
    ENVIRONMENTS_CREATE,
    ENVIRONMENTS_LIST,
    ENVIRONMENTS_REMOVE,
    PACKAGES_BUNDLE,
    PACKAGES_INSTALL,
    PACKAGES_INSTALL_BUNDLE,
    PACKAGES_LIST,
    PACKAGES_PLAN,
    PACKAGES_SEARCH,
    PACKAGES_SHOW,
    PACKAGES_UNINSTALL,
    PACKAGES_UPGRADE,
    BundleParams,
    EnvironmentNameParams,
    EnvironmentParams,
    PackageParams,
    PackageSearchParams,
)
from tui.commands import exit_codes
from tui.commands.arguments import ENVIRONMENT, INSTALLED, host_files
from tui.commands.errors import CommandError
from tui.commands.invocation import CommandGroup, Decorated, Invocation, common_options
from tui.text.formats import clock, size
from tui.text.packages import changing, counted, to_fetch, versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.client.client import EngineClient
    from engine.models.packages import (
        EnvironmentInfo,
        EnvironmentList,
        InstalledPackage,
        OfferedList,
        PackageDetail,
        PackageList,
        PackagePlan,
    )

KIND = "packages"
"""Of the task that changes an environment."""

SHOWN_VERSIONS = 12

SUFFIX = ".gwpackages"
PIECE = 1 << 20

Answer = TypeVar("Answer")


def environment_option(command: Decorated) -> Decorated:
    """``--environment``."""
    return click.option(
        "--environment", type=ENVIRONMENT, default=DEFAULT, metavar="NAME", help="Another one than the default."
    )(command)


def changed(
    invocation: Invocation,
    ask: Callable[[EngineClient], Awaitable[Answer]],
    as_text: Callable[[Invocation, Answer], None],
) -> None:
    """Have an environment changed: show how far that is, cancel it by Ctrl+C, show what came of it."""
    from tui.commands.task import with_progress

    async def work(client: EngineClient) -> Answer:
        return await with_progress(client, invocation.streams, KIND, lambda: ask(client))

    invocation.answer(work, as_text)


@click.group("packages", cls=CommandGroup)
@common_options
def packages() -> None:
    """Install packages for scripts, and see what is installed.

    Packages lie in environments. Scripts run in the default one if they do not ask for another. A change is built
    beside the environment that is used and put in its place when it is complete: runs that go on finish with the old
    one, and a change that fails or is cancelled leaves everything as it was. Where packages come from is set under
    [packages] in the project's settings.toml. More: gatewright help packages

    \b
    Examples:
      gatewright packages install 'pandas>=2'
      gatewright packages list
      gatewright packages uninstall pandas
    """


@packages.command("list")
@environment_option
@common_options
@click.pass_obj
def list_packages(invocation: Invocation, environment: str) -> None:
    """List the packages of an environment, by name.

    Those with a star were asked for; the others came along. RESTRICTED scripts may import what is marked as allowed.

    \b
    Examples:
      gatewright packages list
      gatewright packages list --environment reports
    """
    params = EnvironmentParams(environment=environment)
    invocation.answer(lambda client: client.call(PACKAGES_LIST, params), _print_packages)


@packages.command("show")
@click.argument("package", type=INSTALLED)
@environment_option
@common_options
@click.pass_obj
def show_package(invocation: Invocation, package: str, environment: str) -> None:
    """Show what is known of an installed package.

    \b
    Example:
      gatewright packages show pandas
    """
    params = PackageParams(name=package, environment=environment)
    invocation.answer(lambda client: client.call(PACKAGES_SHOW, params), _print_detail)


@packages.command("search")
@click.argument("name")
@environment_option
@common_options
@click.pass_obj
def search(invocation: Invocation, name: str, environment: str) -> None:
    """Search which versions the package index offers of the package NAME.

    An index is asked for one exact name: it has no search. A wheelhouse is searched by the beginning of names, too.

    \b
    Example:
      gatewright packages search openpyxl
    """
    params = PackageSearchParams(q=name, environment=environment)
    invocation.answer(lambda client: client.call(PACKAGES_SEARCH, params), _print_offered)


@packages.command("plan")
@click.argument("requirements", nargs=-1, required=True, metavar="REQUIREMENT...")
@click.option("--upgrade", is_flag=True, help="Take the newest versions, also of what is installed.")
@environment_option
@common_options
@click.pass_obj
def plan(invocation: Invocation, requirements: tuple[str, ...], upgrade: bool, environment: str) -> None:
    """See what an installation would change, without a change.

    \b
    Example:
      gatewright packages plan 'pandas>=2' openpyxl
    """
    request = InstallRequest(requirements=list(requirements), environment=environment, upgrade=upgrade)
    invocation.answer(lambda client: client.call(PACKAGES_PLAN, body=request), _print_plan)


@packages.command("install")
@click.argument("requirements", nargs=-1, metavar="REQUIREMENT...")
@click.option("--bundle", metavar="FILE", shell_complete=host_files, help="Everything that the bundle FILE has.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions, also of what is installed.")
@environment_option
@common_options
@click.pass_obj
def install(
    invocation: Invocation, requirements: tuple[str, ...], bundle: str | None, upgrade: bool, environment: str
) -> None:
    """Install packages. Ctrl+C cancels it; then everything stays as it was.

    A REQUIREMENT is a package's name, or one with versions as PEP 508 writes them: pandas, 'pandas>=2,<3'. With
    --bundle the environment becomes what it was where the bundle was made, and no index is asked: what the bundle does
    not have is removed.

    \b
    Examples:
      gatewright packages install pandas openpyxl
      gatewright packages install 'numpy==2.1.*' --environment reports
      gatewright packages install --bundle plant.gwpackages
    """
    if bundle is not None:
        if requirements or upgrade:
            raise click.UsageError("--bundle installs what the bundle has: it takes no REQUIREMENT and no --upgrade.")
        _install(invocation, lambda client: _sent(client, bundle, environment))
        return
    if not requirements:
        raise click.UsageError("Missing argument 'REQUIREMENT...'.")
    request = InstallRequest(requirements=list(requirements), environment=environment, upgrade=upgrade)
    _install(invocation, lambda client: client.call(PACKAGES_INSTALL, body=request))


@packages.command("bundle")
@click.argument("out", metavar="OUT", shell_complete=host_files)
@environment_option
@common_options
@click.pass_obj
def bundle(invocation: Invocation, out: str, environment: str) -> None:
    """Put an environment's packages into the new file OUT, for a host that reaches no index.

    It holds their wheels, the lock and its hashes. It fits hosts with the same kind of processor and a Python of the
    same version, such as 3.12; there it is taken by gatewright packages install --bundle.

    \b
    Examples:
      gatewright packages bundle plant.gwpackages
      gatewright packages bundle plant.gwpackages --environment reports
    """
    from tui.commands.new_files import give_name, part_of, place_for

    place = place_for(Path(out), f"{environment}{SUFFIX}")

    async def work(client: EngineClient) -> None:
        with part_of(place) as (part, file):
            params = BundleParams(name=place.name, environment=environment)
            await client.download(PACKAGES_BUNDLE, params, file.write)
            file.flush()
            give_name(part, place)

    try:
        invocation.ask(work)
        sizes = size(place.stat().st_size)
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}") from None
    invocation.show({"file": str(place)}, lambda _, __: invocation.streams.notify(f"{place} has {sizes}"))


@packages.command("upgrade")
@click.argument("names", nargs=-1, type=INSTALLED, metavar="[PACKAGE]...")
@environment_option
@common_options
@click.pass_obj
def upgrade(invocation: Invocation, names: tuple[str, ...], environment: str) -> None:
    """Upgrade packages to the newest versions that fit: those named, or all.

    \b
    Examples:
      gatewright packages upgrade pandas
      gatewright packages upgrade
    """
    request = UpgradeRequest(names=list(names), environment=environment)
    changed(invocation, lambda client: client.call(PACKAGES_UPGRADE, body=request), _print_changes)


@packages.command("uninstall")
@click.argument("names", nargs=-1, required=True, type=INSTALLED, metavar="PACKAGE...")
@environment_option
@common_options
@click.pass_obj
def uninstall(invocation: Invocation, names: tuple[str, ...], environment: str) -> None:
    """Uninstall packages, and those that only they needed.

    \b
    Example:
      gatewright packages uninstall pandas
    """
    request = UninstallRequest(names=list(names), environment=environment)
    changed(invocation, lambda client: client.call(PACKAGES_UNINSTALL, body=request), _print_changes)


@packages.group("environments", cls=CommandGroup)
@common_options
def environments() -> None:
    """List, make and remove environments.

    A script runs in a named one if its header asks for it: environment = "NAME" under [tool.gatewright].

    \b
    Examples:
      gatewright packages environments list
      gatewright packages environments create reports --python 3.12 openpyxl
    """


@environments.command("list")
@common_options
@click.pass_obj
def list_environments(invocation: Invocation) -> None:
    """List the environments of this project.

    \b
    Example:
      gatewright packages environments list --json
    """
    invocation.answer(lambda client: client.call(ENVIRONMENTS_LIST), _print_environments)


@environments.command("create")
@click.argument("name")
@click.argument("requirements", nargs=-1, metavar="[REQUIREMENT]...")
@click.option("--python", default="", metavar="VERSION|PATH", help="Its interpreter; else that of the default one.")
@common_options
@click.pass_obj
def create_environment(invocation: Invocation, name: str, requirements: tuple[str, ...], python: str) -> None:
    """Make an environment, with packages if any are named.

    \b
    Examples:
      gatewright packages environments create reports openpyxl
      gatewright packages environments create old --python 3.9
    """
    request = CreateEnvironment(name=name, python=python, requirements=list(requirements))

    def as_text(_: Invocation, info: EnvironmentInfo) -> None:
        invocation.streams.notify(
            f"the environment {info.name} has Python {info.python} and {counted(info.packages)}",
            f'Scripts run in it with environment = "{info.name}" under [tool.gatewright] in their header.',
        )

    changed(invocation, lambda client: client.call(ENVIRONMENTS_CREATE, body=request), as_text)


@environments.command("remove")
@click.argument("name", type=ENVIRONMENT)
@common_options
@click.pass_obj
def remove_environment(invocation: Invocation, name: str) -> None:
    """Remove an environment that no script's header names. Runs that go on finish with it.

    \b
    Example:
      gatewright packages environments remove reports
    """

    def as_text(_: Invocation, info: EnvironmentInfo) -> None:
        invocation.streams.notify(f"the environment {info.name} is removed")

    invocation.answer(lambda client: client.call(ENVIRONMENTS_REMOVE, EnvironmentNameParams(name=name)), as_text)


async def _sent(client: EngineClient, path: str, environment: str) -> PackagePlan:
    """Hand a bundle to the engine."""
    params = EnvironmentParams(environment=environment)
    try:
        with open(path, "rb") as file:  # noqa: ASYNC230 - nothing else waits in this process
            pieces = iter(lambda: file.read(PIECE), b"")
            return await client.send(PACKAGES_INSTALL_BUNDLE, params, pieces, os.fstat(file.fileno()).st_size)
    except OSError as error:
        sentence = f"{path} cannot be read: {error.strerror}"
        raise CommandError(sentence, exit_code=exit_codes.USAGE, code="unreadable") from None


def _print_packages(invocation: Invocation, found: PackageList) -> None:
    from tui.text.table import render, terminal_width

    streams, environment = invocation.streams, found.environment
    if environment.problem is not None:
        streams.notify(environment.problem)
    if not found.packages:
        streams.notify(
            f"the environment {environment.name} (Python {environment.python}) has no packages",
            f"{invocation.line('packages', 'install')} PACKAGE installs one.",
        )
        return
    head = ["package", "version", "import", "RESTRICTED", "size", "needed by"]
    width = terminal_width(streams.out.is_terminal)
    rows = [_row(one) for one in found.packages]
    streams.out.line(render(head, rows, right="size", width=width, less=("needed by", "size", "import")))
    streams.notify(f"{counted(len(rows))} in {environment.name}, with Python {environment.python}; * was asked for")


def _row(package: InstalledPackage) -> list[str]:
    return [
        f"{package.name} *" if package.requested else package.name,
        package.version,
        ", ".join(package.modules),
        "allowed" if package.allowed else "",
        size(package.size),
        ", ".join(package.needed_by),
    ]


def _print_detail(invocation: Invocation, found: PackageDetail) -> None:
    from tui.text.table import fields, terminal_width

    out = invocation.streams.out
    asked = found.requirement or found.name
    rows = [
        ("package", f"{found.name} {found.version}"),
        ("summary", found.summary),
        ("licence", found.licence),
        ("homepage", found.homepage),
        ("import", ", ".join(found.modules)),
        ("RESTRICTED", "scripts may import it" if found.allowed else "scripts may not: policy.modules of the settings"),
        ("asked for", asked if found.requested else ""),
        ("requires", ", ".join(found.requires)),
        ("needed by", ", ".join(found.needed_by)),
        ("size", size(found.size)),
        ("from", found.origin),
        ("sha256", found.sha256),
    ]
    out.line(fields(rows, width=terminal_width(out.is_terminal)))


def _print_offered(invocation: Invocation, found: OfferedList) -> None:
    from tui.text.table import fields, terminal_width

    streams = invocation.streams
    if found.warning:
        streams.notify(found.warning)
    if not found.packages:
        streams.notify("nothing is offered by this name", "Where packages come from: [packages] in the settings.")
        return
    for place, one in enumerate(found.packages):
        if place:
            streams.out.line()
        more = f", and {len(one.versions) - SHOWN_VERSIONS} older" if len(one.versions) > SHOWN_VERSIONS else ""
        rows = [
            ("package", one.name),
            ("newest", one.version or "none that fits this environment's Python"),
            ("summary", one.summary),
            ("versions", f"{', '.join(one.versions[:SHOWN_VERSIONS])}{more}" if one.versions else ""),
            ("from", one.origin),
        ]
        streams.out.line(fields(rows, width=terminal_width(streams.out.is_terminal)))


def _print_plan(invocation: Invocation, found: PackagePlan) -> None:
    from tui.text.table import render, terminal_width

    streams = invocation.streams
    rows = [
        [one.name, versions(one), one.change, size(one.size) if one.size else "", one.origin] for one in changing(found)
    ]
    if not rows:
        streams.notify(f"nothing would change: {found.environment} has all of that")
        return
    width = terminal_width(streams.out.is_terminal)
    head = ["package", "version", "change", "size", "from"]
    streams.out.line(render(head, rows, right="size", width=width, less=("from", "size")))
    fetched = to_fetch(found)
    sizes = f", {size(fetched)} to fetch" if fetched else ""
    streams.notify(f"{found.environment} with Python {found.python} would change by this{sizes}; nothing was changed")


def _print_changes(invocation: Invocation, done: PackagePlan) -> None:
    streams, changes = invocation.streams, changing(done)
    for one in changes:
        streams.out.line(f"{one.change}: {one.name} {versions(one)}")
    if changes:
        streams.notify(f"{done.environment} is changed; runs that begin from now on have it")
    else:
        streams.notify(f"no package has changed: {done.environment} has all of that")


def _install(invocation: Invocation, ask: Callable[[EngineClient], Awaitable[PackagePlan]]) -> None:
    """Have something installed, and say which modules of what was asked for RESTRICTED scripts may not import."""
    closed: list[str] = []

    async def asked(client: EngineClient) -> PackagePlan:
        done = await ask(client)
        if new := {one.name for one in changing(done)}:
            there = await client.call(PACKAGES_LIST, EnvironmentParams(environment=done.environment))
            of_them = [one for one in there.packages if one.name in new and one.requested and not one.allowed]
            closed.extend(module for one in of_them for module in one.modules)
        return done

    def as_text(_: Invocation, done: PackagePlan) -> None:
        _print_changes(invocation, done)
        if not closed:
            return
        sentence = f"RESTRICTED scripts may not import {', '.join(closed)} yet"
        if invocation.elsewhere is not None:  # where its settings are, and what starts it, is known there
            hint = "Where that engine runs, an administrator names it in policy.modules, and restarts its service."
        else:
            again = f"{invocation.line('engine', 'stop')}: the next command starts the engine with it."
            hint = f"Name it in policy.modules of the project's settings.toml, then {again}"
        invocation.streams.notify(sentence, hint)

    changed(invocation, asked, as_text)


def _print_environments(invocation: Invocation, found: EnvironmentList) -> None:
    from tui.text.table import render, terminal_width

    streams = invocation.streams
    rows = [
        [
            one.name,
            one.python,
            str(one.packages),
            "" if one.built_at is None else clock(one.built_at),
            one.built_by,
            one.problem or ("installed into by hand" if one.packages and not one.managed else ""),
            one.interpreter,
        ]
        for one in found.environments
    ]
    head = ["environment", "python", "packages", "built", "by", "note", "interpreter"]
    width = terminal_width(streams.out.is_terminal)
    streams.out.line(render(head, rows, right="packages", width=width, less=("interpreter", "by", "built")))
    if found.own:
        made = "was" if found.own == 1 else "were"
        streams.notify(f"{found.own} more {made} made for scripts that ask for packages or a Python of their own")
