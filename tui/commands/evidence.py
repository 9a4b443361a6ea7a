"""``evidence``: what proves a run in one file, and whether such a file is what was made."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.registry.engine import AUDIT_LIST, AuditParams
from engine.registry.evidence import EVIDENCE, EvidenceParams
from tui.commands import exit_codes
from tui.commands.arguments import RUN_NUMBER, host_files
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.commands.new_files import give_name, part_of, place_for
from tui.text.formats import size
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.evidence_check import CheckedEvidence

MADE = "evidence"
"""What the audit calls the making of a file."""


@click.command("evidence")
@click.argument("run_id", metavar="RUN", type=RUN_NUMBER, required=False)
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    shell_complete=host_files,
    help="The new file, or a folder for it; else evidence-RUN.json in the current one.",
)
@click.option("--inputs", is_flag=True, help="Take what the run was given, too; secrets never.")
@click.option("--output", is_flag=True, help="Take what it wrote and returned, too.")
@click.option("--verify", metavar="FILE", shell_complete=host_files, help="Look at such a file instead of making one.")
@click.option("--ask", is_flag=True, help="With --verify: ask the engine, too, whether its audit has this file.")
@common_options
@click.pass_obj
def evidence(
    invocation: Invocation,
    run_id: int | None,
    out: str | None,
    inputs: bool,
    output: bool,
    verify: str | None,
    ask: bool,
) -> int:
    """Write what proves a run into one file, or verify such a file on any host.

    The file has the text that ran with its shared code, hashes of what the run was given, wrote and returned, how it
    was isolated, the approval in force, interpreter and packages, and the audit records about it with those beside
    them. It needs the role admin. Verifying needs neither a project nor an engine; exit code 1 says that something
    does not fit. A file that was forged as a whole, every hash computed again, is found with --ask: the audit of the
    gateway has the SHA-256 of each file that was made. More: gatewright help evidence.

    \b
    Examples:
      gatewright evidence 41
      gatewright evidence 41 -o /mnt/audit --inputs --output
      gatewright evidence --verify evidence-41.json
      gatewright evidence --verify evidence-41.json --ask --project ~/plant-a
    """
    if verify is not None:
        if run_id is not None or out is not None or inputs or output:
            raise click.UsageError("--verify takes a file, and nothing else.")
        return _verified(invocation, verify, ask=ask)
    if ask:
        raise click.UsageError("--ask belongs to --verify.")
    if run_id is None:
        raise click.UsageError("Say which run, by its number, or --verify FILE.")
    try:
        place, checked = invocation.ask(lambda client: _saved(client, run_id, out or ".", inputs=inputs, output=output))
    except OSError as error:
        raise CommandError(f"{out or '.'} cannot be written: {error.strerror}") from None
    _show(invocation, str(place), checked)
    return exit_codes.OK


async def _saved(
    client: EngineClient, run_id: int, out: str, *, inputs: bool, output: bool
) -> tuple[Path, CheckedEvidence]:
    """Get the file beside its place, look at it, and put it there."""
    from engine.evidence_check import MAX_FILE, NoEvidence, check

    place = place_for(Path(out), f"evidence-{run_id}.json")
    with part_of(place) as (part, file):
        params = EvidenceParams(run_id=run_id, name=place.name, inputs=inputs, output=output)

        def take(piece: bytes) -> None:
            if file.write(piece) and file.tell() > MAX_FILE:
                raise CommandError(f"the engine's answer cannot be used: it is larger than {size(MAX_FILE)}")

        await client.download(EVIDENCE, params, take)
        file.flush()
        try:
            checked = check(part.read_bytes())
        except NoEvidence as error:
            raise CommandError(f"the engine's answer cannot be used: {error}") from None
        if not checked.problems and checked.evidence["run"]["id"] != run_id:
            raise CommandError(f"the engine's answer cannot be used: it is about another run than {run_id}")
        if checked.problems:
            raise CommandError(
                f"the records of run {run_id} do not fit together: {' '.join(checked.problems)}",
                hint="Look at the audit: gatewright audit --verify",
            )
        give_name(part, place)
    return place, checked


def _verified(invocation: Invocation, path: str, *, ask: bool) -> int:
    from engine.evidence_check import MAX_FILE, NoEvidence, check

    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", exit_code=exit_codes.USAGE) from None
    try:
        checked = check(data)
    except NoEvidence as error:
        raise CommandError(f"{path}: {error}", code="no_evidence") from None
    if ask:
        problems = invocation.ask(lambda client: _unknown(client, checked))
        checked = replace(checked, problems=[*checked.problems, *problems])
    _show(invocation, path, checked, asked=ask)
    return exit_codes.FAILED if checked.problems else exit_codes.OK


async def _unknown(client: EngineClient, checked: CheckedEvidence) -> list[str]:
    """Return what of a file the audit of an engine does not have, a sentence each."""
    told = await client.call(AUDIT_LIST, AuditParams(action=MADE, text=checked.sha256))
    # The text could stand in the name of a script, too, which is for others to choose.
    made = any(one.detail.get("file") == checked.sha256 for one in told.records)
    found = [] if made else ["The audit of the engine has no record that it made this file."]
    head = checked.evidence["audit"]["head"] if not checked.problems else None
    if head is not None:
        there = await client.call(AUDIT_LIST, AuditParams(before=head["seq"] + 1, limit=1))
        if [(one.seq, one.sha256) for one in there.records] != [(head["seq"], head["sha256"])]:
            found.append(f"Audit record {head['seq']} of the engine is not the one that the file has.")
    return found


def _show(invocation: Invocation, path: str, checked: CheckedEvidence, *, asked: bool = True) -> None:
    if invocation.json:
        told = {name: _writable(checked.evidence.get(name)) for name in ("made", "run", "notes")}
        problems = _writable(checked.problems)
        invocation.print_json({"file": path, "sha256": checked.sha256, "problems": problems, **told})
        return
    from tui.text.table import fields, terminal_width

    streams = invocation.streams
    rows = [("file", path), *_summary(checked.evidence), ("sha256", checked.sha256)]
    streams.out.line(fields(rows, width=terminal_width(streams.out.is_terminal)))
    notes = checked.evidence.get("notes")
    for note in notes if isinstance(notes, list) else []:
        streams.notify(f"note: {sanitise_line(str(note))}")
    for problem in checked.problems:
        streams.notify(problem, failed=True)
    if not checked.problems:
        where = "the audit of the gateway has its sha256"
        streams.notify(
            f"everything in the file fits together; {where if asked else f'with --ask it is told whether {where}'}"
        )


def _writable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what a file says as UTF-8 can carry it: a folder's name, or a forged text, may hold lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_writable(one) for one in value]
    if isinstance(value, dict):
        return {_writable(name): _writable(one) for name, one in value.items()}
    return value


def _summary(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say what a file is about; of one that was changed, what can still be read."""
    for name, told in _TOLD.items():
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
            yield name, told(found)


