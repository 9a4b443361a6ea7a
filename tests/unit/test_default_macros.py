"""The bundled macros: each by tags as documents have them, on documents that a stand-in knows, and its HTML parsed."""

from __future__ import annotations

import datetime as dt
import html
import json
import sys
import types
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from macro_pages import Element, checked
from markdown_it import MarkdownIt

from default_scripts import bundle
from engine.models.scripts import ParamInfo, ParamType
from engine.services.macros.parameters import declared
from engine.services.macros.tokenizer import find_tags
from store.frontmatter.read import parse

PLACE = "scripts/macros/"
TEXTS = {path[len(PLACE) : -len(".py")]: data.decode() for path, data in bundle().items() if path.startswith(PLACE)}
CODE = {name: compile(text, f"{name}.py", "exec") for name, text in TEXTS.items()}
HEADERS = {
    name: [
        ParamInfo(p.name, ParamType(p.type), p.default, p.required, p.help, list(p.choices), p.secret)
        for p in parse(text).params
    ]
    for name, text in TEXTS.items()
}
LANGUAGES = ("en", "de", "fr", "it", "es")


class Documents:
    """Stands in for ``gatewright.documents``; what it was asked is in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.known_tags: list[dict[str, Any]] = []
        self.known_images: list[dict[str, Any]] = []

    def tags(self, **params: Any) -> list[dict[str, Any]]:
        self.asked.append(("tags", params))
        return self.known_tags

    def images(self, **params: Any) -> list[dict[str, Any]]:
        self.asked.append(("images", params))
        return self.known_images


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> Documents:
    module = types.ModuleType("gatewright")
    module.documents = Documents()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gatewright", module)
    return module.documents  # type: ignore[no-any-return]


def image(path: str, created: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"path": path, "size": 1, "created": created, "title": "", "alt": "", "caption": "", "documents": []} | more


def result_of(
    tag: str, path: str = "notes/line 3.md", language: str = "", default: str = "en"
) -> tuple[str, list[str]]:
    """Text and warnings of a tag, by way of the tokenizer and the types of the macro's header."""
    (found,) = find_tags(tag)
    assert found.problem is None
    params, problems = declared(found.params, HEADERS[found.name], found.texts)
    assert problems == []
    names: dict[str, Any] = {"__name__": found.name}
    exec(CODE[found.name], names)
    document = {"path": path, "meta": {"language": language} if language else {}, "text": tag}
    context = {"document": document, "macro": found.name, "language": default, "preview": False}
    result = names["render"](params, context)
    if isinstance(result, str):
        return result, []
    assert set(result) <= {"html", "warnings"}
    return result["html"], result["warnings"]


def shown(tag: str, path: str = "notes/line 3.md", language: str = "") -> Element:
    text, warnings = result_of(tag, path, language)
    assert warnings == []
    return checked(text)


def test_all_are_there() -> None:
    assert set(TEXTS) == {
        *("youtube", "vimeo", "gallery", "photo_archive", "photo_album", "tag_cloud"),
        *("table", "badge", "value", "chart"),
    }


def test_the_example_of_each_description_works(documents: Documents) -> None:
    for name, text in TEXTS.items():
        tags = find_tags(parse(text).description)
        assert tags
        for tag in tags:
            assert tag.name == name
            assert shown(tag.raw).every("*")


def test_a_youtube_video() -> None:
    root = shown("[[youtube id=dQw4w9WgXcQ]]")
    frame = root.one("div", "macro-youtube").one("iframe").attributes
    assert frame["src"] == "https://www.youtube.com/embed/dQw4w9WgXcQ?rel=0"
    assert frame["title"] == "YouTube video"
    assert "picture-in-picture" in frame["allow"]
    assert "allowfullscreen" in frame
    assert shown('[[youtube id=12345678901 title="<Line> \\"3\\""]]').one("iframe").attributes["title"] == '<Line> "3"'
    for wrong in ("abc", "dQw4w9WgXcQQ", '"dQw4w9WgXc\\""', '"dQw4w9WgXcQ\n"', "ééééééééééé"):
        with pytest.raises(ValueError, match="YouTube id has 11"):
            result_of(f"[[youtube id={wrong}]]")


