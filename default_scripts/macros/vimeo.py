# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Vimeo video"
# description = "Macro: a Vimeo video in its player, [[vimeo id=76979871]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "media"]
# [tool.gatewright.params.id]
# type = "str"
# help = "the digits at the end of the video's address"
# [tool.gatewright.params.title]
# type = "str"
# default = ""
# help = "what the video is, for those who cannot see it; nothing: Vimeo video, in the document's language"
# ///
"""A Vimeo video in its player."""

import re

ID = re.compile(r"[0-9]{1,20}")
TITLES = {
    "en": "Vimeo video",
    "de": "Vimeo-Video",
    "fr": "Vidéo Vimeo",
    "it": "Video Vimeo",
    "es": "Vídeo de Vimeo",
}
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    video = str(params.get("id", ""))
    if not ID.fullmatch(video):
        raise ValueError(f"A Vimeo id has digits only; {video[:40]!r} is none.")
    title = escape(params.get("title") or "") or TITLES[language(context, TITLES)]
    return (
        f'<div class="macro-vimeo"><iframe src="https://player.vimeo.com/video/{video}" title="{title}"'
        ' frameborder="0" allow="autoplay; fullscreen; picture-in-picture" loading="lazy" allowfullscreen>'
        "</iframe></div>"
    )


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and its attributes, and one line: an empty one would end an HTML block of Markdown."""
    return " ".join(str(text).translate(ENTITIES).split())
