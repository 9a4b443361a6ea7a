"""What a script asks for, before an administrator decides: each permission, what changed, the text's difference."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from engine.models.permissions import (
    ON_PATHS,
    Access,
    ApprovalState,
    AskedPermission,
    PermissionReview,
    ReviewedEnvironment,
)
from tui.actions import Action, Scope, action, bindings, footer_hints
from tui.messages import OwnEditsChanged
from tui.screens.dialogs import Dialog
from tui.text.formats import clock, size, time_left
from tui.text.sanitise import sanitise_line
from tui.widgets.diff_rows import unified_rows
from tui.widgets.row_list import RowList

SHORT_HASH = 12

KEYS_WIDTH = 70
"""Cells for the keys in the narrowest box."""

_STATES = {
    ApprovalState.NONE: "none",
    ApprovalState.APPROVED: "approved as it is",
    ApprovalState.NEEDED: "never approved",
    ApprovalState.CHANGED: "changed since the approval",
    ApprovalState.REFUSED: "refused",
}


class Decision(StrEnum):
    APPROVE = "approve"
    EDITS = "edits"
    """And what the user saves over it, for some minutes."""
    END_EDITS = "end_edits"
    """What the user saved over it is let run no longer."""
    REFUSE = "refuse"


class ApproveScreen(Dialog[Decision]):
    """The review; None for later.

    Args:
        review: What the engine judged.
        problem: Why the last decision was not taken.
        edits_left: Seconds for which this console's own edits of the script have its permissions; 0 for none.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.APPROVAL)

    def __init__(self, review: PermissionReview, problem: str = "", edits_left: float = 0.0) -> None:
        super().__init__()
        self._review = review
        self._problem = sanitise_line(problem)
        self._edits_left = edits_left
        self._asked = VerticalScroll(*_asked_lines(review), id="asked")
        self._difference = RowList(empty="The text is the approved one.", id="text-difference")

    def compose(self) -> ComposeResult:
        review = self._review
        with Vertical(classes="dialog--box", id="approval"):
            what = "permissions" if review.asked or review.environment is None else "packages"
            title = f"{sanitise_line(review.script)} asks for {what}: {_STATES[review.state]}"
            yield Static(title, classes="dialog--title", markup=False)
            yield self._asked
            yield self._difference
            yield Static(_approval_line(review), markup=False)
            yield Static(id="own-edits", markup=False)
            yield Static(self._problem, classes="dialog--problem", markup=False)
            yield Static(classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self._difference.display = False
        self._tell(self._problem)
        self._show_edits()
        self.set_focus(self._asked)

    def on_own_edits_changed(self, message: OwnEditsChanged) -> None:
        self._edits_left = message.remaining if message.script == self._review.script else 0.0
        self._show_edits()

    def _show_edits(self) -> None:
        """Whether own edits are on, and what the keys do then."""
        line = self.query_one("#own-edits", Static)
        line.display = self._edits_left > 0
        line.update(f"own edits: {time_left(self._edits_left)} left, {action('approve_edits').key} ends it")
        self.query_one(".dialog--keys", Static).update(_in_lines(self._hints()))

    async def action_show_text(self) -> None:
        """From what is asked to the difference of the text, and back."""
        showing = not self._difference.display
        self._difference.display, self._asked.display = showing, not showing
        self.query_one("#approval").set_class(showing, "-tall")
        self.set_focus(self._difference if showing else self._asked)
        if showing and not self._difference.rows:
            self.call_after_refresh(self._fill_difference)

    def action_approve_text(self) -> None:
        if self._review.state is ApprovalState.APPROVED:
            self._tell("It is approved already.")
        else:
            self._approve(Decision.APPROVE)

    def action_approve_edits(self) -> None:
        if self._edits_left > 0:
            self.dismiss(Decision.END_EDITS)
        elif not self._review.asked:
            self._tell("It asks for no permissions: its packages are approved for whatever text names them.")
        else:
            self._approve(Decision.EDITS)

    def _approve(self, decision: Decision) -> None:
        if self._obstacle is not None:
            self._tell(f"It cannot be approved: {self._obstacle}")
        else:
            self.dismiss(decision)

    @property
    def _obstacle(self) -> str | None:
        """Why the engine would not take an approval."""
        review = self._review
        if not review.asked and review.environment is None:
            return "it asks for nothing now."
        problem = next((one.problem for one in review.asked if one.problem), None)
        return problem or (None if review.environment is None else review.environment.problem)

    def _offered(self) -> list[Action]:
        """The keys that do something: what can never be granted is not offered for approval."""
        left_out = {"approve_text", "approve_edits"} if self._obstacle is not None else set[str]()
        if not self._review.asked:
            left_out.add("approve_edits")  # packages are approved for whatever text names them
        if self._edits_left > 0:
            left_out.add("approve_edits")  # the line above the keys says what its key does
        return [item for item in footer_hints(Scope.APPROVAL) if item.name not in left_out]

    def _hints(self) -> Iterable[str]:
        """Each key that is offered, with what it does here."""
        for item in self._offered():
            packages_only = item.name == "approve_text" and not self._review.asked
            yield f"{item.key} {'approve these packages' if packages_only else item.hint}"

    def action_refuse_text(self) -> None:
        self.dismiss(Decision.REFUSE)

    async def _fill_difference(self) -> None:
        width = self._difference.size.width - 2
        self._difference.set_rows(await asyncio.to_thread(lambda: list(unified_rows(self._review.diff, width))))

    def _tell(self, problem: str) -> None:
        line = self.query_one(".dialog--problem", Static)
        line.update(sanitise_line(problem))
        line.display = bool(problem)


def _in_lines(hints: Iterable[str]) -> str:
    """Return the keys with what they do, as many in a line as fit, none of them broken."""
    lines: list[str] = []
    for hint in hints:
        if lines and len(lines[-1]) + 2 + len(hint) <= KEYS_WIDTH:
            lines[-1] += f"  {hint}"
        else:
            lines.append(hint)
    return "\n".join(lines)


def _asked_lines(review: PermissionReview) -> Iterable[Widget]:
    """Every permission with its remarks. Paths are shown whole: what is cut off cannot be judged."""
    for one in review.asked:
        unchanged = one.change == "unchanged"
        yield _permission(one.access, one.path, "unchanged" if unchanged else "+ new", bold=not unchanged)
        if one.problem:
            yield Static(f"! {sanitise_line(one.problem)}", classes="approval--remark -problem", markup=False)
        for remark in _remarks(one):
            yield _remark(remark)
    for grant in review.removed:
        yield _permission(grant.access, grant.path, "- not asked any more", bold=False)
    for file in review.shared:
        unchanged = file.change == "unchanged"
        what = "unchanged" if unchanged else f"+ {file.change}"
        yield _permission("imports", file.path, what, bold=not unchanged)
    for path in review.removed_shared:
        yield _permission("imports", path, "- not imported any more", bold=False)
    if review.environment is not None:
        yield from _package_lines(review.environment)
    if not review.asked and review.environment is None:
        yield Static("It asks for nothing now.", markup=False)


def _package_lines(environment: ReviewedEnvironment) -> Iterable[Widget]:
    """What it names, and every package that this comes to: its version, its size, where it comes from."""
    yield _remark(f"it names {', '.join(environment.requirements)}")
    for one in environment.packages:
        same = one.change == "same"
        what = "approved" if same else f"{'-' if one.change == 'removed' else '+'} {one.change}"
        name = f"{one.name} {one.version or one.before}"
        was = f"was {one.before}" if one.before and not same and one.version else ""
        parts = (what, was, size(one.size) if one.size else "", one.origin)
        yield _permission("package", name, sanitise_line("  ".join(filter(None, parts))), bold=not same)
    if environment.problem:
        yield Static(f"! {sanitise_line(environment.problem)}", classes="approval--remark -problem", markup=False)
    if environment.python:
        sizes = sum(one.size for one in environment.packages if one.change != "removed")
        whole = f", {size(sizes)} in all" if sizes else ""
        yield _remark(f"for Python {environment.python}, with the lock {environment.lock[:SHORT_HASH]}{whole}")
    if not environment.packages and not environment.problem:
        yield _remark("an administrator is shown which packages that comes to")
    if environment.others:
        yield _remark(f"the same counts for {', '.join(environment.others)}")


def _remark(text: str) -> Widget:
    return Static(sanitise_line(text), classes="approval--remark", markup=False)


def _permission(access: str, path: str, change: str, *, bold: bool) -> Widget:
    text = Text(sanitise_line(path), "bold" if bold else "").append(f"   {change}", "not bold")
    return Horizontal(
        Static(access, classes="approval--access", markup=False),
        Static(text, classes="approval--path", markup=False),
        classes="approval--line",
    )


def _remarks(one: AskedPermission) -> Iterable[str]:
    if one.problem is None:
        yield _kind(one)
    if one.canonical is not None and one.canonical != one.path.rstrip("/"):
        yield f"leads to {one.canonical}"
    if one.note:
        yield one.note


def _kind(one: AskedPermission) -> str:
    if one.access not in ON_PATHS:
        return "the value of this secret" if one.access is Access.SECRET else "questions and texts of its own"
    return "the folder and all in it" if one.folder else "this file"


def _approval_line(review: PermissionReview) -> str:
    """``sha256 9f2c41…  last approved by bob, 3 Nov 12:01, for the text 77aa12…``."""
    line = f"sha256 {review.sha256[:SHORT_HASH]}"
    packages = review.environment
    if not review.asked and packages is not None and packages.approved_at is not None:
        return (
            f"{line}   packages approved by {sanitise_line(packages.approved_by or '')}, {clock(packages.approved_at)}"
        )
    if review.approved_at is None or review.approved_sha256 is None:
        return f"{line}   no approval so far"
    which = "this text" if review.approved_sha256 == review.sha256 else f"text {review.approved_sha256[:SHORT_HASH]}"
    who = sanitise_line(review.approved_by or "somebody")
    return f"{line}   last approved by {who}, {clock(review.approved_at)}, {which}"
