# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Table"
# description = "Macro: a table from text, [[table columns=\"Tank, Level\" rows=\"T1, 52.4; T2, 40\"]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "report"]
# [tool.gatewright.params.rows]
# type = "str"
# help = "one in each line, or with ; between them; cells with commas between them, quoted where they hold one"
# [tool.gatewright.params.columns]
# type = "str"
# default = ""
# help = "names, with commas between them; without it the first row has them"
# [tool.gatewright.params.caption]
# type = "str"
# default = ""
# help = "what the table shows"
# [tool.gatewright.params.separator]
# type = "str"
# default = ","
# help = "one character instead of the comma"
# [tool.gatewright.params.row_names]
# type = "bool"
# default = true
# help = "whether the first cell names its row"
# ///
"""A table for reports: names of columns and rows are header cells with a scope, numbers are set to the right."""

import re

NUMBER = re.compile(r"[+-]?[0-9][0-9 .,'’]*(?:[eE][+-]?[0-9]+)?\s*[%°]?")
RIGHT = ' class="number" style="text-align:right"'
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    separator = params.get("separator") or ","
    if len(separator) != 1 or separator in '"\r\n':
        raise ValueError("The separator of a table is one character, and no quote.")
    text = params["rows"].strip()
    lines = "\n" in text
    if not lines and separator == ";":
        raise ValueError("With ; between cells, each row needs a line of its own.")
    rows = parsed(text, separator, "\n" if lines else ";")
    columns = parsed(params.get("columns") or "", separator, "\n")
    names, rows = (columns[0], rows) if columns else (rows[0] if rows else [], rows[1:])
    if not names:
        raise ValueError("The table has no columns.")
    warnings = []
    for number, row in enumerate(rows, 1):
        if len(row) > len(names):
            warnings.append(f"Row {number} has {len(row)} cells for {len(names)} columns; the rest is left out.")
    rows = [[*row[: len(names)], *[""] * (len(names) - len(row))] for row in rows]
    numeric = [
        any(row[place] for row in rows) and all(is_number(row[place]) for row in rows) for place in range(len(names))
    ]
    row_names = params.get("row_names", True)
    head = "".join(
        f'<th scope="col"{RIGHT if numeric[place] else ""}>{escape(name)}</th>' for place, name in enumerate(names)
    )
    body = "".join(f"<tr>{cells(row, numeric, row_names)}</tr>" for row in rows)
    caption = f"<caption>{escape(params['caption'])}</caption>" if params.get("caption") else ""
    html = f'<table class="macro-table">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return {"html": html, "warnings": warnings}


def cells(row, numeric, row_names):
    made = []
    for place, cell in enumerate(row):
        attributes = RIGHT if numeric[place] else ""
        if place == 0 and row_names:
            made.append(f'<th scope="row"{attributes}>{escape(cell)}</th>')
        else:
            made.append(f"<td{attributes}>{escape(cell)}</td>")
    return "".join(made)


def is_number(cell):
    return not cell or NUMBER.fullmatch(cell) is not None


def parsed(text, separator, ends):
    """Rows of cells. A cell in double quotes may hold anything, two of them for one (RFC 4180)."""
    cell = re.compile(r'\s*"((?:[^"]|"")*)"\s*|([^' + re.escape(separator + ends) + "]*)")
    rows, row, position = [], [], 0
    while position <= len(text):
        found = cell.match(text, position)
        end = found.end()
        if found[1] is not None and end < len(text) and text[end] not in separator + ends:
            raise ValueError(f"{text[end : end + 20]!r} follows a quoted cell; a separator is missing.")
        row.append(found[2].strip() if found[1] is None else found[1].replace('""', '"'))
        if end >= len(text) or text[end] == ends:
            if any(row):
                rows.append(row)
            row = []
        position = end + 1
    return rows


def escape(text):
    """Make text safe in HTML and its attributes, and one line: an empty one would end an HTML block of Markdown."""
    return " ".join(str(text).translate(ENTITIES).split())
