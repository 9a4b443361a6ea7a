"""The one table of what a user can do. Bindings, footer hints, the palette and the help screen all read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from textual.binding import Binding, BindingType

from tui.keymap import key_label, keys_of


class Scope(StrEnum):
    """Where an action's keys work; the value is its heading on the help screen."""

    EVERYWHERE = "Everywhere"
    CONSOLE = "Console"
    LIST = "Scripts list"
    PREVIEW = "Preview"
    PANEL = "Output, problems, tasks and git"
    OUTPUT = "Output"
    PROBLEMS = "Problems"
    TASKS = "Tasks"
    POOL = "Pool"
    FIGURES = "Figures by script, caller or kind of failure"
    PACKAGES = "Packages"
    INTERPRETERS = "Python for an environment"
    MAINTENANCE = "Rebuilds and metadata diff"
    DIFF = "Metadata diff"
    APPROVAL = "Approve permissions"
    PROPOSAL = "Proposed change"
    GIT = "Git"
    HISTORY = "History of a script"
    META = "Header of a script"
    DEFAULTS = "Default scripts"
    RUNS = "Run history"
    COMPARISON = "Two runs compared"
    AUDIT = "Audit"
    GATEWAYS = "Gateways"
    FLEET_RUN = "One script on many gateways"


@dataclass(frozen=True, slots=True)
class Action:
    """Something a user can do.

    Attributes:
        name: Its name in the keymap, and of the ``action_`` method that does it.
        hint: One or two words for the footer.
        help: A sentence without a full stop for the palette and the help screen.
        scope: Where its keys work.
        footer: Position among the footer hints of its scope, 0 for none.
        palette: Whether the palette offers it; movements and keys of a table row do not belong there.
        priority: Whether its keys go before those of the focused widget (text areas take f6, f7 and more).
    """

    name: str
    hint: str
    help: str
    scope: Scope
    footer: int = 0
    palette: bool = False
    priority: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        return keys_of(self.name)

    @property
    def key(self) -> str:
        """The key that hints show, as people write it."""
        return key_label(self.keys[0])


def _everywhere(name: str, hint: str, text: str, footer: int = 0, *, palette: bool = True) -> Action:
    return Action(name, hint, text, Scope.EVERYWHERE, footer, palette=palette, priority=True)


def _console(name: str, hint: str, text: str, footer: int = 0) -> Action:
    return Action(name, hint, text, Scope.CONSOLE, footer, palette=True, priority=True)


def _listed(name: str, hint: str, text: str) -> Action:
    """About what is under the list's cursor, or else what is open."""
    return Action(name, hint, text, Scope.LIST, palette=True)


def _packages(name: str, hint: str, text: str, footer: int = 0, *, palette: bool = False) -> Action:
    return Action(name, hint, text, Scope.PACKAGES, footer, palette=palette)


