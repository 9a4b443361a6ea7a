"""A new script runs as it is and its frontmatter says what was asked for."""

from __future__ import annotations

import shlex
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import BadName
from store.files import names
from tui.text import script_names
from tui.text.new_script import skeleton


def frontmatter(text: str) -> dict[str, object]:
    """The TOML of a PEP 723 block."""
    lines = text.split("\n")
    block = lines[1 : lines.index("# ///", 1)]
    tool = tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in block))["tool"]
    return dict(tool["gatewright"])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_title_survives(title: str) -> None:
    assert frontmatter(skeleton("a.py", title))["title"] == title


@pytest.mark.parametrize(
    ("path", "title"), [("night/tag_diff.py", "Tag diff"), ("cert-expiry.py", "Cert expiry"), ("_.py", "_")]
)
def test_the_title_comes_from_the_file_name(path: str, title: str) -> None:
    assert frontmatter(skeleton(path))["title"] == title


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(compile(skeleton("a.py"), "a.py", "exec"), names)
    main = names["main"]
    assert callable(main)
    main()
    assert capsys.readouterr().out == "hello\n"


@given(st.text(max_size=40) | st.text(alphabet="ab./-\\ é\u0301\n:", max_size=20))
def test_a_typed_name_means_what_it_means_to_the_engine(name: str) -> None:
    try:
        meant = names.script_path(name)
    except BadName:
        better = script_names.better_name(name)
        assert better != script_names.script_path(name)
        assert names.path_problem(better) in (None, names.path_problem("con.py")) or len(name) > 40
    else:
        assert script_names.script_path(name) == meant


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("x.txt", "x_txt.py"),
        ("report.v2", "report_v2.py"),
        ("../../etc/x", "etc/x.py"),
        ("/srv/x.py", "srv/x.py"),
        ("a:b?.py", "a_b_.py"),
        ("-rf", "rf.py"),
        ("a.py/b", "a/b.py"),
        ("con", "con_1.py"),
        ("", "script.py"),
    ],
)
def test_a_name_that_will_not_do_gets_one_like_it_that_does(name: str, better: str) -> None:
    assert script_names.better_name(name) == better
    assert names.script_path(better) == better


def test_a_word_for_a_shell_is_one_word_and_drives_no_terminal() -> None:
    assert shlex.split(script_names.quoted("it's a \x1b[2J $(name)")) == ["it's a ?[2J $(name)"]