def test_a_vimeo_video() -> None:
    frame = shown("[[vimeo id=76979871]]").one("div", "macro-vimeo").one("iframe").attributes
    assert frame["src"] == "https://player.vimeo.com/video/76979871"
    assert frame["allow"] == "autoplay; fullscreen; picture-in-picture"
    assert shown("[[vimeo id=007]]").one("iframe").attributes["src"].endswith("/007")
    for wrong in ("abc", "-5", "1.5", '"1\n"', "٣"):
        with pytest.raises(ValueError, match="Vimeo id has digits only"):
            result_of(f"[[vimeo id={wrong}]]")


def test_a_gallery(documents: Documents) -> None:
    documents.known_images = [
        image("notes/pics/pump 3 #2.jpg", 20.0, title="Pump", alt="A pump", caption="Pump <3>"),
        image("shared/b.png", 10.0),
    ]
    root = shown('[[gallery columns=4 caption="Line & 3"]]')
    assert documents.asked == [("images", {"document": "notes/line 3.md"})]
    gallery = root.one("div", "macro-gallery")
    assert gallery.classes == ["macro-gallery", "gallery-cols-4"]
    assert gallery.attributes["data-post-id"] == "notes/line 3.md"
    assert (gallery.attributes["data-columns"], gallery.attributes["data-lightbox"]) == ("4", "true")
    first, second = gallery.one("div", "gallery-container").every("a", "gallery-item")
    assert first.attributes["href"] == "pics/pump%203%20%232.jpg" == first.one("img").attributes["src"]
    assert first.attributes["data-title"] == "Pump <3>"
    assert first.attributes["data-lightbox"] == "gallery-notes/line 3.md" == second.attributes["data-lightbox"]
    assert first.one("img").attributes["alt"] == "A pump"
    assert second.attributes["href"] == "../shared/b.png"
    assert (second.attributes["data-title"], second.one("img").attributes["alt"]) == ("b.png", "b.png")
    assert gallery.one("figcaption", "gallery-caption").text == "Line & 3"


def test_a_gallery_without_images_and_with_a_wrong_number_of_columns(documents: Documents) -> None:
    assert shown("[[gallery link=x]]", language="de").one("div", "gallery-empty").text.startswith("Keine verknüpften")
    for columns in ("0", "7", "-1"):
        text, (warning,) = result_of(f"[[gallery columns={columns}]]")
        assert checked(text).one("div", "macro-gallery").attributes["data-columns"] == "3"
        assert f"not {columns}" in warning


@pytest.mark.parametrize(
    ("target", "document", "address"),
    [
        ("a.png", "x.md", "a.png"),
        ("a.png", "d/x.md", "../a.png"),
        ("d/a.png", "d/x.md", "a.png"),
        ("d/e/a.png", "d/f/x.md", "../e/a.png"),
        ("d/a.png", "d/d/x.md", "../a.png"),
        ("d/a.png", "d", "d/a.png"),
        ("javascript:x", "x.md", "javascript%3Ax"),
        ('ü?&".png', "x.md", "%C3%BC%3F%26%22.png"),
    ],
)
def test_addresses_are_relative_and_encoded(documents: Documents, target: str, document: str, address: str) -> None:
    documents.known_images = [image(target)]
    for tag in ("[[gallery]]", "[[photo_archive]]"):
        assert shown(tag, document).one("img").attributes["src"] == address


def at(year: int, month: int, day: int = 1) -> float:
    return dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize("name", ["photo_archive", "Photo-Album"])
def test_an_archive_of_photos(documents: Documents, name: str) -> None:
    documents.known_images = [
        image("b.jpg", at(2026, 6, 2)),
        image("a.jpg", at(2026, 6, 30)),
        image("c.jpg", at(2025, 12)),
        image("d.jpg", 1e300),
    ]
    archive = shown(f"[[{name}]]", "x.md", "fr").one("div", "macro-photo-archive")
    assert documents.asked == [("images", {"months": 10})]
    assert archive.classes[1:] == ["photo-archive-recent-months"]
    assert archive.attributes["data-recent"] == "10"
    months = archive.every("section", "photo-archive-month")
    assert [month.one("h3").text for month in months] == ["juin 2026", "décembre 2025"]
    june = months[0].every("a", "photo-archive-item")
    assert [link.attributes["href"] for link in june] == ["a.jpg", "b.jpg"]
    assert {link.attributes["data-lightbox"] for link in june} == {"photo-archive-2026-06"}


