"""``gatewright scripts set``: values as they are typed, exit codes, and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cli_support import CliProject, cli_project, in_terminal

TEXT = '# /// script\n# [tool.gatewright]\n# kind = "utility"   # or macro\n# ///\ndef main():\n    return 1\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


@pytest.fixture(autouse=True)
def script(project: CliProject) -> None:
    project.script("own/report.py", TEXT)


def text(project: CliProject) -> str:
    return (project.root / "scripts" / "own" / "report.py").read_text()


def test_a_script_is_set_as_macro_and_back(project: CliProject) -> None:
    done = project.call("scripts", "set", "report", "--macro")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "gatewright: own/report.py has new values for kind\n"
    assert text(project) == TEXT.replace('"utility"', '"macro"')
    assert project.call("scripts", "set", "own/report.py", "--utility").returncode == 0
    assert text(project) == TEXT


def test_what_will_keep_it_from_running_is_said(project: CliProject) -> None:
    done = project.call("scripts", "set", "report", "entrypoint=start")
    assert done.returncode == 0
    assert "The script defines no function start" in done.stderr
    done = project.call("scripts", "set", "report", 'permissions.read=["/no/such/folder"]')
    assert done.returncode == 0
    assert '"/no/such/folder" does not exist' in done.stderr
    done = project.call("scripts", "set", "report", 'permissions.read=["logs"]')
    assert done.returncode == 2
    assert "own/report.py was not changed" in done.stderr
    assert '"logs" is not absolute' in done.stderr


def test_values_are_toml_or_text_and_shown(project: CliProject) -> None:
    values = (
        "title=Night report",
        "description=counts = 3, it says",
        "enabled=false",
        'tags=["night", "logs"]',
        "preload=[]",
        "entrypoint=main",
        "requires-python=>=3.11",
        'dependencies=["pandas>=2"]',
        "limits.timeout=1.5",
        "limits.memory=1 GiB",
        "limits.parallel=2",
        "params.hours.type=int",
        "params.hours.default=24",
        "params.hours.help=look back",
    )
    info = project.json("scripts", "set", "report", *values)
    assert info["title"] == "Night report"
    assert info["description"] == "counts = 3, it says"
    assert info["enabled"] is False
    assert info["memory"] == 1 << 30
    assert info["params"] == [{"name": "hours", "type": "int", "default": 24, "required": False, "help": "look back"}]
    about = project.call("scripts", "show", "report", "--about").stdout
    shown = ["Night report", "night, logs", "disabled", ">=3.11", "pandas>=2", "1.5 s", "1.0 GiB", "parallel", "look"]
    assert not [words for words in shown if words not in about], about
    assert project.call("scripts", "set", "report", "--unset", "params.hours", "--unset", "title").returncode == 0
    assert "hours" not in text(project)
    assert "title" not in text(project)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("titel=x",), "did you mean title?"),
        (("title=3",), "title must be text, not a number"),
        (("enabled=yes",), "enabled must be true or false, not text"),
        (("kind=makro",), "kind must be utility or macro"),
        (("limits.timeout=nan",), "timeout must be a number of seconds, not text"),
        (("limits.memory=99999999999999999999",), "64 bits"),
        (("params.x.default=1979-05-27", "params.x.type=int"), "does not fit its type"),
        (("params.x=3",), "whole param"),
        (("title",), "is no KEY=VALUE"),
        (("=x",), "is no KEY=VALUE"),
        (("title=a", "title=b"), "given twice"),
        (("title=a", "--unset", "title"), "given twice"),
        (("--macro", "kind=macro"), "given twice"),
        ((), "Name a key"),
        ((b"title=\xff".decode(errors="surrogateescape"),), "lone surrogate"),
    ],
)
def test_what_cannot_be_set_is_usage(project: CliProject, arguments: tuple[str, ...], said: str) -> None:
    done = project.call("scripts", "set", "report", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert text(project) == TEXT


def test_an_unknown_script_is_usage(project: CliProject) -> None:
    done = project.call("scripts", "set", "own/reports", "--macro")
    assert done.returncode == 2
    assert "own/report" in done.stderr


def test_another_text_than_the_one_meant_is_a_conflict(project: CliProject) -> None:
    done = project.call("scripts", "set", "report", "--macro", "--sha256", "0" * 64)
    assert done.returncode == 5
    assert text(project) == TEXT
    sha256 = project.json("scripts", "show", "report")["info"]["sha256"]
    assert project.call("scripts", "set", "report", "--macro", "--sha256", sha256.upper()).returncode == 0


def test_a_refusal_is_json_where_that_is_asked_for(project: CliProject) -> None:
    done = project.call("--json", "scripts", "set", "report", "tags=3")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert answer["code"] == "bad_frontmatter"
    assert answer["error"] == "own/report.py was not changed: tags must be a list of texts, not a number."


def test_permissions_that_wait_are_said(project: CliProject) -> None:
    done = project.call("scripts", "set", "report", 'permissions.read=["/data/logs"]')
    assert done.returncode == 0
    assert "gatewright scripts approve own/report.py" in done.stderr


def test_hostile_keys_do_not_drive_the_terminal(project: CliProject) -> None:
    status, shown = in_terminal(project.command("scripts", "set", "report", "\x1b[2J\x07=\x1b]0;x\x07"))
    assert status == 2
    assert "\x1b" not in shown
    assert "\x07" not in shown


UNKNOWN = """# /// script
# [tool.gatewright]
# unk = 1
# "a.b" = 2
# timeout = 5
# description = "d"
# [tool.gatewright.params.n]
# typ = "int"
# help = "h"
# [tool.gatewright.limit]
# memory = 1
# ///
"""


def test_keys_that_no_header_knows_are_removed_and_it_is_said_what_was(project: CliProject) -> None:
    project.script("own/report.py", UNKNOWN)
    for key in ("unk", "a.b", "timeout", "params.n.typ", "limit", "description"):
        done = project.call("scripts", "set", "report", "--unset", key)
        assert (done.returncode, done.stderr) == (0, f"gatewright: own/report.py: removed {key}\n")
    kept = '# /// script\n# [tool.gatewright]\n# [tool.gatewright.params.n]\n# help = "h"\n# ///\n'
    assert text(project) == kept
    for key in ("unk", "params.n.typ", "limits"):
        done = project.call("scripts", "set", "report", "--unset", key)
        assert (done.returncode, "no key" in done.stderr, text(project)) == (2, True, kept)
    done = project.call("scripts", "set", "report", "--unset", "description", "--unset", "params.m", "enabled=false")
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [
            "gatewright: own/report.py has new values for enabled",
            "gatewright: own/report.py has no description and no params.m in its header: nothing to remove",
        ],
    )
    done = project.call("scripts", "set", "report", "--unset", "params.n")
    assert done.stderr == "gatewright: own/report.py: removed params.n\n"