ACTIONS: tuple[Action, ...] = (
    _console("run", "run", "Run what the editor shows", 1),
    _console("run_with", "run with", "Run with a form: parameters, arguments, a timeout"),
    _console("stop", "stop", "Stop the run shown in the output", 2),
    _console("save", "save", "Save the script or document", 3),
    _console("merge", "merge", "Merge what changed on disk; to the next conflict"),
    _console("open", "open", "Open a script or document by a part of its name", 4),
    _console("new_script", "new", "Make a new script"),
    _console("find", "find", "Find in the text", 5),
    _console("go_to_line", "line", "Go to a line"),
    _console("preview", "preview", "Preview beside the text: open it, enter it, close it"),
    _console("focus_list", "list", "Go to the scripts list", 6),
    _console("focus_panel", "panel", "Go to the panel, and from tab to tab in it", 7),
    _console("pool", "pool", "Show the pool"),
    _console("run_history", "runs", "Run history: search, output, replay, compare"),
    _console("admin", "ADMIN", "ADMIN runs for five minutes, or back at once"),
    _console("meta", "meta", "Header of the script: kind, parameters, limits"),
    _console("approve", "approve", "Approve or refuse a script's permissions"),
    _console("maintenance", "rebuild", "Rebuilds and metadata diff, and their progress"),
    Action("focus_editor", "editor", "Back to the editor; closes find bar and filter", Scope.CONSOLE, priority=True),
    _everywhere("palette", "all", "All actions and scripts", 8, palette=False),
    _everywhere("help", "help", "This help", 9),
    # Not before the focused widget's: the form of a run has a use of its own for the key.
    Action("retry", "retry", "Try the engine again when it is away", Scope.EVERYWHERE, palette=True),
    _everywhere("gateways", "gateways", "Go to another gateway; unsaved text stays here"),
    _everywhere("redraw", "redraw", "Draw the whole screen again"),
    _everywhere("quit", "quit", "Leave the console; runs go on in the engine"),
    Action("open_row", "open", "Open it, fold or unfold the folder", Scope.LIST, 1),
    Action(
        "filter",
        "filter",
        "Filter the list by a part of a path, title or tag",
        Scope.LIST,
        2,
        palette=True,
        priority=True,  # what is typed right behind it belongs to the filter already
    ),
    Action("search_texts", "search", "Search in the texts of all scripts and documents", Scope.LIST, palette=True),
    Action("meta_row", "meta", "Header of the script under the cursor", Scope.LIST, 3),
    _listed("set_macro", "macro", "Set the script as a macro, or as a utility again"),
    _listed("rename_script", "rename", "Rename the script or document, or move it"),
    _listed("duplicate_script", "copy", "Duplicate the script or document"),
    _listed("delete_script", "delete", "Delete the script or document; it can be restored"),
    _listed("undelete", "undelete", "Restore a deleted script or document"),
    _listed("script_history", "history", "History of the script or document, with differences"),
    _listed("new_document", "new document", "Make a new document"),
    _listed("import_scripts", "import", "Import a script or a folder of scripts"),
    _listed("export_scripts", "export", "Export the script, its folder or all scripts as files"),
    Action("default_scripts", "defaults", "Default scripts: newer texts, missing ones", Scope.LIST, palette=True),
    Action("packages", "packages", "Packages, environments and Python versions of scripts", Scope.LIST, palette=True),
    Action("restore_defaults", "restore", "Restore default scripts that are missing", Scope.LIST, palette=True),
    Action(
        "end_own_edits", "end edits", "End what your own edits of a script are approved for", Scope.LIST, palette=True
    ),
    Action("preview_go", "go there", "Go to the line in the text", Scope.PREVIEW, 1),
    Action(
        "preview_document",
        "document",
        "Choose the document in which the macro is shown",
        Scope.PREVIEW,
        2,
        palette=True,
    ),
    Action("close_preview", "close", "Close the preview", Scope.PREVIEW),
    Action("panel_output", "output", "Show the output", Scope.PANEL, palette=True),
    Action("panel_problems", "problems", "Show what is wrong with the text, tags included", Scope.PANEL, palette=True),
    Action(
        "panel_tasks",
        "tasks",
        "Show the tasks: runs, renders, rebuilds; cancel them",
        Scope.PANEL,
        palette=True,
    ),
    Action("panel_git", "git", "Show git: branch, changed files, the script's log", Scope.PANEL, palette=True),
    Action("zoom", "zoom", "Make the panel large, and small again", Scope.PANEL, 3, palette=True),
    Action("copy_output", "copy", "Copy the selected output, or all of it", Scope.OUTPUT, 1, palette=True),
    Action("clear_output", "clear", "Clear the output", Scope.OUTPUT, 2, palette=True),
    Action("save_files", "save", "Save the files that the run left", Scope.OUTPUT, 3, palette=True),
    Action("show_result", "result", "Show the result that a run left behind its output", Scope.OUTPUT, palette=True),
    Action("explain_run", "explain", "Ask the assistant why the run failed", Scope.OUTPUT, palette=True),
    Action("propose_change", "propose", "Ask the assistant for a change of the script", Scope.OUTPUT, palette=True),
    Action("open_problem", "go there", "Go to the place of the problem under the cursor", Scope.PROBLEMS, 1),
    Action("show_task", "output", "Show the output of the run under the cursor", Scope.TASKS, 1),
    Action("kill_task", "kill", "Kill the run, or cancel the task, under the cursor", Scope.TASKS, 2),
    Action("kill_run", "kill run", "Kill the run of the slot under the cursor", Scope.POOL, 1),
    Action("show_run", "output", "Show the output of the slot's run in the console", Scope.POOL, 2),
    Action("grow", "more", "Add a slot", Scope.POOL, 3),
    Action("shrink", "fewer", "Remove a slot; a run on it goes on to its end", Scope.POOL, 4),
    Action("restart_slot", "restart", "Restart the slot under the cursor", Scope.POOL, 5),
    Action(
        "script_figures",
        "per script",
        "Figures by script, caller or kind of failure",
        Scope.POOL,
        6,
        palette=True,
    ),
    Action("back", "back", "Back to the console", Scope.POOL, 7),
    Action("show_its_runs", "its runs", "Show the runs that the row is about", Scope.FIGURES, 1),
    Action("next_grouping", "by", "By script, by caller, by kind of failure", Scope.FIGURES, 2),
    Action("longer_time", "time", "Of the last hour, 24 hours, 7 days, 30 days", Scope.FIGURES, 3),
    Action("shorter_time", "shorter", "Of a shorter time", Scope.FIGURES),
    Action("next_order", "order", "Sort by the next column", Scope.FIGURES, 4),
    Action("turn_order", "turn", "Least first, or most first", Scope.FIGURES, 5),
    Action("leave_figures", "back", "Back to the pool", Scope.FIGURES, 6),
    _packages("install_packages", "install", "Install packages; shows what would change", 1, palette=True),
    _packages("uninstall_package", "remove", "Uninstall the package; says what needs it", 2),
    _packages("upgrade_package", "upgrade", "Upgrade the package under the cursor", 3),
    _packages("search_packages", "search", "Search what the index offers", 4, palette=True),
    _packages("next_environment", "next", "Show the next environment", 5),
    _packages("interpreters", "Python", "Python versions: see, choose, add by path", 6, palette=True),
    _packages("leave_packages", "back", "Back to the console", 7),
    _packages("last_environment", "last", "Show the environment before"),
    _packages("show_package", "details", "Show what is known of the package"),
    _packages("upgrade_all", "upgrade all", "Upgrade all packages of the environment", palette=True),
    _packages("install_bundle", "bundle", "Install packages from a bundle file", palette=True),
    _packages("make_environment", "new environment", "Make a new environment", palette=True),
    _packages("remove_environment", "remove environment", "Remove the environment that is shown"),
    _packages("cancel_change", "cancel", "Cancel the change that goes on"),
    Action("use_python", "use it", "Use the Python under the cursor for the environment", Scope.INTERPRETERS, 1),
    Action("add_python", "add", "Add a Python by its path", Scope.INTERPRETERS, 2),
    Action("remove_python", "remove", "Remove a Python that was added by its path", Scope.INTERPRETERS, 3),
    Action("leave_interpreters", "back", "Back to the packages", Scope.INTERPRETERS, 4),
    Action(
        "rebuild_scripts",
        "rebuild scripts",
        "Rebuild scripts: their index, from the files",
        Scope.MAINTENANCE,
        1,
        palette=True,
    ),
    Action(
        "rebuild_all",
        "everything",
        "Rebuild everything: index, history, approvals",
        Scope.MAINTENANCE,
        2,
        palette=True,
    ),
    Action(
        "metadata_diff",
        "diff",
        "Metadata diff: compare files and database, and decide",
        Scope.MAINTENANCE,
        3,
        palette=True,
    ),
    Action("cancel_task", "cancel", "Cancel the task that goes on", Scope.MAINTENANCE, 4),
    Action("leave_maintenance", "back", "Back to the console", Scope.MAINTENANCE, 5),
    Action("mark", "mark", "Mark the row, or take its mark away", Scope.DIFF, 1),
    Action("choose_file", "file", "The file is right", Scope.DIFF, 2),
    Action("choose_database", "db", "The database is right", Scope.DIFF, 3),
    Action("choose_other", "choose", "Choose among all that is possible", Scope.DIFF, 4),
    Action("mark_all", "all", "Mark every row as the file says, or none", Scope.DIFF, 5),
    Action("show_change", "look", "Show what the row's choice would change", Scope.DIFF),
    Action("apply_marked", "apply marked", "Apply what is marked; shows first what it would do", Scope.DIFF, 6),
    Action("scan", "scan", "Compare again", Scope.DIFF, 7),
    Action("stop_scan", "stop", "Stop the scan", Scope.DIFF),
    Action("leave_diff", "back", "Back; nothing is decided", Scope.DIFF, 8),
    Action("approve_text", "approve this text with these permissions", "Approve what is shown", Scope.APPROVAL, 1),
    Action(
        "approve_edits",
        "my own edits only, 15 minutes",
        "Let your own edits of it run for 15 minutes",
        Scope.APPROVAL,
        2,
    ),
    Action("refuse_text", "refuse", "Refuse it, or withdraw the approval that it has", Scope.APPROVAL, 3),
    Action("show_text", "text", "Show the difference of the text, and back", Scope.APPROVAL, 4),
    Action("give_up", "later", "Decide later", Scope.APPROVAL, 5),
    Action("apply_proposal", "apply, unsaved", "Put the change into the editor, unsaved", Scope.PROPOSAL, 1),
    Action(
        "take_default",
        "take new, yours to history",
        "Take the new text; yours goes into the history",
        Scope.DEFAULTS,
        1,
    ),
    Action("keep_default", "keep mine", "Keep mine instead of this new text", Scope.DEFAULTS, 2),
    Action("restore_missing", "restore", "Restore those that are missing", Scope.DEFAULTS, 3),
    Action("read_difference", "difference", "Go to the difference, and back", Scope.DEFAULTS, 4),
    Action("leave_defaults", "back", "Back to the console", Scope.DEFAULTS, 5),
    Action("show_old_run", "output", "Show the output of the run under the cursor", Scope.RUNS, 1),
    Action("replay_run", "replay", "Run the same text with the same inputs again", Scope.RUNS, 2),
    Action("compare_run", "compare", "Mark the run, or compare it with the marked one", Scope.RUNS, 3),
    Action("search_runs", "search", "Search, like outcome:timeout who:alice since:today", Scope.RUNS, 4),
    Action("audit", "audit", "Audit: who did what; search, verify, export", Scope.RUNS, 5, palette=True),
    Action("save_evidence", "evidence", "Write what proves the run into a file", Scope.RUNS, 6),
    Action("leave_runs", "back", "Back to the console", Scope.RUNS, 7),
    Action("leave_comparison", "back", "Back to the run history", Scope.COMPARISON, 1),
    Action("show_record", "record", "Show all that the record says", Scope.AUDIT, 1),
    Action("search_audit", "search", "Search, like who:alice action:save since:today", Scope.AUDIT, 2),
    Action("verify_audit", "verify", "Verify every record", Scope.AUDIT, 3),
    Action("compare_head", "head", "Verify, and look for a head noted elsewhere", Scope.AUDIT, 4),
    Action("export_audit", "export", "Export what the search finds to a file", Scope.AUDIT, 5),
    Action("stop_audit", "stop", "Stop verifying or exporting", Scope.AUDIT, 6),
    Action("read_again", "again", "Read the newest records again", Scope.AUDIT),
    Action("leave_audit", "back", "Back to the run history", Scope.AUDIT, 7),
    Action("go_there", "go there", "Go to the gateway under the cursor", Scope.GATEWAYS, 1),
    Action("mark_gateway", "mark", "Mark the gateway, or take its mark away", Scope.GATEWAYS, 2),
    Action("run_on", "run on marked", "Run the open script on several gateways", Scope.GATEWAYS, 3, palette=True),
    Action("look_again", "look again", "Read the gateways again and ask each", Scope.GATEWAYS, 4),
    Action("leave_gateways", "back", "Back to the console", Scope.GATEWAYS, 5),
    Action("fleet_differences", "differences", "Go to the difference, or the answer", Scope.FLEET_RUN, 1),
    Action("fleet_output", "output", "Show the whole answer of the row's first gateway", Scope.FLEET_RUN, 2),
    Action("mark_group", "mark", "Mark the row's gateways, or take their marks away", Scope.FLEET_RUN, 3),
    Action("run_again", "again", "Run it again on the marked gateways, or the row's", Scope.FLEET_RUN, 4),
    Action("fleet_evidence", "evidence", "Write what proves a run of the row into a file", Scope.FLEET_RUN, 5),
    Action("stop_fleet", "stop", "Stop it on every gateway where it goes on", Scope.FLEET_RUN, 6),
    Action("leave_fleet", "back", "Back to the groups, then to the console", Scope.FLEET_RUN, 7),
    Action("git_open", "diff", "Show what the file or commit under the cursor changed", Scope.GIT),
    Action("git_stage", "stage", "Stage the file under the cursor, or unstage it", Scope.GIT, 1, palette=True),
    Action("git_commit", "commit", "Commit what is staged", Scope.GIT, 2, palette=True),
    Action("git_restore", "restore", "Put this version into the editor, unsaved", Scope.GIT, palette=True),
    Action("git_log", "log", "Log of the repository, or of the open script", Scope.GIT, palette=True),
    Action("git_back", "back", "Back from the difference", Scope.GIT),
    Action("git_author", "author", "Say who your commits are by", Scope.GIT, palette=True),
    Action("git_trust", "trust", "Trust the repository's own programs, or no longer", Scope.GIT, palette=True),
    Action("version_difference", "diff to now", "Show the difference between the version and now", Scope.HISTORY, 1),
    Action("version_change", "its change", "Show what the change after this version changed", Scope.HISTORY, 2),
    Action("version_text", "text", "Show the whole text of this version", Scope.HISTORY, 3),
    Action("save_version", "save it again", "Save this version again; the present one stays here", Scope.HISTORY, 4),
    Action("leave_history", "back", "Back, from a text or difference and from the history", Scope.HISTORY, 5),
    Action("write_meta", "save", "Write what is changed into the script's file", Scope.META, 1),
    Action("turn_macro", "macro or utility", "Set as macro, or as utility again", Scope.META, 2),
    Action("drop_param", "drop parameter", "Remove the parameter, or keep it again", Scope.META),
    Action("leave_meta", "back, nothing written", "Back without writing anything", Scope.META, 3),
)

