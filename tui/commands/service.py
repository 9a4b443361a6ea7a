"""``engine install`` and ``uninstall``: the engine as a service of systemd."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from tui.commands import exit_codes
from tui.commands.arguments import host_files
from tui.commands.errors import CommandError
from tui.commands.invocation import Decorated, Invocation, local_options

if TYPE_CHECKING:
    from engine.client.service.host import ServiceHost
    from engine.client.service.installing import ServicePlan


def _place_options(command: Decorated) -> Decorated:
    """Add what says which manager has the service, which one is meant, and whether it is done or only shown."""
    image = click.Path(exists=True, file_okay=False)
    options = (
        click.option("--system/--user", "system", default=None, help="The host's service, or one of your own."),
        click.option("--id", "id_", metavar="ID", help="The service's name, and of the host's the @ID of its project."),
        click.option("--root", type=image, metavar="DIR", help="Into an image of a host, put together in this folder."),
        click.option("--print", "print_only", is_flag=True, help="Show what would be done and each file; do nothing."),
        click.option("--yes", is_flag=True, help="Do it without a question."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("install")
@_place_options
@click.option(
    "--account", metavar="NAME", help="Whose the service is; made if there is none. Else the project's owner."
)
@click.option("--group", metavar="NAME", help="Whose members may use it; made if there is none. Else gatewright.")
@click.option(
    "--read-write",
    "writable",
    metavar="DIR",
    multiple=True,
    shell_complete=host_files,
    help="A further folder that runs may write to; repeatable.",
)
@click.option(
    "--journal-only/--log-file",
    "journal_only",
    default=None,
    help="Whether its log is in the journal only, or in the project, too.",
)
@click.option("--no-start", is_flag=True, help="Do not start it now.")
@local_options
@click.pass_obj
def install(
    invocation: Invocation,
    system: bool | None,
    id_: str | None,
    root: str | None,
    print_only: bool,
    yes: bool,
    account: str | None,
    group: str | None,
    writable: tuple[str, ...],
    journal_only: bool | None,
    no_start: bool,
) -> None:  # fmt: skip
    """Install the engine as a service of systemd, or bring one up to date.

    The host's service takes root, runs as an account of its own and is shared with a group, as @ID; without --project,
    its project is in /var/lib/gatewright/ID. Called again it keeps what is not named, and brings its unit up to date;
    settings and what you have changed by systemctl edit stay.

    \b
    Examples:
      gatewright engine install --id plant
      gatewright engine install --project /srv/plant-a --group plant --print
      gatewright engine install --user --project ~/plant-a
    """
    from engine.client.service.installing import WantedService, plan_installation
    from tui.commands.session import refusals

    host = _host(system, root)
    with refusals():
        project = _project(invocation, host, id_, make=True)
        if not print_only:
            host.check()
        wanted = WantedService(
            id=id_,
            project=project,
            account=account,
            group=group,
            writable=tuple(map(_absolute, writable)) or None,
            log_file=None if journal_only is None else not journal_only,
            start=not no_start,
            looks=print_only,
        )
        plan = plan_installation(host, wanted)
        _carry_out(invocation, plan, host, act="install", done="installed", print_only=print_only, yes=yes)


@click.command("uninstall")
@_place_options
@click.option("--keep-settings", is_flag=True, help="Leave /etc/gatewright/ID.toml.")
@local_options
@click.pass_obj
def uninstall(
    invocation: Invocation,
    system: bool | None,
    id_: str | None,
    root: str | None,
    print_only: bool,
    yes: bool,
    keep_settings: bool,
) -> None:
    """Stop and remove a service; its project stays.

    An account and a group that were made for it go, too, unless another service or the project needs them.

    \b
    Examples:
      gatewright engine uninstall --id plant
      gatewright engine uninstall --user --project ~/plant-a
    """
    from engine.client.service.installing import WantedService, plan_removal
    from tui.commands.session import refusals

    host = _host(system, root)
    with refusals():
        wanted = WantedService(id=id_, project=_project(invocation, host, id_, make=False))
        plan = plan_removal(host, wanted, keep_settings=keep_settings)
        _carry_out(invocation, plan, host, act="uninstall", done="removed", print_only=print_only, yes=yes)


def _host(system: bool | None, root: str | None) -> ServiceHost:
    from engine.client.service.host import ServiceHost

    is_root = os.geteuid() == 0
    if system is None:
        system = is_root or root is not None
    if not system and is_root:
        raise click.UsageError("--user is for the service of an ordinary account; root installs the host's: --system.")
    if not system and root is not None:
        raise click.UsageError("--root is for the host's services: --system.")
    return ServiceHost(system, Path("/") if root is None else Path(os.path.realpath(root)))


def _project(invocation: Invocation, host: ServiceHost, id_: str | None, *, make: bool) -> PurePosixPath | None:
    """The project that is named. An ordinary account means the one around the current folder, too.

    It does not where the ID is that of a service, which has its project; nor where one is to be removed.
    """
    if invocation.elsewhere is not None:
        invocation.refuse_elsewhere("a service is installed for a project's folder")
    if invocation.project is not None:
        if host.staged:
            return _absolute(invocation.project)
        return PurePosixPath(os.path.realpath(os.path.expanduser(invocation.project)))
    if host.system or (id_ is not None and not (make and all(one.id != id_ for one in host.services()))):
        return None
    return PurePosixPath(invocation.folder(make=make))


def _absolute(path: str) -> PurePosixPath:
    return PurePosixPath(os.path.abspath(os.path.expanduser(path)))


def _carry_out(
    invocation: Invocation, plan: ServicePlan, host: ServiceHost, *, act: str, done: str, print_only: bool, yes: bool
) -> None:
    """Show the plan, ask, do it and say so."""
    tell = invocation.streams.notify
    if not print_only and plan.steps:
        if host.system and os.geteuid() != 0:
            raise CommandError(
                "the host's services are root's",
                hint="Call it with sudo, look with --print, or install one of your own: --user",
                exit_code=exit_codes.REFUSED, code="root_only",
            )  # fmt: skip
        if not yes:
            for step in plan.steps:
                tell(f"would {step.says}")
            invocation.confirm(f"{act.capitalize()} {plan.service.name}?", act=act, done=done)
        plan.carry_out()
    answer: dict[str, Any] = {
        "unit": plan.service.name,
        "done": not print_only,
        "steps": [step.says for step in plan.steps],
        "files": {str(file): text for file, text in plan.files}
        if print_only
        else [str(file) for file, _ in plan.files],
        "notes": list(plan.notes),
    }
    invocation.show(answer, lambda invocation, _: _print(invocation, plan, done if not print_only else ""))


def _print(invocation: Invocation, plan: ServicePlan, done: str) -> None:
    out = invocation.streams.out
    for step in plan.steps:
        out.line(f"{'' if done else 'would '}{step.says}")
    if not done:
        for file, text in plan.files:
            out.line(f"\n---- {file}")
            out.write(text)
        if plan.files and plan.notes:
            out.line()
    for note in plan.notes:
        out.line(note)
    if done:
        invocation.streams.notify(
            f"{plan.service.name} is {done}" if plan.steps else f"{plan.service.name}: nothing to do"
        )
