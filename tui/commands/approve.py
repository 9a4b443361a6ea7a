"""``scripts approve``: what a script asks for, what changed since the last approval, and the decision about it."""

from __future__ import annotations

import shlex
from enum import Enum
from typing import TYPE_CHECKING

import click

from engine.models.permissions import (
    ON_PATHS,
    Access,
    ApprovalState,
    ApproveRequest,
    AskedPermission,
    Grant,
    PermissionReview,
    ReviewedEnvironment,
)
from engine.models.shared import SharedFile
from engine.registry.scripts import PERMISSIONS_APPROVE, PERMISSIONS_REFUSE, PERMISSIONS_REVIEW, ScriptParams
from tui.commands import exit_codes
from tui.commands.arguments import SCRIPT
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.text.formats import clock
from tui.text.sanitise import sanitise_code, sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient


class Verdict(Enum):
    APPROVE = "approve"
    REFUSE = "refuse"
    SHOW = "show"
    """Nobody can be asked: the review is shown, and that is all."""


@click.command("approve")
@click.argument("script", type=SCRIPT)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--refuse", is_flag=True, help="Refuse what it asks for, or withdraw the approval that it has.")
@click.option("--sha256", metavar="HASH", help="Only if the texts still have this hash.")
@common_options
@click.pass_obj
def approve_script(invocation: Invocation, script: str, yes: bool, refuse: bool, sha256: str | None) -> int:
    """Decide about the permissions and the packages that a script asks for.

    Shows what it asks for and what changed since the last approval, then asks. An approval counts for exactly this
    text and the shared code that it imports: any change to either ends it. Packages that its header names are shown
    with where they come from, and approved for every script that asks for the same. Without a terminal it takes --yes,
    or only shows.

    \b
    Examples:
      gatewright scripts approve night/report
      gatewright scripts approve night/report --refuse
    """
    review = invocation.ask(lambda client: client.call(PERMISSIONS_REVIEW, ScriptParams(path=script)))
    if sha256 is not None and sha256.lower() != review.whole_sha256:
        raise _conflict(review)
    if not refuse and _is_settled(invocation, review):
        return exit_codes.OK
    decision = _decide(invocation, review, yes=yes, refuse=refuse)
    if decision is Verdict.SHOW:
        return exit_codes.USAGE
    # A new connection: the person may have taken hours.
    invocation.answer(
        lambda client: _send(client, review, decision),
        _print_approved if decision is Verdict.APPROVE else _print_refused,
    )
    return exit_codes.OK


async def _send(client: EngineClient, review: PermissionReview, decision: Verdict) -> PermissionReview:
    if decision is Verdict.REFUSE:
        return await client.call(PERMISSIONS_REFUSE, ScriptParams(path=review.script))
    grants = [Grant(access=one.access, path=one.canonical) for one in review.asked if one.canonical is not None]
    shared = [SharedFile(path=file.path, sha256=file.sha256) for file in review.shared]
    lock = "" if review.environment is None else review.environment.lock
    seen = ApproveRequest(sha256=review.sha256, grants=grants, shared=shared, environment=lock)
    return await client.call(PERMISSIONS_APPROVE, ScriptParams(path=review.script), seen)


def _is_settled(invocation: Invocation, review: PermissionReview) -> bool:
    """Whether there is nothing to decide, which is then said.

    Raises:
        CommandError: It asks for something that cannot be granted.
    """
    if review.state in (ApprovalState.NONE, ApprovalState.APPROVED):
        invocation.show(review, _print_settled)
        return True
    problem = next((one.problem for one in review.asked if one.problem), None)
    lacking = None if review.environment is None else review.environment.problem
    if problem is None and lacking is None:
        return False
    if not invocation.json:
        _print_review(invocation, review)
    change = "permissions in its header, or what is there" if problem else "the dependencies in its header"
    raise CommandError(
        f"{review.script} cannot be approved: {sanitise_line(problem or lacking or '')}",
        hint=f"Change {change}; --refuse refuses it.",
        exit_code=exit_codes.USAGE,
        code="bad_permission" if problem else "bad_packages",
    )


def _print_settled(invocation: Invocation, review: PermissionReview) -> None:
    if review.state is ApprovalState.NONE:
        invocation.streams.notify(f"{review.script} asks for no permissions")
    else:
        _print_review(invocation, review)
        by = review.approved_by or (review.environment and review.environment.approved_by)
        invocation.streams.notify(f"{review.script} is approved already, by {by}")


def _decide(invocation: Invocation, review: PermissionReview, *, yes: bool, refuse: bool) -> Verdict:
    """What the options say, or else the person at the terminal."""
    wanted = Verdict.REFUSE if refuse else Verdict.APPROVE
    if not invocation.json:
        _print_review(invocation, review)
    if yes:
        return wanted
    if invocation.can_ask:
        _ask(review, wanted)
        return wanted
    if invocation.json:
        invocation.print_json(review)
    option = " --refuse" if refuse else ""
    script = shlex.quote(review.script)
    invocation.streams.notify(
        "nothing was decided: there is no terminal to ask at",
        f"Decide about exactly this: gatewright scripts approve {script}{option} --yes --sha256 {review.whole_sha256}",
    )
    return Verdict.SHOW