def test_an_archive_of_a_year_or_a_month(documents: Documents) -> None:
    year = shown("[[photo_archive year=2026]]", language="it").one("div", "photo-archive-full-year")
    assert year.attributes["data-year"] == "2026"
    assert year.one("div", "photo-archive-empty").text == "Nessuna foto trovata per questo archivio."
    month = shown("[[photo_archive year=2026 month=6]]").one("div", "photo-archive-single-month")
    assert (month.attributes["data-year"], month.attributes["data-month"]) == ("2026", "6")
    assert documents.asked == [("images", {"year": 2026}), ("images", {"year": 2026, "month": 6})]
    for wrong, said in (
        ("month=6", "needs a year"),
        ("year=26", "four digits"),
        ("year=2026 month=13", "from 1 to 12"),
    ):
        with pytest.raises(ValueError, match=said):
            result_of(f"[[photo_archive {wrong}]]")


def test_the_album_is_the_archive_by_another_name() -> None:
    one, other = (TEXTS[name].partition("\nimport datetime")[2] for name in ("photo_archive", "photo_album"))
    assert one
    assert one == other


def test_a_tag_cloud(documents: Documents) -> None:
    documents.known_tags = [
        {"name": "pumps & valves", "count": 9},
        {"name": "été", "count": 5},
        {"name": "a/b", "count": 1},
        {"name": "<x>", "count": 1},
    ]
    cloud = shown("[[tag-cloud orientation=hv width=600 height=300]]").one("div", "macro-tag-cloud")
    assert documents.asked == [("tags", {"status": "published"})]
    attributes = cloud.attributes
    assert (attributes["data-width"], attributes["data-height"], attributes["data-orientation"]) == (
        *("600", "300", "mixed_hv"),
    )
    assert attributes["data-color-distribution"] == "quantile"
    words = json.loads(attributes["data-tag-cloud-words"])
    assert [(word["text"], word["size"], word["count"]) for word in words] == [
        ("pumps & valves", 56, 9),
        ("été", 35, 5),
        ("<x>", 14, 1),
        ("a/b", 14, 1),
    ]
    assert [word["url"] for word in words] == [
        "/tag/pumps%20%26%20valves/",
        "/tag/%C3%A9t%C3%A9/",
        "/tag/%3Cx%3E/",
        "/tag/a%2Fb/",
    ]
    picture = cloud.one("svg", "tag-cloud-canvas")
    drawn = picture.every("text")
    assert [text.text for text in drawn] == [word["text"] for word in words]
    assert [("rotate(90" in text.attributes.get("transform", "")) for text in drawn] == [False, True, False, True]
    assert len({text.attributes["fill"] for text in drawn}) == 3
    assert picture.one("desc").text.startswith("pumps & valves (9), été (5)")
    links = cloud.one("ul").every("a")
    assert [unquote(link.attributes["href"]) for link in links] == [f"/tag/{link.text}/" for link in links]


def test_a_tag_cloud_of_nothing_and_of_equals(documents: Documents) -> None:
    assert shown("[[tag_cloud]]", language="es").one("div", "macro-tag-cloud").text == "No se encontraron etiquetas."
    documents.known_tags = [{"name": f"tag {n}", "count": 2} for n in range(3)]
    cloud = shown("[[tag_cloud]]").one("div", "macro-tag-cloud")
    assert {word["size"] for word in json.loads(cloud.attributes["data-tag-cloud-words"])} == {35}
    text, warnings = result_of("[[tag_cloud orientation=round width=10 height=9000]]")
    attributes = checked(text).one("div", "macro-tag-cloud").attributes
    assert (attributes["data-width"], attributes["data-height"], attributes["data-orientation"]) == (
        *("900", "420", "horizontal"),
    )
    assert len(warnings) == 3


@pytest.mark.parametrize("orientation", ["horizontal", "mixed_hv", "mixed_diagonal"])
def test_many_long_tags_are_within_the_picture(documents: Documents, orientation: str) -> None:
    documents.known_tags = [{"name": f"a rather long tag number {n}", "count": 1 + n % 17} for n in range(400)]
    cloud = shown(f"[[tag_cloud orientation={orientation} width=320 height=180]]")
    drawn = [text.attributes for text in cloud.one("svg").every("text")]
    assert 1 <= len(drawn) <= 150
    assert all(float(text["font-size"]) >= 8 for text in drawn)
    assert all(0 <= float(text["x"]) <= 320 and 0 <= float(text["y"]) <= 180 for text in drawn)
    assert len(cloud.every("li")) == 400


