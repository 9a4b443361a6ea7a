"""The one table of actions: complete, free of clashes, with keys that a plain terminal can send."""

from __future__ import annotations

from collections import Counter

import pytest

from tui.actions import ACTIONS, Scope, footer_hints, in_scope, pane_hints
from tui.app import GatewrightApp
from tui.console.screen import ConsoleScreen
from tui.keymap import KEYMAP, key_label
from tui.screens.approve import ApproveScreen
from tui.screens.audit import AuditScreen
from tui.screens.comparison import ComparisonScreen
from tui.screens.defaults import DefaultsScreen
from tui.screens.diff import DiffScreen
from tui.screens.figures import FiguresScreen
from tui.screens.fleet_run import FleetRunScreen
from tui.screens.frontmatter.form import MetaFormScreen
from tui.screens.gateways import GatewaysScreen
from tui.screens.history import HistoryScreen
from tui.screens.maintenance import MaintenanceScreen
from tui.screens.packages.interpreters import InterpretersScreen
from tui.screens.packages.screen import PackagesScreen
from tui.screens.pool import PoolScreen
from tui.screens.proposal import ProposalScreen
from tui.screens.runs import RunsScreen
from tui.widgets.git_pane import GitPane
from tui.widgets.output_pane import OutputPane
from tui.widgets.panel import Panel
from tui.widgets.preview_pane import PreviewPane
from tui.widgets.problem_pane import ProblemPane
from tui.widgets.script_pane import ScriptPane
from tui.widgets.task_pane import TaskPane

OWNERS = {
    Scope.EVERYWHERE: GatewrightApp,
    Scope.CONSOLE: ConsoleScreen,
    Scope.LIST: ScriptPane,
    Scope.PREVIEW: PreviewPane,
    Scope.PANEL: Panel,
    Scope.OUTPUT: OutputPane,
    Scope.PROBLEMS: ProblemPane,
    Scope.TASKS: TaskPane,
    Scope.POOL: PoolScreen,
    Scope.FIGURES: FiguresScreen,
    Scope.PACKAGES: PackagesScreen,
    Scope.INTERPRETERS: InterpretersScreen,
    Scope.MAINTENANCE: MaintenanceScreen,
    Scope.DIFF: DiffScreen,
    Scope.APPROVAL: ApproveScreen,
    Scope.PROPOSAL: ProposalScreen,
    Scope.GIT: GitPane,
    Scope.HISTORY: HistoryScreen,
    Scope.META: MetaFormScreen,
    Scope.DEFAULTS: DefaultsScreen,
    Scope.RUNS: RunsScreen,
    Scope.COMPARISON: ComparisonScreen,
    Scope.AUDIT: AuditScreen,
    Scope.GATEWAYS: GatewaysScreen,
    Scope.FLEET_RUN: FleetRunScreen,
}

SEEN_TOGETHER = [
    {Scope.EVERYWHERE, Scope.CONSOLE, Scope.LIST},
    {Scope.EVERYWHERE, Scope.CONSOLE, Scope.PREVIEW},
    {Scope.EVERYWHERE, Scope.CONSOLE, Scope.PANEL, Scope.OUTPUT},
    {Scope.EVERYWHERE, Scope.CONSOLE, Scope.PANEL, Scope.PROBLEMS},
    {Scope.EVERYWHERE, Scope.CONSOLE, Scope.PANEL, Scope.TASKS},
    {Scope.EVERYWHERE, Scope.POOL},
    {Scope.EVERYWHERE, Scope.FIGURES},
    {Scope.EVERYWHERE, Scope.PACKAGES},
    {Scope.EVERYWHERE, Scope.INTERPRETERS},
    {Scope.EVERYWHERE, Scope.MAINTENANCE},
    {Scope.EVERYWHERE, Scope.DIFF},
    {Scope.EVERYWHERE, Scope.APPROVAL},
    {Scope.EVERYWHERE, Scope.PROPOSAL},
    {Scope.EVERYWHERE, Scope.DEFAULTS},
    {Scope.EVERYWHERE, Scope.RUNS},
    {Scope.EVERYWHERE, Scope.COMPARISON},
    {Scope.EVERYWHERE, Scope.AUDIT},
    {Scope.EVERYWHERE, Scope.GATEWAYS},
    {Scope.EVERYWHERE, Scope.FLEET_RUN},
    {Scope.EVERYWHERE, Scope.CONSOLE, Scope.PANEL, Scope.GIT},
    {Scope.EVERYWHERE, Scope.HISTORY},
    {Scope.EVERYWHERE, Scope.META},
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_can_be_done_by_its_owner(action):
    assert hasattr(OWNERS[action.scope], f"action_{action.name}")


def test_every_key_of_the_keymap_belongs_to_an_action():
    assert set(KEYMAP) == {action.name for action in ACTIONS}


@pytest.mark.parametrize("scopes", SEEN_TOGETHER, ids=lambda scopes: "+".join(sorted(scopes)))
def test_no_key_means_two_things_in_one_place(scopes):
    keys = Counter(key for action in in_scope(*scopes) for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("name", KEYMAP)
def test_every_action_has_a_key_that_a_plain_terminal_sends(name):
    assert any("ctrl+enter" not in key and "shift+" not in key and "alt+" not in key for key in KEYMAP[name])
    assert not {"ctrl+i", "ctrl+m", "ctrl+h"} & set(KEYMAP[name])


def test_run_has_every_key_that_some_terminal_loses():
    assert KEYMAP["run"] == ("f5", "ctrl+enter")


@pytest.mark.parametrize("scopes", [(Scope.CONSOLE, Scope.EVERYWHERE), (Scope.POOL,), (Scope.PACKAGES,)])
def test_footer_fits_80_columns(scopes):
    hints = footer_hints(*scopes)
    line = "  ".join(f"{item.key} {item.hint}" for item in hints)
    assert 6 <= len(hints) <= 9
    assert len(line) + 1 <= 80


@pytest.mark.parametrize(
    "scopes",
    [
        (Scope.LIST,),
        (Scope.PREVIEW,),
        *((Scope.PANEL, pane) for pane in (Scope.OUTPUT, Scope.PROBLEMS, Scope.TASKS, Scope.GIT)),
    ],
)
def test_footer_of_a_pane_begins_with_its_own_actions_and_fits_the_ways_out(scopes):
    hints = pane_hints(*scopes)
    shown = "  ".join(f"{item.key} {item.hint}" for item in hints)[:79]
    assert hints[0].scope in scopes
    assert "Esc editor" in shown
    assert "F1 help" in shown


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("ctrl+s", "^S"),
        ("f5", "F5"),
        ("ctrl+enter", "Ctrl+Enter"),
        ("escape", "Esc"),
        ("slash", "/"),
        ("k", "k"),
        ("plus", "+"),
        ("shift+tab", "Shift+Tab"),
        ("ctrl+underscore", "^_"),
    ],
)
def test_keys_are_written_as_people_write_them(key, label):
    assert key_label(key) == label
