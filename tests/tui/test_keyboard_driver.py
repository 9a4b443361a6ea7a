"""The driver that reads the terminal: pieces are one paste, and nothing that arrives ends the program."""

from __future__ import annotations

import sys

import pytest
from pty_session import PtySession

APP = """
import sys
from textual import events
from textual.app import App
from textual.widgets import Static
from tui.terminal.bursts import KeyBurst
from tui.terminal.diff_driver import driver_class

class Told(App):
    said = []
    def compose(self):
        yield Static("ready", markup=False)
    async def on_event(self, event):
        if isinstance(event, (events.Key, events.Paste, KeyBurst)):
            told = {events.Key: "key", events.Paste: "text"}.get(type(event), "keys")
            what = "".join(key.character for key in event.keys) if told == "keys" else getattr(event, told)
            self.said.append(f"{told} {len(what) if len(what) > 40 else what!r}")
            self.query_one(Static).update("\\n".join(self.said))
        else:
            await super().on_event(event)

Told(driver_class=driver_class(diff=sys.argv[1] == "diff")).run()
"""


@pytest.fixture(params=["diff", "whole"])
def session(tmp_path, request):
    script = tmp_path / "told.py"
    script.write_text(APP)
    with PtySession([sys.executable, str(script), request.param]) as opened:
        assert opened.wait_for("ready", 20), opened.text
        yield opened


def test_what_the_terminal_sends_is_told_in_order(session):
    session.send(b"caf\xc3\xa9\n\xff\n")
    assert session.wait_for("text 'café\\n\\ufffd\\n'".replace("\\ufffd", "\ufffd"), 20), session.text
    session.send(b"ab\x1b[15~c")
    assert session.wait_for("key 'c'", 20), session.text
    session.send(b"line\n" * 4000)
    assert session.wait_for("text 20000", 20), session.text
    session.send(b"\x1b")
    assert session.wait_for("key 'escape'", 20), session.text
    told = [line.strip() for line in session.text.split("\n") if line.strip()]
    assert told[1:] == ["keys 'ab'", "key 'f5'", "key 'c'", "text 20000", "key 'escape'"]