def _ask(review: PermissionReview, wanted: Verdict) -> None:
    """Raises ``click.Abort`` unless the answer is yes."""
    script = sanitise_line(review.script)
    refuses = wanted is Verdict.REFUSE
    question = f"Refuse what {script} asks for?" if refuses else f"Let {script} have {_what(review)}?"
    click.confirm(question, abort=True, err=True)


def _what(review: PermissionReview) -> str:
    count = len(review.asked)
    parts = [] if not count else ["this permission" if count == 1 else f"these {count} permissions"]
    if review.environment is not None and review.environment.state is not ApprovalState.APPROVED:
        count = len([one for one in review.environment.packages if one.change != "removed"])
        parts.append("this package" if count == 1 else f"these {count} packages")
    return " and ".join(parts)


def _print_approved(invocation: Invocation, review: PermissionReview) -> None:
    what = "this text and what it imports of lib" if review.shared else "this text"
    packages = review.environment is not None
    if review.asked:
        invocation.streams.notify(f"approved {review.script}, for exactly {what}{' and these packages' * packages}")
    else:
        invocation.streams.notify(f"approved the packages of {review.script}: its next run has them installed")


def _print_refused(invocation: Invocation, review: PermissionReview) -> None:
    invocation.streams.notify(f"refused what {review.script} asks for; it has no approval now")


def _conflict(review: PermissionReview) -> CommandError:
    return CommandError(
        f"{review.script} is not the text that you name: it has the hash {review.whole_sha256}",
        hint="Look at it again, then decide.",
        exit_code=exit_codes.CONFLICT,
        code="changed",
    )


def _print_review(invocation: Invocation, review: PermissionReview) -> None:
    """The difference first, so that what is asked stands right above the question."""
    from tui.text.table import fields, render, terminal_width

    out = invocation.streams.out
    width = terminal_width(out.is_terminal)
    for line in review.diff.split("\n") if review.diff else []:
        out.line(sanitise_code(line))
    if review.diff:
        out.line()
    out.line(
        fields(
            [
                ("script", review.script),
                ("sha256", review.sha256),
                ("with lib", review.whole_sha256 if review.shared else ""),
                ("state", _state(review.state)),
                ("approved", _approved(review)),
            ],
            width=width,
        )
    )
    if review.shared or review.removed_shared:
        out.line()
        files = [[file.path, file.sha256[:12], file.change] for file in review.shared]
        files += [[path, "", "not imported any more"] for path in review.removed_shared]
        out.line(render(["imports", "sha256", "change"], files))
    if review.environment is not None:
        out.line()
        _print_environment(invocation, review.environment, width)
    if not review.asked and not review.removed:
        return
    out.line()
    rows = [[one.access, one.canonical or one.path, _kind(one), one.change] for one in review.asked]
    rows += [[grant.access, grant.path, "", "not asked any more"] for grant in review.removed]
    out.line(render(["may", "path", "what", "change"], rows))
    for one in review.asked:
        for remark in (_leads(one), one.problem, one.note):
            if remark:
                out.line(sanitise_line(f"  {one.path}: {remark}"))


def _print_environment(invocation: Invocation, environment: ReviewedEnvironment, width: int | None) -> None:
    """What its packages are, exactly, and where they come from."""
    from tui.text.formats import size
    from tui.text.table import fields, render

    out = invocation.streams.out
    by = environment.approved_by
    approved = "" if by is None or environment.approved_at is None else f"by {by}, {clock(environment.approved_at)}"
    python = environment.python + (f" (asked for {environment.requires_python})" if environment.requires_python else "")
    out.line(
        fields(
            [
                ("names", ", ".join(environment.requirements)),
                ("packages", _state(environment.state)),
                ("approved", approved),
                ("python", python),
                ("lock", environment.lock),
                ("also of", ", ".join(environment.others)),
            ],
            width=width,
        )
    )
    if environment.packages:
        out.line()
        rows = [
            [one.name, one.version or one.before, one.change, size(one.size) if one.size else "", one.origin]
            for one in environment.packages
        ]
        out.line(render(["package", "version", "change", "size", "from"], rows))
        total = sum(one.size for one in environment.packages)
        if total:
            out.line(f"together {size(total)} to fetch")
    elif environment.problem is None:
        out.line("An administrator is shown which packages that comes to.")


def _state(state: ApprovalState) -> str:
    return {
        ApprovalState.NONE: "asks for nothing",
        ApprovalState.APPROVED: "approved",
        ApprovalState.NEEDED: "never approved",
        ApprovalState.CHANGED: "changed since it was approved",
        ApprovalState.REFUSED: "refused",
    }[state]


def _approved(review: PermissionReview) -> str:
    if review.approved_at is None or review.approved_sha256 is None:
        return ""
    return f"last by {review.approved_by}, {clock(review.approved_at)}, with the hash {review.approved_sha256[:12]}"


def _kind(asked: AskedPermission) -> str:
    if asked.access not in ON_PATHS:
        return "its value" if asked.access is Access.SECRET else "questions of its own"
    return "folder and all in it" if asked.folder else "file"


def _leads(asked: AskedPermission) -> str | None:
    moved = asked.canonical is not None and asked.canonical != asked.path.rstrip("/")
    return f"leads to {asked.canonical}" if moved else None
