# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Photo album"
# description = "Macro: photos by month, newest first, [[photo_album]], [[photo_album year=2026 month=6]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "media"]
# [tool.gatewright.params.year]
# type = "int"
# required = false
# help = "four digits; without it the ten newest months"
# [tool.gatewright.params.month]
# type = "int"
# required = false
# help = "1 to 12, with a year"
# ///
"""All images by the month in which they were taken, in UTC. ``photo_archive`` is the same by another name."""

import datetime
import re

from gatewright import documents

RECENT = 10
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
EMPTY = {
    "en": "No photos found for this archive.",
    "de": "Keine Fotos für dieses Archiv gefunden.",
    "fr": "Aucune photo trouvée pour cette archive.",
    "it": "Nessuna foto trovata per questo archivio.",
    "es": "No se encontraron fotos para este archivo.",
}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
UNSAFE = re.compile(rb"[^A-Za-z0-9._~/-]")
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    year, month = params.get("year"), params.get("month")
    if year is not None and not 1000 <= year <= 9999:
        raise ValueError(f"A year has four digits, not {year}.")
    if month is not None and year is None:
        raise ValueError("A month needs a year beside it.")
    if month is not None and not 1 <= month <= 12:
        raise ValueError(f"A month is a number from 1 to 12, not {month}.")
    if year is None:
        found = documents.images(months=RECENT)
        kind, data = "recent-months", f'data-recent="{RECENT}"'
    elif month is None:
        found = documents.images(year=year)
        kind, data = "full-year", f'data-year="{year}"'
    else:
        found = documents.images(year=year, month=month)
        kind, data = "single-month", f'data-year="{year}" data-month="{month}"'
    words = language(context, MONTHS)
    path = (context.get("document") or {}).get("path") or ""
    shown = "".join(section(when, photos, path, words) for when, photos in by_month(found))
    shown = shown or f'<div class="photo-archive-empty">{EMPTY[words]}</div>'
    return f'<div class="macro-photo-archive photo-archive-{kind}" {data}>{shown}</div>'


def by_month(images):
    """(year, month) and its photos, both newest first."""
    months = {}
    for image in images:
        try:
            taken = EPOCH + datetime.timedelta(seconds=image["created"])
        except OverflowError:
            continue  # what no calendar has
        months.setdefault((taken.year, taken.month), []).append(image)
    for when in sorted(months, reverse=True):
        yield when, sorted(months[when], key=lambda image: -image["created"])


def section(when, photos, path, words):
    year, month = when
    label = f"{MONTHS[words].split()[month - 1]} {year}"
    group = f"photo-archive-{year:04}-{month:02}"
    items = "".join(item(photo, path, group) for photo in photos)
    return (
        f'<section class="photo-archive-month" aria-label="{label}"><h3 class="photo-archive-label">{label}</h3>'
        f'<div class="photo-archive-items">{items}</div></section>'
    )


def item(image, path, group):
    file = image["path"].rpartition("/")[2]
    name = escape(image["title"]) or escape(file)
    title, alt = escape(image["caption"]) or name, escape(image["alt"]) or name
    address = url(image["path"], path)
    return (
        f'<a class="photo-archive-item" href="{address}" data-lightbox="{group}" data-title="{title}">'
        f'<img src="{address}" alt="{alt}" loading="lazy"></a>'
    )


def url(target, document):
    """The address of a file as seen from a document, percent-encoded."""
    there, here = target.split("/"), document.split("/")[:-1]
    same = 0
    while same < min(len(there) - 1, len(here)) and there[same] == here[same]:
        same += 1
    relative = "../" * (len(here) - same) + "/".join(there[same:])
    encoded = UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), relative.encode("utf-8", "surrogateescape"))
    return encoded.decode()


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and its attributes, and one line: an empty one would end an HTML block of Markdown."""
    return " ".join(str(text).translate(ENTITIES).split())
