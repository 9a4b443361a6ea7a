"""The text that a new document begins with."""

from __future__ import annotations

import datetime as dt
import json


def document_skeleton(title: str) -> str:
    """Return front matter with a title and today's date, to be completed by its author."""
    today = dt.datetime.now().astimezone().date().isoformat()
    # JSON in double quotes is YAML as well, whatever the title holds.
    written = json.dumps(" ".join(title.split()), ensure_ascii=False)
    return f"---\ntitle: {written}\ndate: {today}\nstatus: draft\ntags: []\n---\n\n"


def title_of(path: str) -> str:
    """Return the title that a document of this path may have."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    return stem.replace("_", " ").replace("-", " ").strip().capitalize() or stem