def test_a_table() -> None:
    table = shown(
        '[[table columns="Tank, Level, State" rows="T1, 52.4, ok; \\"T2, new\\", 40, <low>" caption="Tanks & co"]]'
    )
    table = table.one("table", "macro-table")
    assert table.one("caption").text == "Tanks & co"
    heads = [(head.text, head.attributes["scope"], "number" in head.classes) for head in table.every("th")]
    assert heads == [
        *(("Tank", "col", False), ("Level", "col", True), ("State", "col", False)),
        *(("T1", "row", False), ("T2, new", "row", False)),
    ]
    assert [cell.text for cell in table.every("td")] == ["52.4", "ok", "40", "<low>"]


def test_a_table_over_lines_with_names_in_its_first_row() -> None:
    root = shown('[[table separator=";" row_names=false\n  rows="Tank;Level\n\nT1;52,4\nT2\n"]]')
    assert [head.text for head in root.every("th")] == ["Tank", "Level"]
    assert [[cell.text for cell in row.every("td")] for row in root.one("tbody").every("tr")] == [
        ["T1", "52,4"],
        ["T2", ""],
    ]
    text, (warning,) = result_of('[[table rows="a,b;1,2,3"]]')
    assert [cell.text for cell in checked(text).every("td")] == ["2"]
    assert "Row 1 has 3 cells for 2 columns" in warning
    for wrong, said in (
        ('rows=""', "no columns"),
        ('rows="a;b" separator=ab', "one character"),
        ('rows="a;b" separator=";"', "line of its own"),
        ("rows='\"a\" b; c'", "separator is missing"),
    ):
        with pytest.raises(ValueError, match=said):
            result_of(f"[[table {wrong}]]")


def test_a_badge() -> None:
    badge = shown('[[badge text="Pump *3* | <b>" status=warning]]', language="de").one("span", "macro-badge")
    assert "badge-warning" in badge.classes
    assert badge.attributes["title"] == "Warnung"
    assert badge.one("span", "badge-sign").attributes["aria-hidden"] == "true"
    assert badge.text == "! Warnung: Pump *3* | <b>"
    with pytest.raises(ValueError, match="needs a text"):
        result_of('[[badge text=" "]]')


@pytest.mark.parametrize(
    ("params", "state", "said"),
    [
        ("value=50 low=20 high=80", "ok", "within its limits"),
        ("value=80 low=20 high=80", "ok", "within its limits"),
        ("value=81.5 low=20 high=80 unit=%", "high", "warning: above 80 %"),
        ("value=-3 low=20", "low", "warning: below 20"),
        ("value=95 high=80 high_high=90", "high-high", "alarm: above 90"),
        ("value=1 low_low=5 low=20", "low-low", "alarm: below 5"),
        ("value=5", "ok", ""),
    ],
)
def test_a_value_with_limits(params: str, state: str, said: str) -> None:
    value = shown(f"[[value {params} label=Level]]").one("span", "macro-value")
    assert value.classes == ["macro-value", f"value-{state}"]
    assert value.attributes.get("title", "") == said
    assert value.one("span", "value-label").text == "Level:"
    assert [one.text for one in value.every("span", "value-state")] == ([] if state == "ok" else [f"({said})"])


def test_a_value_as_its_language_writes_it() -> None:
    def data(params: str, language: str = "") -> str:
        return shown(f"[[value {params}]]", language=language).one("data").text

    assert data("value=52.40") == "52.4"
    assert data("value=52.4 digits=2 unit=bar") == "52.40 bar"
    assert data("value=52.4 digits=2 unit=bar", "de") == "52,40 bar"
    assert data("value=3") == "3"
    assert data("value=1e-7") == "1e-07"
    for wrong, said in (("value=1 low=5 high=5", "low .* below high"), ("value=1 digits=11", "0 to 10 digits")):
        with pytest.raises(ValueError, match=said):
            result_of(f"[[value {wrong}]]")


