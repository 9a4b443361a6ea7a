"""``modules``: what scripts may import in each mode, as the project's engine judges it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.registry.scripts import MODULES, ModuleParams
from tui.commands import exit_codes
from tui.commands.arguments import MODULE
from tui.commands.invocation import Invocation, common_options

if TYPE_CHECKING:
    from engine.models.checks import ModuleReport


@click.command("modules")
@click.argument("name", type=MODULE, required=False, default="")
@common_options
@click.pass_obj
def modules(invocation: Invocation, name: str) -> int:
    """Show which modules scripts may import in each mode, or whether they may import NAME.

    RESTRICTED scripts have the standard library but for what could only fail in them; what to do instead stands beside
    each refused name. An administrator chooses more or less of it, and installed packages by name, under [policy] of
    settings.toml.

    Exit code 4 if RESTRICTED scripts may not import NAME.

    \b
    Examples:
      gatewright modules
      gatewright modules http.client
    """
    report = invocation.answer(lambda client: client.call(MODULES, ModuleParams(name=name)), _print)
    return exit_codes.REFUSED if name and not report.modules[0].restricted else exit_codes.OK


def _print(invocation: Invocation, report: ModuleReport) -> None:
    from tui.text.modules import described
    from tui.text.table import terminal_width

    out = invocation.streams.out
    out.line(described(report, terminal_width(out.is_terminal)))
