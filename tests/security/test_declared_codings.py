"""The catalogue's declared encodings are real: Python itself runs what a reader takes for a comment."""

from __future__ import annotations

import pytest
from catalogue.allowed import CODINGS

from store.frontmatter.coding import coding_problem


@pytest.mark.parametrize("name", CODINGS)
def test_python_obeys_a_declaration_and_we_refuse_it(name: str) -> None:
    source = f"# coding: {name}\n{CODINGS[name]}\n"
    exec(compile(source, "read", "exec"))
    with pytest.raises(SystemExit, match="other code"):
        exec(compile(source.encode(), "obeyed", "exec"))
    assert f"declares the encoding {name} in line 1" in (coding_problem(source.encode()) or "")