def test_a_chart() -> None:
    tag = '[[chart values="52, 54.1, -, 61" labels="Mon,Tue,Wed,<Thu>" title="Level & co" unit=% low=10 high=60]]'
    figure = shown(tag).one("figure")
    assert figure.one("figcaption").text == "Level & co"
    chart = figure.one("svg", "macro-chart")
    assert chart.attributes["aria-label"] == "Level & co" == chart.one("title").text
    assert chart.one("desc").text == (
        "3 values, lowest 52 %, highest 61 %, last 61 %, limits 10 … 60 %, 1 beyond the limits."
    )
    assert len(chart.one("polyline").attributes["points"].split()) == 2
    assert len(chart.every("circle")) == 2, "the value that stands alone, and its mark as beyond the limit"
    assert len(chart.every("line", "chart-limit")) == 2
    assert [text.text for text in chart.every("text")] == ["10", "61", "Mon", "Tue", "Wed", "<Thu>"]


def test_bars_and_sparks() -> None:
    bars = shown("[[chart type=bar values=3,-1.5,2]]", language="de").one("svg", "chart-bar")
    assert len(bars.every("rect")) == 3
    assert bars.one("title").text == "Diagramm"
    assert bars.one("desc").text == "3 Werte, kleinster -1,5, größter 3, letzter 2."
    assert shown("[[chart values=1 high=2]]").one("desc").text.endswith("limits ≤ 2, 0 beyond the limits.")
    assert shown("[[chart values=1 low=2]]").one("desc").text.endswith("limits ≥ 2, 1 beyond the limits.")
    spark = shown("[[chart type=spark values=5]]")
    assert [child.tag for child in spark.children] == ["svg"]
    assert spark.one("svg").attributes["width"] == "120"
    assert shown('[[chart values="-"]]').one("desc").text == "No values."
    assert shown('[[chart values=""]]').one("desc").text == "No values."
    assert "nan" not in html.unescape(result_of("[[chart values=1e308,-1e308,0 high=1e308]]")[0])
    for wrong, said in (
        ("values=1,x", "'x' is not a number"),
        ("values=1,nan", "not finite"),
        ("values=1 low=2 high=1", "low .* below high"),
        (f"values={'1,' * 5001}", "at most 5,000"),
    ):
        with pytest.raises(ValueError, match=said):
            result_of(f"[[chart {wrong}]]")


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_in_the_language_of_the_document(documents: Documents, language: str) -> None:
    tags = [
        *("[[youtube id=dQw4w9WgXcQ]]", "[[vimeo id=1]]", "[[gallery]]", "[[photo_archive]]", "[[tag_cloud]]"),
        *("[[badge text=x status=error]]", "[[value value=1 low=2]]", "[[chart values=1]]"),
    ]
    for tag in tags:
        by_document = result_of(tag, language=f"{language.upper()}-XY")[0]
        assert by_document == result_of(tag, default=language)[0]
        english = result_of(tag, language="xx")[0]
        assert (by_document == english) == (language == "en") or "Error" in by_document


SIGNS = st.text(alphabet=st.sampled_from("<>&\"'`*_[]()|\\\n\t!#:/ aé\x00\x1b\u202e;,=-"), max_size=30)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(text=SIGNS)
def test_no_text_gets_out_of_its_place(documents: Documents, text: str) -> None:
    known = " ".join("".join(max(character, " ") for character in "t" + text).split())
    documents.known_images = [
        image("a/b.png", alt=text, title=text, caption=text),
        image((text.strip("/") or "x") + ".png"),
    ]
    documents.known_tags = [{"name": text or "x", "count": 3}, {"name": "y", "count": 1}]
    word = quoted(text)
    frame = shown(f"[[youtube id=dQw4w9WgXcQ title={quoted('t' + text)}]]").one("iframe")
    assert frame.attributes["title"] == known
    for tag in ("[[photo_archive]]", "[[tag_cloud]]", f"[[gallery caption={word}]]"):
        shown(tag, path=text or "x")
    for tag in (
        f"[[badge text={quoted('t' + text)}]]",
        f"[[value value=1 unit={word} label={word} low=2]]",
        f"[[chart values=1 title={word} labels={word} unit={word}]]",
    ):
        checked(result_of(tag)[0])
    cell = '"' + ("t" + text).replace('"', '""') + '"'
    table = shown(f"[[table columns=a rows={quoted(cell)} caption={word}]]")
    assert [head.text for head in table.every("th")] == ["a", known]
    inline = result_of(f"[[badge text={quoted('t' + text)}]]")[0]
    paragraph = checked(
        MarkdownIt("commonmark").render(f"{inline} and more").strip().removeprefix("<p>").removesuffix("</p>")
    )
    assert {one.tag for one in paragraph.every("*")} == {"span"}, "Markdown makes nothing of a text between inline tags"
