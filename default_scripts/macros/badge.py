# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Badge"
# description = "Macro: a word or two with a status, [[badge text=\"Pump 3\" status=ok]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "report"]
# [tool.gatewright.params.text]
# type = "str"
# help = "what is shown"
# [tool.gatewright.params.status]
# type = "choice"
# choices = ["ok", "warning", "error", "info", "off"]
# default = "info"
# help = "decides colour, sign and what a screen reader says"
# ///
"""A badge in a line of text. Its status is a sign and a word beside the colour (WCAG 2.2, 1.4.1)."""

STATUS = {
    "ok": ("✓", "#1a7f37", "#ffffff"),
    "warning": ("!", "#ffd33d", "#1f2328"),
    "error": ("✕", "#b3261e", "#ffffff"),
    "info": ("i", "#0b57d0", "#ffffff"),
    "off": ("–", "#57606a", "#ffffff"),
}
"""Sign, background and text; at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
WORDS = {
    "en": {"ok": "OK", "warning": "Warning", "error": "Error", "info": "Information", "off": "Off"},
    "de": {"ok": "OK", "warning": "Warnung", "error": "Fehler", "info": "Information", "off": "Aus"},
    "fr": {"ok": "OK", "warning": "Avertissement", "error": "Erreur", "info": "Information", "off": "Arrêt"},
    "it": {"ok": "OK", "warning": "Avviso", "error": "Errore", "info": "Informazione", "off": "Spento"},
    "es": {"ok": "OK", "warning": "Advertencia", "error": "Error", "info": "Información", "off": "Apagado"},
}
HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ")
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
    | {sign: f"&#{ord(sign)};" for sign in "*_`[]\\|~!:#$^="}
)
"""Signs of Markdown as well: it reads the text between inline tags."""


def render(params, context):
    text, status = escape(params.get("text", "")), params.get("status", "info")
    if not text:
        raise ValueError("A badge needs a text.")
    if status not in STATUS:
        raise ValueError(f"The status of a badge is one of {', '.join(STATUS)}, not {status}.")
    sign, background, colour = STATUS[status]
    word = WORDS[language(context, WORDS)][status]
    style = f"display:inline-block;padding:0 .5em;border-radius:.5em;background:{background};color:{colour}"
    return (
        f'<span class="macro-badge badge-{status}" title="{word}" style="{style}">'
        f'<span class="badge-sign" aria-hidden="true">{sign.translate(ENTITIES)}</span> '
        f'<span class="badge-status" style="{HIDDEN}">{word}:</span> {text}</span>'
    )


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and in Markdown, and one line."""
    return " ".join(str(text).translate(ENTITIES).split())
