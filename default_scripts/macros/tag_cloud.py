# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Tag cloud"
# description = "Macro: the tags of the published documents, larger where they are used more, [[tag_cloud]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "media"]
# [tool.gatewright.params.orientation]
# type = "str"
# default = "horizontal"
# help = "horizontal, mixed_hv (hv), mixed_diagonal (diagonal)"
# [tool.gatewright.params.width]
# type = "int"
# default = 900
# help = "320 to 1600; with another number 900"
# [tool.gatewright.params.height]
# type = "int"
# default = 420
# help = "180 to 900; with another number 420"
# ///
"""Tags of published documents: a picture, and below it the list with links.

The picture needs no script in the page; one that draws it another way finds what it needs in the ``data-`` attributes.
"""

import json
import math
import re

from gatewright import documents

ORIENTATIONS = {
    "horizontal": "horizontal",
    "mixed_hv": "mixed_hv",
    "hv": "mixed_hv",
    "horizontal_vertical": "mixed_hv",
    "mixed_diagonal": "mixed_diagonal",
    "diagonal": "mixed_diagonal",
    "diag": "mixed_diagonal",
}
ROTATIONS = {"horizontal": (0,), "mixed_hv": (0, 90), "mixed_diagonal": (-60, -30, 0, 30, 60, 90)}
SMALLEST, LARGEST, MIDDLE = 14, 56, 35
DRAWN = 150
"""Words of the picture; the list has all."""
READABLE = 8
EASING = 0.7
COLOURS = ("#1f5fbf", "#1f7a3d", "#8a6100", "#b34a00", "#b3261e")
"""Blue, green, yellow, orange, red; dark enough to be read on white (WCAG 2.2, 1.4.3)."""
WORDS = {
    "en": ("Tag cloud", "No tags found."),
    "de": ("Schlagwortwolke", "Keine Schlagwörter gefunden."),
    "fr": ("Nuage de mots-clés", "Aucun mot-clé trouvé."),
    "it": ("Nuvola di tag", "Nessun tag trovato."),
    "es": ("Nube de etiquetas", "No se encontraron etiquetas."),
}
UNSAFE = re.compile(rb"[^A-Za-z0-9._~-]")
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    warnings = []
    width = within(params.get("width", 900), 320, 1600, 900, "width", warnings)
    height = within(params.get("height", 420), 180, 900, 420, "height", warnings)
    asked = str(params.get("orientation") or "horizontal").lower().replace("-", "_")
    orientation = ORIENTATIONS.get(asked, "horizontal")
    if asked not in ORIENTATIONS:
        warnings.append(f"There is no orientation {asked}; horizontal is used.")
    title, empty = WORDS[language(context, WORDS)]
    words = sized(documents.tags(status="published"))
    attributes = (
        f'data-tag-cloud-words="{escape(json.dumps(words, ensure_ascii=False))}" data-width="{width}"'
        f' data-height="{height}" data-orientation="{orientation}" data-color-distribution="quantile"'
        f' data-color-easing="{EASING}" data-color-theme="pico"'
    )
    if not words:
        return {"html": f'<div class="macro-tag-cloud" {attributes}>{empty}</div>', "warnings": warnings}
    listed = "".join(
        f'<li><a href="{word["url"]}">{escape(word["text"])}</a> <span class="tag-count">({word["count"]})</span></li>'
        for word in words
    )
    html = (
        f'<div class="macro-tag-cloud" {attributes}>{picture(words[:DRAWN], width, height, orientation, title)}'
        f'<ul class="tag-cloud-list">{listed}</ul></div>'
    )
    return {"html": html, "warnings": warnings}


def within(value, low, high, default, name, warnings):
    if isinstance(value, int) and low <= value <= high:
        return value
    warnings.append(f"The {name} is a number from {low} to {high}, not {value}; {default} is used.")
    return default


def sized(tags):
    """Words with their sizes, most used first."""
    counts = [tag["count"] for tag in tags]
    least, span = min(counts, default=0), max(counts, default=0) - min(counts, default=0)
    return [
        {
            "text": tag["name"],
            "size": round(SMALLEST + (tag["count"] - least) / span * (LARGEST - SMALLEST)) if span else MIDDLE,
            "count": tag["count"],
            "url": f"/tag/{encoded(tag['name'])}/",
        }
        for tag in sorted(tags, key=lambda tag: (-tag["count"], tag["name"]))
    ]


def picture(words, width, height, orientation, title):
    """The most used words in rows, made smaller together until they are within the picture."""
    places = {count: place for place, count in enumerate(sorted({word["count"] for word in words}))}
    rows, needed, scale = in_rows(words, width, height, ROTATIONS[orientation])
    drawn, top = [], max(0.0, (height / scale - needed) / 2)
    for row in rows:
        tallest = max(box[2] for box in row)
        left = (width / scale - sum(box[1] for box in row)) / 2
        for word, wide, _, angle in row:
            x, y = (left + wide / 2) * scale, (top + tallest / 2) * scale
            turn = f' transform="rotate({angle} {x:.1f} {y:.1f})"' if angle else ""
            drawn.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{word["size"] * scale:.1f}"'
                f' fill="{colour(places[word["count"]], len(places))}"{turn}>{escape(word["text"])}</text>'
            )
            left += wide
        top += tallest
    said = ", ".join(f"{word['text']} ({word['count']})" for row in rows for word, *_ in row)
    return (
        f'<svg class="tag-cloud-canvas" role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg" font-family="sans-serif"'
        f' text-anchor="middle" dominant-baseline="central"><title>{escape(title)}</title>'
        f"<desc>{escape(said)}</desc>{''.join(drawn)}</svg>"
    )


def in_rows(words, width, height, rotations):
    """Rows of boxes (word, width, height, angle), their height, and the scale with which they are in the picture.

    Before words become too small to be read, there are fewer of them.
    """
    scale = 1.0
    while True:
        rows = broken(words, width / scale, rotations)
        needed = sum(max(box[2] for box in row) for row in rows)
        widest = max(sum(box[1] for box in row) for row in rows)
        if needed * scale <= height and widest * scale <= width:
            return rows, needed, scale
        scale *= 0.9
        if words[-1]["size"] * scale < READABLE and len(words) > 1:
            words, scale = words[: len(words) * 3 // 4], 1.0


def broken(words, width, rotations):
    rows, row, used = [], [], 0.0
    for number, word in enumerate(words):
        angle = rotations[number % len(rotations)]
        long, tall = (len(word["text"]) * 0.6 + 0.6) * word["size"], word["size"] * 1.2
        sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
        box = (word, long * cosine + tall * sine, long * sine + tall * cosine, angle)
        if row and used + box[1] > width:
            rows.append(row)
            row, used = [], 0.0
        row.append(box)
        used += box[1]
    return [*rows, row]


def colour(place, places):
    """By the share of the different counts that are smaller."""
    share = (place / (places - 1)) ** EASING if places > 1 else 0
    return COLOURS[min(len(COLOURS) - 1, int(share * len(COLOURS)))]


def encoded(text):
    """Percent-encode a part of an address."""
    return UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), text.encode("utf-8", "surrogateescape")).decode()


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and its attributes, and one line: an empty one would end an HTML block of Markdown."""
    return " ".join(str(text).translate(ENTITIES).split())
