"""Which keys start which action, and how a key is written for people.

Only keys that a plain terminal can send: ctrl+enter arrives on few terminals, so it never stands alone; ctrl+i, ctrl+m
and ctrl+h are tab, enter and backspace there, and ctrl+j is the line end of pasted text; ctrl+shift+letter arrives as
ctrl+letter. The first key of an action is the one that hints show.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KEYMAP: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # Everywhere.
        "help": ("f1",),
        "palette": ("ctrl+p",),
        "redraw": ("ctrl+l",),
        "quit": ("ctrl+q",),
        "retry": ("ctrl+r",),
        "gateways": ("alt+g", "ctrl+b"),  # tmux keeps the second one for itself
        # The console.
        "run": ("f5", "ctrl+enter"),
        "run_with": ("f11", "alt+r"),  # many terminal emulators keep f11 for the full screen
        "stop": ("f6",),
        "save": ("ctrl+s",),
        "open": ("ctrl+o",),
        "new_script": ("ctrl+n",),
        "find": ("ctrl+f",),
        "go_to_line": ("ctrl+g",),
        "preview": ("ctrl+backslash", "alt+p"),  # the first one needs AltGr on some keyboards
        "focus_list": ("f2",),
        "focus_panel": ("f3",),
        "pool": ("f4",),
        "merge": ("f7",),
        "run_history": ("f10",),
        "admin": ("f8",),
        "approve": ("f9",),
        "maintenance": ("f12",),
        "meta": ("ctrl+t",),
        "focus_editor": ("escape",),
        # The scripts list.
        "open_row": ("enter",),
        "filter": ("slash",),
        "meta_row": ("m",),
        "set_macro": ("t",),
        "rename_script": ("r",),
        "duplicate_script": ("d",),
        "delete_script": ("delete",),
        "undelete": ("u",),
        "script_history": ("h",),
        "new_document": ("n",),
        "search_texts": ("s",),
        "import_scripts": ("i",),
        "export_scripts": ("e",),
        "default_scripts": ("b",),
        "restore_defaults": ("B",),
        "end_own_edits": ("w",),
        "packages": ("p",),
        # What macros make of the text, beside it.
        "preview_go": ("enter",),
        "preview_document": ("d",),
        "close_preview": ("x",),
        # The panel below the editor.
        "panel_output": ("1",),
        "panel_problems": ("2",),
        "panel_tasks": ("3",),
        "panel_git": ("4",),
        "zoom": ("z",),
        "copy_output": ("c",),
        "clear_output": ("x",),
        "save_files": ("s",),
        "show_result": ("r",),
        "explain_run": ("e",),
        "propose_change": ("p",),
        "open_problem": ("enter",),
        "show_task": ("enter",),
        "kill_task": ("k",),
        # The pool.
        "show_run": ("enter",),
        "kill_run": ("k",),
        "grow": ("plus", "equals_sign"),
        "shrink": ("minus",),
        "restart_slot": ("r",),
        "script_figures": ("s",),
        "back": ("escape", "f4"),
        # Figures by script, caller or kind of failure.
        "show_its_runs": ("enter",),
        "next_grouping": ("b",),
        "longer_time": ("t", "right"),
        "shorter_time": ("T", "left"),
        "next_order": ("o",),
        "turn_order": ("O",),
        "leave_figures": ("escape", "s"),
        # Packages and interpreters.
        "install_packages": ("i",),
        "uninstall_package": ("x", "delete"),
        "upgrade_package": ("u",),
        "upgrade_all": ("U",),
        "search_packages": ("slash",),
        "show_package": ("enter",),
        "install_bundle": ("b",),
        "next_environment": ("right_square_bracket", "right"),  # brackets need AltGr on some keyboards
        "last_environment": ("left_square_bracket", "left"),
        "make_environment": ("n",),
        "remove_environment": ("D",),
        "interpreters": ("v",),
        "cancel_change": ("c", "ctrl+c"),
        "leave_packages": ("escape", "p"),
        "use_python": ("enter",),
        "add_python": ("a",),
        "remove_python": ("x", "delete"),
        "leave_interpreters": ("escape", "v"),
        # Rebuilds and metadata diff.
        "rebuild_scripts": ("r",),
        "rebuild_all": ("e",),
        "cancel_task": ("c",),
        "metadata_diff": ("d",),
        "leave_maintenance": ("escape", "f12"),
        # The metadata diff.
        "scan": ("f5",),
        "stop_scan": ("f6",),
        "mark": ("space",),
        "mark_all": ("m",),
        "choose_file": ("f",),
        "choose_database": ("d",),
        "choose_other": ("c",),
        "show_change": ("enter",),
        "apply_marked": ("a",),
        "leave_diff": ("escape",),
        # What a script asks for.
        "approve_text": ("a",),
        "approve_edits": ("w",),
        "refuse_text": ("n",),
        "show_text": ("d",),
        "apply_proposal": ("a",),
        "give_up": ("escape",),
        # The run history.
        "show_old_run": ("enter",),
        "replay_run": ("r",),
        "compare_run": ("c",),
        "save_evidence": ("e",),
        "search_runs": ("slash",),
        "audit": ("a",),
        "leave_runs": ("escape", "f10"),
        "leave_comparison": ("escape", "c"),
        # Gateways.
        "go_there": ("enter",),
        "mark_gateway": ("space",),
        "run_on": ("r",),
        "look_again": ("f5",),
        "leave_gateways": ("escape",),
        "fleet_differences": ("enter",),
        "fleet_output": ("o",),
        "mark_group": ("space",),
        "run_again": ("r",),
        "fleet_evidence": ("e",),
        "stop_fleet": ("f6",),
        "leave_fleet": ("escape",),
        # The audit.
        "show_record": ("enter",),
        "search_audit": ("slash",),
        "verify_audit": ("v",),
        "compare_head": ("h",),
        "export_audit": ("e",),
        "stop_audit": ("c", "ctrl+c"),
        "read_again": ("f5",),
        "leave_audit": ("escape", "a"),
        # The default scripts.
        "take_default": ("t",),
        "keep_default": ("k",),
        "restore_missing": ("r",),
        "read_difference": ("d",),
        "leave_defaults": ("escape", "b"),
        # The git tab.
        "git_open": ("enter",),
        "git_stage": ("space",),
        "git_commit": ("c",),
        "git_restore": ("r",),
        "git_log": ("l",),
        "git_back": ("backspace",),
        "git_author": ("a",),
        "git_trust": ("t",),
        # The history of a script.
        "version_difference": ("enter",),
        "version_change": ("c",),
        "version_text": ("t",),
        "save_version": ("r",),
        "leave_history": ("escape", "backspace"),
        # The frontmatter of a script.
        "write_meta": ("ctrl+s",),
        "turn_macro": ("ctrl+t",),
        "drop_param": ("delete",),
        "leave_meta": ("escape",),
    }
)

_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "space": "Space",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "underscore": "_",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "backslash": "\\",
}


def keys_of(action: str) -> tuple[str, ...]:
    """The keys of an action; the first one is shown in hints."""
    return KEYMAP[action]


def key_label(key: str) -> str:
    """How a key is written on screen: ``ctrl+s`` as ``^S``, ``f5`` as ``F5``, ``shift+tab`` as ``Shift+Tab``.

    ctrl with a key that has a name (``ctrl+enter``) is written out, because ``^Enter`` reads as two keys.
    """
    *modifiers, last = key.split("+")
    name = _NAMES.get(last, last.upper() if len(last) == 1 or last[1:].isdigit() else last.capitalize())
    if modifiers == ["ctrl"] and len(name) == 1:
        return f"^{name}"
    if not modifiers and len(last) == 1:
        return last
    return "+".join([*(part.capitalize() for part in modifiers), name])
