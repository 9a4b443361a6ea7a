"""A script's bytes as text, and what keeps them from being one."""

from __future__ import annotations

from dataclasses import replace

from store.frontmatter.coding import coding_problem
from store.frontmatter.read import Frontmatter, parse


def read_script(data: bytes, path: str) -> tuple[str, Frontmatter]:
    """The text of a script, and what it says about itself. What is no text has that as its problem.

    Args:
        data: What the file holds.
        path: Its path, which gives the title when nothing else does.
    """
    problem = coding_problem(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "replace")
        problem = problem or f"It is not UTF-8 text (byte {error.start})."
    if problem is None and (place := data.find(b"\0")) >= 0:
        problem = f"It is not text: it holds a NUL (byte {place})."
    front = parse(text, path)
    return text, front if problem is None else replace(front, problem=problem)
