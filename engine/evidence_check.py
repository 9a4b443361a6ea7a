"""The evidence of a run as a file: its format, its seal, and whether everything in it fits together. Opens nothing.

The engine makes such files and any host verifies them by this one piece of code, which needs neither a project nor an
engine. The format, version 1:

- The file is one JSON object (RFC 8259) in canonical form, and a line feed: ASCII only, the keys of each object sorted,
  no white space, numbers as Python's ``repr`` writes them. So there is one way only to write the same evidence.
- ``sha256`` is the SHA-256 of the same object, in the same form, without that key and without the line feed.
- Texts stand under ``text``, bytes that are no UTF-8 under ``base64``; each has the SHA-256 of its bytes beside it.
- ``audit.records`` are records of the engine's audit, by number. The hash of one is the SHA-256 of the JSON array of
  its fields ``seq at actor uid source action subject detail prev`` in canonical form; ``prev`` is the hash of the
  record before it.

A file that was changed and has every hash computed again is found by what others have: the engine's audit holds the
SHA-256 of the whole file (action ``evidence``), and the head of the audit is told to syslog.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.audit_chain import digest as audit_digest

FORMAT = "gatewright-evidence"
VERSION = 1
SEAL = "sha256"

MAX_FILE = 256 << 20
"""Bytes of a file that is looked at."""

SMALL = 16 << 20
"""Bytes of a file that may have as many parts as fit: read, they take twenty times that at the most."""

MAX_PARTS = 3_000_000
"""Lists, objects and members of a larger file: one that is made to fill the memory of its reader is mostly these."""

_STRING_OR_PART = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([\[{,])', re.DOTALL)

AUDIT_FIELDS = ("seq", "at", "actor", "uid", "source", "action", "subject", "detail", "prev")
"""What the hash of an audit record is over, in this order (``store.audit_chain``)."""

STREAMS = ("stdout", "stderr")

Part = Mapping[str, Any]


class NoEvidence(Exception):
    """Not a file of evidence that this version can look at. The message is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class CheckedEvidence:
    """A file after it was looked at.

    Attributes:
        evidence: What it says.
        sha256: Of the whole file.
        problems: What does not fit, a sentence each; nothing where everything does.
    """

    evidence: Part
    sha256: str
    problems: list[str]


def canonical(value: object) -> bytes:
    """Write a value the one way that hashes are made of.

    Raises:
        ValueError: JSON cannot carry it.
    """
    return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(data: bytes) -> dict[str, str]:
    """Return bytes as they stand in the file."""
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def sealed(body: Part) -> bytes:
    """Return the file of an evidence."""
    whole = {"format": FORMAT, "version": VERSION, **body}
    return canonical(whole | {SEAL: digest(canonical(whole))}) + b"\n"


def check(data: bytes) -> CheckedEvidence:
    """Check that a file is what was made, and that its parts belong together.

    Raises:
        NoEvidence: It cannot be read as evidence at all.
    """
    if len(data) > MAX_FILE:
        raise NoEvidence(f"The file is larger than {MAX_FILE >> 20} MiB: no evidence is.")
    if len(data) > SMALL and _has_too_many_parts(data):
        raise NoEvidence(f"The file has more than {MAX_PARTS:,} parts: no evidence has.")
    try:
        evidence = json.loads(data)
    except (ValueError, RecursionError):
        raise NoEvidence("The file is not evidence as it was made: it is not valid JSON.") from None
    if not isinstance(evidence, dict) or evidence.get("format") != FORMAT:
        raise NoEvidence("The file is not evidence: it does not say that it is.")
    if evidence.get("version") != VERSION:
        told = evidence.get("version")
        raise NoEvidence(
            f"The evidence is of version {told if isinstance(told, int) else '?'} of the format, "
            f"and this Gatewright knows version {VERSION}."
        )
    problems = [*_seal_problems(evidence, data), *_part_problems(evidence)]
    return CheckedEvidence(evidence, digest(data), problems)


def _has_too_many_parts(data: bytes) -> bool:
    parts = 0
    for found in _STRING_OR_PART.finditer(data):
        parts += found[1] is not None
        if parts > MAX_PARTS:
            return True
    return False


def _seal_problems(evidence: Part, data: bytes) -> Iterator[str]:
    body = {key: value for key, value in evidence.items() if key != SEAL}
    try:
        if canonical(evidence) + b"\n" != data:
            yield "The file was written again or changed: it is not in the canonical form in which it was made."
        if digest(canonical(body)) != evidence.get(SEAL):
            yield "The file was changed: its content does not have the SHA-256 that it names."
    except (ValueError, RecursionError):
        yield "The file was changed: it holds what evidence cannot hold."


def _part_problems(evidence: Part) -> Iterator[str]:
    for name, look in _PARTS.items():
        try:
            yield from look(evidence)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            yield f"What the file says about {name} is not complete."


def _code(evidence: Part) -> Iterator[str]:
    code, run = evidence["code"], evidence["run"]
    yield from _content_problems(code, "The text that ran")
    if code["sha256"] != run["code_sha256"]:
        yield "The text is not the one that the run's record names."


def _shared(evidence: Part) -> Iterator[str]:
    for file in evidence["shared"]:
        yield from _content_problems(file, f"The text of {_line(file['path'])}")
    named = [(file["path"], file["sha256"]) for file in evidence["run"]["shared"]]
    if [(file["path"], file["sha256"]) for file in evidence["shared"]] != named:
        yield "The shared code is not what the run's record names."


