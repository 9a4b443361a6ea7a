"""A record of the audit in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tui.text.formats import clock

if TYPE_CHECKING:
    from engine.models.engine import AuditRecord

DIGEST = 64
"""Hexadecimal digits of a SHA-256, such as a head."""

VERIFIED_AT_ONCE = 50_000
"""Records that are verified in one answer: less than a second, after which it is shown how far it is."""

SHOWN = 12
"""Of these."""

_ELSEWHERE = frozenset(
    {"base", "inputs_sha256", "first_at", "last_at", "repeated", "what", "role", "needs", "token", "why", "scripts"}
)
"""Parts of a refusal's or a run's detail that have words of their own, or say nothing to a person."""


def is_head(text: str) -> bool:
    """Tell whether a text can be the hash of a record."""
    return len(text) == DIGEST and set(text) <= set("0123456789abcdef")


def record_text(record: AuditRecord) -> str:
    """Say what was done, about what, from where, and how it ended or what it was about in numbers."""
    if record.action == "denied":
        head, parts = _denied(record), list(_refusal(record.detail))
    else:
        head = " ".join(filter(None, (record.action.replace("_", " "), record.subject)))
        parts = list(_details(record.detail, record.action))
    head = f"{head} ({record.source})"
    return f"{head}: {', '.join(parts)}" if parts else head


def _denied(record: AuditRecord) -> str:
    what, script = record.detail.get("what", record.subject), record.detail.get("script")
    return f"refused: {what}: {script}" if script else f"refused: {what}"


def _refusal(detail: Mapping[str, Any]) -> Iterator[str]:
    """Why a call or a login was refused, and how often."""
    if "repeated" in detail:
        until = f" until {clock(detail['last_at'])}" if "last_at" in detail else ""
        yield f"{detail['repeated']} more {'time' if detail['repeated'] == 1 else 'times'}{until}"
    if "token" in detail:
        yield f"{detail.get('why', 'wrong')} token {detail['token']}"
    if "scripts" in detail:
        yield f"its token is for {detail['scripts']} only"
    elif "needs" in detail:
        yield f"needs the role {detail['needs']}, has {detail.get('role', 'none')}"


def _details(detail: Mapping[str, Any], action: str) -> Iterator[str]:
    """What else is known of something that was done: the outcome and counts first, hashes last."""
    known = dict(detail)
    if outcome := known.pop("outcome", ""):
        yield str(outcome)
    if action == "run" and "runs" in known:
        yield from _counts(known)
    sentences = [known.pop(key, "") for key in ("problem", "reason")]
    yield from (str(one).removesuffix(".") for one in sentences if one)
    if "expires_at" in known and (until := known.pop("expires_at")) is not None:
        yield f"until {clock(until)}"
    if isinstance(level := known.get("isolation"), str):
        known["isolation"] = level.partition(":")[0]  # its layers are in the record
    if isinstance(lasted := known.get("duration"), float):
        known["duration"] = f"{lasted:.3g} s"
    hidden = _ELSEWHERE if action == "run" else frozenset({"base"})
    digests = []
    for name, value in known.items():
        if name in hidden or value in (None, "", [], {}):
            continue
        if isinstance(value, str) and len(value) == DIGEST and value.isalnum():
            digests.append(f"{_word(name)} {value[:SHOWN]}")
        else:
            yield f"{_word(name)} {_value(value)}"
    yield from digests


def _counts(known: dict[str, Any]) -> Iterator[str]:
    """Take out and say what a record that stands for many runs counts."""
    runs, failed, last = known.pop("runs"), known.pop("failures", 0), known.pop("last_run", 0)
    if runs > 1:
        yield f"{runs} runs from {clock(known['first_at'])} to {clock(known['last_at'])}, the last is #{last}"
    if failed:
        yield f"{failed} failed"
    if (different := known.pop("inputs_distinct", 1)) > 1:
        yield f"{different} different inputs"


def _word(name: str) -> str:
    if "." in name:  # a setting, or a file of shared code: as it is written there
        return name
    return {"sha256": "text", "code_sha256": "text", "inputs_sha256": "inputs"}.get(name, name.replace("_", " "))


def _value(value: object) -> str:
    """A value of a detail; permissions are JSON text there."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(_value(one) for one in value)
    if isinstance(value, dict):
        return " ".join(str(value[key]) for key in ("access", "path") if key in value) or json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
