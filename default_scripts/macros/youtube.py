# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "YouTube video"
# description = "Macro: a YouTube video in its player, [[youtube id=dQw4w9WgXcQ]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "media"]
# [tool.gatewright.params.id]
# type = "str"
# help = "the 11 characters after v= in the video's address"
# [tool.gatewright.params.title]
# type = "str"
# default = ""
# help = "what the video is, for those who cannot see it; nothing: YouTube video, in the document's language"
# ///
"""A YouTube video in its player."""

import re

ID = re.compile(r"[A-Za-z0-9_-]{11}")
ALLOW = "accelerometer; autoplay; clipboard-write; encrypted-media; gyroscope; picture-in-picture"
TITLES = {
    "en": "YouTube video",
    "de": "YouTube-Video",
    "fr": "Vidéo YouTube",
    "it": "Video YouTube",
    "es": "Vídeo de YouTube",
}
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    video = str(params.get("id", ""))
    if not ID.fullmatch(video):
        raise ValueError(f"A YouTube id has 11 letters, digits, - and _; {video[:40]!r} is none.")
    title = escape(params.get("title") or "") or TITLES[language(context, TITLES)]
    return (
        f'<div class="macro-youtube"><iframe src="https://www.youtube.com/embed/{video}?rel=0" title="{title}"'
        f' frameborder="0" allow="{ALLOW}" loading="lazy" allowfullscreen></iframe></div>'
    )


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and its attributes, and one line: an empty one would end an HTML block of Markdown."""
    return " ".join(str(text).translate(ENTITIES).split())
