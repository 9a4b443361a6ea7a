# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Gallery"
# description = "Macro: the document's images side by side, newest first, [[gallery columns=4 caption=\"Line 3\"]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "media"]
# [tool.gatewright.params.columns]
# type = "int"
# default = 3
# help = "1 to 6; with another number there are 3"
# [tool.gatewright.params.caption]
# type = "str"
# default = ""
# help = "a line below all of them"
# [tool.gatewright.params.link]
# type = "str"
# default = ""
# help = "has no effect; documents of other systems have it"
# ///
"""The images that belong to a document: linked from its text, by ``images:`` of its front matter, or by a sidecar."""

import re

from gatewright import documents

EMPTY = {
    "en": "No linked images found.",
    "de": "Keine verknüpften Bilder gefunden.",
    "fr": "Aucune image liée trouvée.",
    "it": "Nessuna immagine collegata trovata.",
    "es": "No se encontraron imágenes vinculadas.",
}
UNSAFE = re.compile(rb"[^A-Za-z0-9._~/-]")
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    columns, warnings = params.get("columns", 3), []
    if not isinstance(columns, int) or not 1 <= columns <= 6:
        warnings.append(f"A gallery has 1 to 6 columns, not {columns}; 3 are used.")
        columns = 3
    path = (context.get("document") or {}).get("path") or ""
    name = escape(path)
    items = [item(image, path, name) for image in documents.images(document=path)]
    shown = "".join(items) or f'<div class="gallery-empty">{EMPTY[language(context, EMPTY)]}</div>'
    caption = escape(params.get("caption") or "")
    below = f'<figcaption class="gallery-caption">{caption}</figcaption>' if caption else ""
    html = (
        f'<div class="macro-gallery gallery-cols-{columns}" data-post-id="{name}" data-columns="{columns}"'
        f' data-lightbox="true"><figure class="gallery-figure"><div class="gallery-container gallery-lightbox">'
        f"{shown}</div>{below}</figure></div>"
    )
    return {"html": html, "warnings": warnings}


def item(image, path, gallery):
    file = image["path"].rpartition("/")[2]
    name = escape(image["title"]) or escape(file)
    title, alt = escape(image["caption"]) or name, escape(image["alt"]) or name
    address = url(image["path"], path)
    return (
        f'<a class="gallery-item" href="{address}" data-lightbox="gallery-{gallery}" data-title="{title}">'
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
