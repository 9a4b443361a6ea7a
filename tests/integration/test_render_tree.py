"""A real documentation tree with tags of every bundled macro is rendered as users do it."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project
from macro_pages import checked

NODE = Path("/usr/share/doc/nodejs/api")
"""Of Debian's nodejs: some sixty long documents."""

TAGS = {
    "youtube": '[[youtube id=dQw4w9WgXcQ title="A ]] in quotes"]]',
    "vimeo": "[[vimeo id=76979871]]",
    "gallery": "[[Gallery columns=2 caption='Two of them']]",
    "photo_archive": "[[photo-archive]]",
    "photo_album": "[[photo_album\n  year=2026\n  month=6]]",
    "tag_cloud": "[[tag_cloud orientation=hv]]",
    "table": '[[table columns="Tank, Level" rows="T1, 52.4\n\nT2, 40"]]',
    "badge": '[[badge text="Pump <3>" status=ok]]',
    "value": "[[value value=81.5 unit=% low=20 high=80]]",
    "chart": '[[chart values="52, 54.1, -, 61" title=Level high=60]]',
}
SIGNS = {name: f"macro-{name.replace('_', '-')}" for name in TAGS} | {"photo_album": "macro-photo-archive"}
EACH = 3
"""Tags of each document, one after the other of all."""


def picture() -> bytes:
    """One pixel (PNG, 5)."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(b"\0\0")
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", pixel) + part(b"IEND", b"")


def of_packages() -> dict[str, bytes]:
    """What the packages of this environment say about themselves: Markdown and reStructuredText of many authors."""
    found: dict[str, bytes] = {}
    for package in distributions():
        text = package.read_text("METADATA") or ""
        body = text.partition("\n\n")[2]
        if len(body) > 500:
            name = package.metadata["Name"].lower()
            found[f"{name[0]}/{name}.md"] = body.encode("utf-8", "surrogateescape")
    return found


def of_node() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(NODE.glob("*.md"))}


class Tree:
    """The source: each document begins with front matter and ``EACH`` tags, and is its author's from there on."""

    def __init__(self, root: Path, texts: dict[str, bytes]) -> None:
        self.root = root
        self.texts = texts
        self.heads: dict[str, bytes] = {}
        self.names: dict[str, list[str]] = {}
        names = itertools.cycle(TAGS)
        for number, (path, text) in enumerate(texts.items()):
            self.names[path] = [next(names) for _ in range(EACH)]
            up = "../" * path.count("/")
            head = f"---\nstatus: published\ntags: [all, group {number % 4}]\nimages: [{up}pics/one.png]\n---\n"
            self.heads[path] = head.encode()
            tags = "\n\n".join(TAGS[name] for name in self.names[path]).encode()
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.heads[path] + tags + b"\n\n" + text)
        (root / "pics").mkdir()
        for name in ("one", "two"):
            (root / "pics" / f"{name}.png").write_bytes(picture())
            (root / "pics" / f"{name}.png.meta").write_text(f"created: 2026-06-0{len(name)}\nalt: The pixel {name}\n")

    def using(self, *macros: str) -> int:
        return sum(not set(macros).isdisjoint(names) for names in self.names.values())

    def check(self, out: Path) -> None:
        """Every document is its source but for the tags at its beginning, and these have become HTML."""
        for path, text in self.texts.items():
            made = (out / path).read_bytes()
            assert made.startswith(self.heads[path]), path
            assert made.endswith(b"\n\n" + text), path
            lines = made[len(self.heads[path]) : len(made) - len(text) - 2].decode().split("\n\n")
            assert len(lines) == EACH, path
            for name, line in zip(self.names[path], lines, strict=True):
                root = checked(line)
                assert any(SIGNS[name] in element.classes for element in root.every("*")), (path, name)
                if name in ("gallery", "photo_archive", "photo_album"):
                    image = root.every("img")[0].attributes
                    assert image["alt"].startswith("The pixel")
                    assert ((out / path).parent / image["src"]).resolve().is_file()
                if name == "tag_cloud":
                    assert root.every("a")[0].text == "all"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("tree") / "plant") as made:
        yield made


def rendered(project: CliProject, tree: Tree, out: Path) -> str:
    """Render; what the command said."""
    done = project.call("render", str(tree.root), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert " error: " not in done.stdout
    assert " parameter: " not in done.stdout
    return done.stderr


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(of_packages, id="packages"),
        pytest.param(
            of_node,
            id="node",
            marks=[pytest.mark.slow, pytest.mark.skipif(not NODE.is_dir(), reason="apt-get install nodejs-doc")],
        ),
    ],
)
def test_a_documentation_tree(project: CliProject, tmp_path: Path, texts) -> None:
    tree, out = Tree(tmp_path / "docs", texts()), tmp_path / "out"
    every = len(tree.texts)
    assert every >= 20
    assert all(tree.using(name) for name in TAGS)
    assert f"{every} documents rendered, 0 unchanged" in rendered(project, tree, out)
    tree.check(out)
    before = {path: (out / path).stat().st_mtime_ns for path in tree.texts}
    assert f"0 documents rendered, {every} unchanged" in rendered(project, tree, out)
    assert {path: (out / path).stat().st_mtime_ns for path in tree.texts} == before

    badge = project.root / "scripts/macros/badge.py"
    original = badge.read_text()
    badge.write_text(original.replace('class="macro-badge', 'class="other macro-badge'))
    few = tree.using("badge")
    assert f"{few} documents rendered, {every - few} unchanged" in rendered(project, tree, out)
    tree.check(out)
    assert sum(b'"other macro-badge' in (out / path).read_bytes() for path in tree.texts) == few
    badge.write_text(original)
    rendered(project, tree, out)

    (tree.root / "new.md").write_text("---\nstatus: published\ntags: [another]\n---\n")
    few = tree.using("tag_cloud") + 1
    assert f"{few} documents rendered, {every + 1 - few} unchanged" in rendered(project, tree, out)
    tree.check(out)
