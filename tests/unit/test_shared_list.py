"""``engine list`` on a terminal of 80 columns: a sentence about a project is there whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tui.commands.shared_projects import SharedProject, print_projects

SENTENCE = "gwmember has no role in this shared project, which belongs to gwowner, whose engine says so at length."


class Terminal:
    """Lines that it got."""

    is_terminal = True

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines += text.split("\n")


def test_a_sentence_is_not_cut_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    invocation = SimpleNamespace(streams=SimpleNamespace(out=terminal))
    listed = [
        SharedProject("plant-a", "gwowner", problem=SENTENCE),
        SharedProject("plant-b", "gwowner", answers=True, role="operator", project="/srv/plant-b"),
    ]
    print_projects(cast(Any, invocation), listed)
    assert max(map(len, terminal.lines)) <= 80
    head, first, *sentence, second = terminal.lines
    assert head.split() == ["project", "owner", "your", "role", "folder"]
    assert (first.split(), second.split()) == (["@plant-a", "gwowner", "-", "-"],
                                               ["@plant-b", "gwowner", "operator", "/srv/plant-b"])  # fmt: skip
    assert " ".join(line.strip() for line in sentence) == SENTENCE
