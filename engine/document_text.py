"""A document's text: where its front matter stands, and which images it links to. Opens nothing.

The engine and the client that renders a tree of files read documents by this one piece of code.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

DOCUMENT_SUFFIXES = (
    ".md", ".markdown", ".txt", ".text", ".html", ".htm", ".xhtml", ".rst", ".adoc", ".asciidoc", ".org", ".textile",
)  # fmt: skip
"""Of documents, in a project as in any tree that is rendered."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif", ".bmp", ".tif", ".tiff")
SIDECAR_SUFFIX = ".meta"
"""Of the file beside an image that tells about it: ``plant.jpg.meta``."""

MAX_FRONT_MATTER = 64 << 10
"""Characters of front matter that are read; a longer one has an end, and says nothing."""

FRONT_MATTER_LINE = 2
"""The line of a document on which its front matter begins."""

MAX_LINKS = 1_000
"""Links that one document can have; the rest of its images are not found."""

_FENCE = re.compile(r"---[ \t]*\r?\n")
_END = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)", re.MULTILINE)

_LINKS = re.compile(
    r"""
    \]\([ \t]*(?:<(?P<angle>[^<>\n]{1,2000})>|(?P<plain>[^\s()<>]{1,2000}))   # ![text](image.png) and [text](image.png)
    | ^[ ]{0,3}\[[^\]\n]{1,200}\]:[ \t]*<?(?P<reference>[^\s<>]{1,2000})      # [name]: image.png
    | \b(?:src|href)[ \t]*=[ \t]*(?:"(?P<double>[^"\n]{1,2000})"|'(?P<single>[^'\n]{1,2000})')   # <img src="image.png">
    | ^[ \t]*\.\.[ \t]+(?:\|[^|\n]{1,200}\|[ \t]+)?(?:image|figure)::[ \t]+(?P<rst>[^\n]{1,2000})   # .. image:: a.png
    | \bimage::?(?P<adoc>[^\s\[\]:]{1,2000})\[                        # image::image.png[text]
    """,
    re.MULTILINE | re.VERBOSE,
)
_IMAGE_NAME = re.compile("|".join(map(re.escape, IMAGE_SUFFIXES)), re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


class FrontMatterPlace(NamedTuple):
    """The YAML between the first two lines of ``---``, and where the text behind them begins."""

    yaml: str
    body: int
    """Index into the whole text."""
    too_long: bool = False


def front_matter_of(text: str) -> FrontMatterPlace | None:
    """Find the front matter of a document; None where it has none.

    It begins on the first line, after a byte order mark at most, and ends at the next line that is ``---`` or ``...``.
    Without such a line there is none: three dashes alone are a rule across the page.
    """
    start = 1 if text.startswith("\ufeff") else 0
    opening = _FENCE.match(text, start)
    if opening is None:
        return None
    ending = _END.search(text, opening.end(), opening.end() + MAX_FRONT_MATTER + 4)
    if ending is None:
        too_long = len(text) > opening.end() + MAX_FRONT_MATTER
        if too_long and (end := _END.search(text, opening.end())) is not None:
            return FrontMatterPlace("", end.end(), too_long=True)
        return None
    return FrontMatterPlace(text[opening.end() : ending.start()], ending.end())


def is_image(name: str) -> bool:
    """Tell whether a file of this name is an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def image_links(text: str) -> list[str]:
    """Return the images of this project that a text links to, as written, each once, in their order.

    Links of Markdown, HTML, reStructuredText and AsciiDoc are found, without a parser of any of them: an image that
    only an example names counts too. Links to other hosts do not.
    """
    found: dict[str, None] = {}
    if _IMAGE_NAME.search(text) is None:  # in a fifth of the time that looking for links takes
        return []
    for match in _LINKS.finditer(text):
        link = (match[match.lastgroup] if match.lastgroup else "").strip()
        if link and not _SCHEME.match(link) and is_image(_without_query(link)):
            found[link] = None
            if len(found) == MAX_LINKS:
                break
    return list(found)


def linked_path(document: str, link: str) -> str | None:
    """Return the path, relative to the root, that a link in a document leads to; None if it leads out of the root.

    A link that begins with ``/`` is relative to the root.
    """
    target = unquote(_without_query(link))
    parts = [] if target.startswith("/") else document.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None


def _without_query(link: str) -> str:
    return re.split(r"[?#]", link, maxsplit=1)[0]
