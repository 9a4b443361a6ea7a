"""A project whose every text, name and message would drive a terminal, if it reached one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

PAYLOAD = "qZ7"
"""Inside every sequence, so that one that came through can be told from the console's own."""

ATTACKS = (
    f"\x1b]52;c;{PAYLOAD}=\x07",  # clipboard
    f"\x1b]0;{PAYLOAD}\x07",  # title
    f"\x1bP{PAYLOAD}\x1b\\",  # device control string
    f"\x1b_{PAYLOAD}\x1b\\",  # application program command
    f"\x1b]8;;http://{PAYLOAD}\x1b\\link\x1b]8;;\x1b\\",  # a link
    f"\x1b[?1049l{PAYLOAD}",  # leave the alternate screen
    f"\x1b[2J{PAYLOAD}",  # clear
    f"\x9b2J{PAYLOAD}",  # the same in one character
    f"\x9d0;{PAYLOAD}\x9c",
    f"\x90{PAYLOAD}\x9c",
    f"\x1b[6n{PAYLOAD}\x05",  # questions that make a terminal type
    f"{PAYLOAD}\x07\x08\x0b\x0e",
    f"{PAYLOAD}\u202edrow\u2066\u2028",  # reordered
)
ALL = "".join(ATTACKS)
AS_NAME = ALL.replace("/", "")
"""Everything that a file name can hold."""

BLOCK = """# /// script
# [tool.gatewright]
# title = {title}
# description = {title}
# tags = [{title}]
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# help = {title}
{more}# ///
"""
PERMISSIONS = """# [tool.gatewright.permissions]
# read = [{path}]
"""
BODY = """# {text}
attack = {attack}
print("printed", attack)
import sys
print("warned", attack, file=sys.stderr)
raise ValueError("raised " + attack)
"""


def fill(root: Path) -> None:
    """Put hostile scripts, names, commits and changes into a new project."""
    scripts = root / "scripts"
    body = BODY.format(text=ALL, attack=json.dumps(ALL))
    asks = PERMISSIONS.format(path=_toml(f"/srv/{ALL}"))
    (scripts / "asks.py").write_text(BLOCK.format(title=_toml(ALL), more=asks) + body)
    (scripts / "form.py").write_text(BLOCK.format(title=_toml(ALL), more="") + body)
    (scripts / "plain.py").write_text(body)
    (scripts / f"name{AS_NAME}.py").write_text("x = 1\n")
    (scripts / f"folder{AS_NAME}").mkdir()
    (scripts / f"folder{AS_NAME}" / "x.py").write_text("x = 1\n")
    (scripts / "broken.py").write_text(f"# {ALL}\nx = (\n")
    (scripts / "block.py").write_text(f"# /// script\n# {_toml(ALL)} = {ALL}\n# ///\n")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", f"message {ALL}")
    (scripts / "plain.py").write_text(f"# changed {ALL}\n{body}")
    (scripts / f"new{AS_NAME}.py").write_text("x = 1\n")


def _toml(text: str) -> str:
    """A TOML string; JSON's escapes for what is not in the basic plane would be none of TOML's, and there is none."""
    return json.dumps(text)


def _git(root: Path, *command: str) -> None:
    names = {"NAME": f"Author {ATTACKS[0]}{ATTACKS[7]}{ATTACKS[12]}", "EMAIL": "a@plant.example"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in names.items()},
    }
    subprocess.run(["git", *command], cwd=root, env=environment, check=True, capture_output=True)
