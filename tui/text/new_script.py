"""The text that a new script begins with."""

from __future__ import annotations

from tui.text.typed_values import as_toml

_SKELETON = """# /// script
# [tool.gatewright]
# title = {title}
# description = ""
# kind = "utility"
# entrypoint = "main"
# ///


def main():
    print("hello")
    return None
"""


_SHARED = """# /// script
# [tool.gatewright]
# title = {title}
# description = ""
# ///


def hello():
    return "hello"
"""


def skeleton(path: str, title: str | None = None) -> str:
    """A script that runs as it is, or shared code that others import.

    Without ``title`` it gets one made from the file's name.
    """
    if title is None:
        stem = path.rpartition("/")[2].removesuffix(".py")
        title = stem.replace("_", " ").replace("-", " ").strip().capitalize() or stem
    return (_SHARED if path.startswith("lib/") else _SKELETON).format(title=as_toml(title))
