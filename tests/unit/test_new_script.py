"""A new script runs as it is and its frontmatter says what was asked for."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