_BY_NAME = {action.name: action for action in ACTIONS}


def action(name: str) -> Action:
    """The action of that name."""
    return _BY_NAME[name]


def in_scope(*scopes: Scope) -> list[Action]:
    """The actions of these scopes, in the order of the table."""
    return [item for item in ACTIONS if item.scope in scopes]


def bindings(*scopes: Scope) -> list[BindingType]:
    """Textual bindings for the actions of these scopes."""
    return [
        Binding(",".join(item.keys), item.name, item.help, key_display=item.key, show=False, priority=item.priority)
        for item in in_scope(*scopes)
    ]


def scope_of(screen: object) -> Scope | None:
    """Return whose keys a screen that covers the console has; None of the console itself."""
    keys = getattr(screen, "BINDINGS", [])
    found = [scope for scope in Scope if (all_ := bindings(scope)) and all(one in keys for one in all_)]
    return None if Scope.CONSOLE in found or not found else found[-1]


def footer_hints(*scopes: Scope) -> list[Action]:
    """The actions that the footer shows for these scopes, in their order there."""
    return sorted((item for item in in_scope(*scopes) if item.footer), key=lambda item: item.footer)


def pane_hints(*scopes: Scope) -> list[Action]:
    """The footer while a pane of these scopes has the focus: its own actions, then the ways out."""
    ways_out = [action(name) for name in ("focus_editor", "focus_panel", "stop")]
    return footer_hints(*scopes) + ways_out + footer_hints(Scope.EVERYWHERE)
