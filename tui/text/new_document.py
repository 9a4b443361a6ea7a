"""The text that a new document begins with."""

from __future__ import annotations

import datetime as dt
import json


def document_skeleton(path: str) -> str:
    """Return front matter with a title made from the file's name and today's date, to be completed by its author."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    title = stem.replace("_", " ").replace("-", " ").strip().capitalize() or stem
    today = dt.datetime.now().astimezone().date().isoformat()
    # JSON in double quotes is YAML as well, whatever the name holds.
    written = json.dumps(title, ensure_ascii=False)
    return f"---\ntitle: {written}\ndate: {today}\nstatus: draft\ntags: []\n---\n\n"