def _inputs(evidence: Part) -> Iterator[str]:
    inputs = evidence["inputs"]
    yield from _content_problems(inputs, "What the run was given")
    if inputs["sha256"] != evidence["run"].get("inputs_sha256"):
        yield "What it was given is not what the run's record names."


def _output(evidence: Part) -> Iterator[str]:
    for stream in STREAMS:
        yield from _content_problems(evidence["output"][stream], f"What the run wrote to {stream}")


def _result(evidence: Part) -> Iterator[str]:
    for name, told in (("value", "The result"), ("shown", "The result as text"), ("traceback", "The traceback")):
        if (part := evidence["result"].get(name)) is not None:
            yield from _content_problems(part, told)


def _approval(evidence: Part) -> Iterator[str]:
    run, approval = evidence["run"], evidence.get("approval")
    if approval is None:
        return
    if approval["sha256"] != run["code_sha256"]:
        yield "The approval is of another text than the one that ran."
    if approval["shared"] != run["shared"]:
        yield "The approval is of other shared code than that which ran."
    allowed = [(grant["access"], grant["path"]) for grant in approval["grants"]]
    if any((grant["access"], grant["path"]) not in allowed for grant in run["grants"]):
        yield "The run had permissions that the approval does not give."


def _packages(evidence: Part) -> Iterator[str]:
    lock = evidence["interpreter"].get("lock")
    if lock is not None:
        yield from _content_problems(lock, "The lock of the packages")


def _audit(evidence: Part) -> Iterator[str]:
    audit = evidence["audit"]
    records: Sequence[Part] = audit["records"]
    before: Part | None = None
    for record in records:
        number = record["seq"]
        if audit_digest(*(record[name] for name in AUDIT_FIELDS)) != record["sha256"]:
            yield f"Audit record {number} was changed: it does not have its hash."
        if before is not None and number <= before["seq"]:
            yield f"Audit record {number} does not stand in its place."
        elif before is not None and number == before["seq"] + 1 and record["prev"] != before["sha256"]:
            yield f"Audit record {number} does not follow from record {before['seq']}: one of them was changed."
        before = record
    head = audit["head"]
    if before is None or (head["seq"], head["sha256"]) != (before["seq"], before["sha256"]):
        yield "The newest audit record is not the one that the file names as the head."
    if not {*audit["about"]} <= {record["seq"] for record in records}:
        yield "The file names audit records about the run that are not in it."
    yield from _told_of_the_run(evidence, records)


def _told_of_the_run(evidence: Part, records: Sequence[Part]) -> Iterator[str]:
    """Hold what the audit says about the run itself against the run's record."""
    run = evidence["run"]
    due = {**run, **{file["path"]: file["sha256"] for file in run["shared"]}}
    condensed = run.get("condensed")
    for record in records:
        if record["subject"] != subject_of(run["id"], run["name"]) or record["action"] not in RUN_ACTIONS:
            continue
        detail = json.loads(record["detail"])
        known = dict(due)
        if "runs" in detail:  # it stands for the calls of a minute, and so do the inputs
            known["inputs_sha256"] = None if condensed is None else condensed["inputs_sha256"]
        for name in ("code_sha256", "inputs_sha256", "outcome", "isolation", *(file["path"] for file in run["shared"])):
            hidden = isinstance(detail.get(name), str) and HIDDEN in detail[name]
            if name in detail and not hidden and detail[name] != known.get(name):
                told = _WORDS.get(name, "text of its shared code")
                yield f"Audit record {record['seq']} tells another {told} of the run than the run's record."
        if record["actor"] != run["actor"]:
            yield f"Audit record {record['seq']} names another caller than the run's record."


HIDDEN = "***"
"""What the audit has in the place of a secret, be it one of its own words by chance."""

RUN_ACTIONS = ("run", "admin_run", "admin_end")
"""Of audit records that are about a run itself."""

_WORDS = {"code_sha256": "text", "inputs_sha256": "input", "outcome": "outcome", "isolation": "isolation"}

_PARTS: Mapping[str, Callable[[Part], Iterator[str]]] = {
    "the text": _code,
    "the shared code": _shared,
    "the inputs": _inputs,
    "the output": _output,
    "the result": _result,
    "the approval": _approval,
    "the packages": _packages,
    "the audit": _audit,
}


def subject_of(run_id: int, name: str) -> str:
    """Return how the audit names a run."""
    return f"#{run_id} {name}"


def _content_problems(part: Part, told: str) -> Iterator[str]:
    """Hold the bytes of a part, if it has them, against their hash and their size."""
    data = _bytes_of(part)
    if data is None:
        return
    if digest(data) != part["sha256"]:
        yield f"{told} was changed: it does not have its SHA-256."
    if len(data) != part["size"]:
        yield f"{told} does not have the size that is named."


def _bytes_of(part: Part) -> bytes | None:
    if "text" in part and "base64" in part:
        raise ValueError("two contents with one hash")
    if "text" in part:
        text: str = part["text"]
        return text.encode("utf-8")
    if "base64" in part:
        try:
            return base64.b64decode(part["base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    return None


def _line(text: object) -> str:
    return text if isinstance(text, str) and text.isprintable() else "a file"