def _when(at: float) -> str:
    """Write a time with its zone: a file may be verified elsewhere, and later."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))


def _who(run: Mapping[str, Any]) -> str:
    return f"{run['actor']}, from {run['source']}"


def _made(made: Mapping[str, Any]) -> str:
    return f"{_when(made['at'])} by {made['by']}, with Gatewright {made['gatewright']}"


def _approved(approval: Mapping[str, Any] | None) -> str:
    if approval is None:
        return "none"
    grants = ", ".join(f"{grant['access']} {grant['path']}" for grant in approval["grants"])
    return f"by {approval['by']}, {_when(approval['at'])}: {grants}"


def _texts(found: Mapping[str, Any]) -> str:
    files: Sequence[Mapping[str, Any]] = [found["code"], *found["shared"]]
    kept = sum("text" in file or "base64" in file for file in files)
    return f"{kept} of {len(files)}, {size(sum(file.get('size', 0) for file in files))}"


def _python(interpreter: Mapping[str, Any]) -> str:
    names = ", ".join(f"{one['name']} {one['version']}" for one in interpreter["packages"])
    known = "" if interpreter["known_from"] == "approval" else " (as it was when the file was made)"
    return f"{interpreter['python'] or 'not on record'}, {names or 'no packages'}{known}"


def _audit(audit: Mapping[str, Any]) -> str:
    head = audit["head"]
    return f"{len(audit['records'])} records, {len(audit['about'])} about it, up to {head['seq']} ({head['sha256']})"


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "run": lambda found: str(found["run"]["id"]),
    "script": lambda found: str(found["run"]["name"]),
    "outcome": lambda found: str(found["run"]["outcome"]),
    "who": lambda found: _who(found["run"]),
    "when": lambda found: _when(found["run"]["queued_at"]),
    "mode": lambda found: str(found["run"]["mode"]),
    "isolation": lambda found: str(found["isolation"]["proven"]),
    "approval": lambda found: _approved(found["approval"]),
    "python": lambda found: _python(found["interpreter"]),
    "texts": _texts,
    "audit": lambda found: _audit(found["audit"]),
    "gateway": lambda found: f"{found['made']['host']}, {found['made']['project']}",
    "made": lambda found: _made(found["made"]),
}
