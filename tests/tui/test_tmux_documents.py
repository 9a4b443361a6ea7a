"""Macros and documents as a person has them: in tmux, a macro beside its document, and a render that is cancelled."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from console_support import write_script
from tmux_support import PROGRAM, Terminal, console_line, gatewright, terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the session needs it"),
]

LAMP = """\
# /// script
# [tool.gatewright]
# kind = "macro"
# entrypoint = "render"
# [tool.gatewright.params.state]
# type = "choice"
# choices = ["on", "off"]
# ///
def render(params, context):
    return "<b>" + params["state"] + "</b>"
"""
SLOW = """\
# /// script
# [tool.gatewright]
# kind = "macro"
# entrypoint = "render"
# ///
import time


def render(params, context):
    time.sleep(0.02)
    return "<i>slow</i>"
"""
NIGHT = """\
---
title: Night shift
---

Line 3: [[lamp state=on]]

Line 4: [[lamp state=broken]] [[nosuch]]
"""
DOCUMENTS = 2000


@pytest.fixture
def project(tmp_path):
    """A project with two macros and a document; its engine is stopped afterwards."""
    root = tmp_path / "plant-a"
    write_script(root, "macros/lamp.py", LAMP)
    write_script(root, "macros/slow.py", SLOW)
    (root / "documents").mkdir()
    (root / "documents/night.md").write_text(NIGHT)
    yield root
    gatewright(root, "engine", "stop", "--force")


@pytest.mark.parametrize(
    ("term", "size"), [("screen-256color", (80, 24)), ("xterm", (120, 40)), ("linux", (80, 24))], ids=str
)
def test_a_macro_beside_its_document_and_a_render_that_is_cancelled(tmp_path, project, term, size):
    environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": term}
    with terminal(tmp_path, size) as t:
        t.run(f"TERM={term} {console_line()}", project, environment)
        t.shows("night.md", "pool [...] 0/3", "Run F5")
        preview_a_document(t)
        change_a_macro_beside_its_document(t, project)
        cancel_a_render(t, project, tmp_path)


def preview_a_document(t: Terminal) -> None:
    t.keys("C-o")
    t.shows("open a script or document")
    t.enter("night.md")
    t.until(lambda: "documents/night.md" in t.text.splitlines()[0], "the document is open")
    t.shows("Problems 2")
    t.keys("C-\\")
    t.shows("Preview: 3 tags, 2 problems", "+Line 3: <b>on</b>", "nosuch")
    t.keys("F3", "2")
    t.shows("[Problems 2]", "7:9", "error")
    t.keys("Escape")


def change_a_macro_beside_its_document(t: Terminal, project) -> None:
    t.keys("C-o")
    t.shows("open a script or document")
    t.enter("lamp")
    t.until(lambda: "macros/lamp.py" in t.text.splitlines()[0], "the macro is open")
    t.shows("In night.md: 3 tags", "-Line 3: [[lamp state=on]]", "+Line 3: <b>on</b>")
    t.keys("C-End", "Up", "End")
    t.type(' + "!"')
    t.shows("+Line 3: <b>on</b>!", "macros/lamp.py *")
    assert (project / "scripts/macros/lamp.py").read_text() == LAMP, "the preview needs no save"
    t.keys("C-s")
    t.shows("saved macros/lamp.py")
    t.keys("C-\\", "C-\\")
    t.hides("In night.md")


def cancel_a_render(t: Terminal, project, tmp_path) -> None:
    source, out = tmp_path / "src", tmp_path / "out"
    source.mkdir()
    for number in range(DOCUMENTS):
        (source / f"{number}.md").write_text(f"Number {number}: [[slow]]\n")
    command = [PROGRAM, "render", str(source), "--out", str(out), "--project", str(project)]
    render = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        t.keys("F3", "3")
        t.shows("[Tasks 1]")
        t.until(
            lambda: re.search(r"#\d+ +render [1-9][\d,]*/2,000 +[\d.]+/s +\S.* left", t.text), "progress, rate and end"
        )
        t.keys("Home", "k")
        t.shows(" cancelled", "[Tasks]")
        said, _ = render.communicate(timeout=30)
    finally:
        render.kill()
    assert render.returncode != 0
    assert "cancelled" in said
    assert 0 < len(list(out.glob("*.md"))) < DOCUMENTS
    t.until(lambda: re.search(r"#\d+ +render +cancelled", t.text), "its record is among the runs")
