"""What macros return, read as HTML that has to be well formed and accessible."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "line", "circle", "rect", "path", "polyline"}
USED = VOID | {
    *(
        "div",
        "span",
        "figure",
        "figcaption",
        "section",
        "h3",
        "iframe",
        "a",
        "ul",
        "li",
        "svg",
        "title",
        "desc",
        "text",
    ),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "data"),
}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    parts: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [part for part in self.parts if isinstance(part, Element)]

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    def every(self, tag: str, name: str = "") -> list[Element]:
        """All below it with that tag, and with that class if one is named."""
        found = [one for child in self.children for one in [child, *child.every("*")]]
        return [one for one in found if tag in (one.tag, "*") and (not name or name in one.classes)]

    def one(self, tag: str, name: str = "") -> Element:
        (element,) = self.every(tag, name)
        return element

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


class Page(HTMLParser):
    """Takes HTML that is well formed, and complains about anything else."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.open = Element("", {})
        self.feed(text)
        self.close()
        assert self.open is self.root, f"<{self.open.tag}> is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in USED
        assert len({name for name, _ in attrs}) == len(attrs), "an attribute is there twice"
        assert not any(name.startswith("on") or name == "srcdoc" for name, _ in attrs)
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.parts.append(element)
        if tag not in VOID:
            self.open = element

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.tag == tag, f"</{tag}> ends <{self.open.tag}>"
            assert self.open.parent is not None
            self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.parts.append(data)

    def unknown(self, data: str) -> None:
        raise AssertionError(f"no element: {data!r}")

    handle_comment = handle_decl = handle_pi = unknown_decl = unknown  # type: ignore[assignment]


def checked(text: str) -> Element:
    """The elements of a macro's HTML, which is accessible and stays one block in Markdown."""
    assert "\n" not in text
    root = Page(text).root
    for element in root.every("*"):
        attributes = element.attributes
        assert "id" not in attributes, "a page may have the same macro twice"
        if element.tag == "img":
            assert attributes["alt"]
            assert attributes["loading"] == "lazy"
        if element.tag == "iframe":
            assert attributes["title"]
        if element.tag == "th":
            assert attributes["scope"] in ("row", "col")
        if element.tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
            assert [child.tag for child in element.children[:2]] == ["title", "desc"]
            assert all(child.text for child in element.children[:2])
        if element.tag == "figcaption":
            assert element.parent is not None
            assert element.parent.tag == "figure"
        if element.tag == "a":
            assert attributes["href"]
            assert not attributes["href"].lower().startswith(("javascript:", "data:", "//"))
    return root
