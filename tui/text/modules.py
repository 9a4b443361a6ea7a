"""What scripts may import, for people: one module in two lines, or both modes with their refusals by reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tui.text.sanitise import sanitise_line
from tui.text.table import fields

if TYPE_CHECKING:
    from engine.models.checks import ModuleReport, ModuleVerdict

PIPE_WIDTH = 100
"""Columns where there is no terminal: a list of three hundred names in one line is of no use to anybody."""

_ORIGINS = {
    "standard": "standard library",
    "installed": "installed for scripts here",
    "missing": "not installed for scripts here",
}
_MAY = "may be imported"
_PRESETS = {
    "classic": "a short list",
    "default": "the standard library but for what could only fail",
    "practical": "the standard library but for what could only fail, with os and threading",
}


def described(report: ModuleReport, width: int | None) -> str:
    """Return the report as lines of ``width``; None for no terminal."""
    width = min(width or PIPE_WIDTH, PIPE_WIDTH)
    if len(report.modules) == 1:
        return _one(report.modules[0], width)
    return _all(report, width)


def _one(verdict: ModuleVerdict, width: int) -> str:
    return fields(
        [
            (verdict.name, _ORIGINS.get(verdict.origin, verdict.origin)),
            ("RESTRICTED", verdict.restricted_refusal or _MAY),
            (
                "ADMIN",
                verdict.admin_refusal or (_MAY if verdict.origin != "missing" else f"{_MAY}, once it is installed"),
            ),
        ],
        width=width,
    )


def _all(report: ModuleReport, width: int) -> str:
    taken = [verdict.name for verdict in report.modules if verdict.restricted]
    restricted = {each.name: each.restricted_refusal for each in report.modules if not each.restricted}
    admin = {each.name: each.admin_refusal for each in report.modules if not each.admin}
    may = _PRESETS.get(report.preset, "what is listed here")
    paragraphs = [
        (f'RESTRICTED scripts may import {may} (policy.preset = "{report.preset}"):', _names(taken, width)),
        (
            "Installed packages: those that policy.modules of settings.toml names:",
            _names(report.added or ["none"], width),
        ),
        ("They may not import:", _refusals(restricted, width)),
        ("ADMIN scripts may import everything that is installed, but not:", _refusals(admin, width)),
    ]
    if report.lifted:
        paragraphs.append(("Lifted in both modes by policy.lifted of settings.toml:", _names(report.lifted, width)))
    wrapped = ("\n".join([*textwrap.wrap(sanitise_line(title), width), *lines]) for title, lines in paragraphs)
    return "\n\n".join(wrapped)


def _names(names: Iterable[str], width: int) -> list[str]:
    text = sanitise_line(" ".join(names))
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _refusals(sentences: dict[str, str], width: int) -> list[str]:
    """Names that are refused for the same reason, then the reason."""
    by_reason: dict[str, list[str]] = {}
    for name, sentence in sentences.items():
        by_reason.setdefault(sentence.partition(": ")[2] or sentence, []).append(name)
    lines = []
    for reason, names in sorted(by_reason.items(), key=lambda item: item[1]):
        lines += _names(names, width)
        shown = sanitise_line(reason[:1].upper() + reason[1:])
        lines += textwrap.wrap(shown, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return lines
