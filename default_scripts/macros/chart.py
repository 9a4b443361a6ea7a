# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Chart"
# description = "Macro: a small chart in the page, [[chart values=\"52, 54.1, 61\" title=Level unit=% high=60]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "report"]
# [tool.gatewright.params.values]
# type = "list"
# help = "numbers with commas between them; a - is a gap"
# [tool.gatewright.params.type]
# type = "choice"
# choices = ["line", "bar", "spark"]
# default = "line"
# help = "spark: without axis, for a line of text"
# [tool.gatewright.params.title]
# type = "str"
# default = ""
# help = "what it shows"
# [tool.gatewright.params.labels]
# type = "list"
# default = []
# help = "one for each value"
# [tool.gatewright.params.unit]
# type = "str"
# default = ""
# help = "of the values"
# [tool.gatewright.params.low]
# type = "float"
# required = false
# help = "a limit, drawn as a line"
# [tool.gatewright.params.high]
# type = "float"
# required = false
# help = "a limit, drawn as a line"
# [tool.gatewright.params.width]
# type = "int"
# required = false
# help = "40 to 1600; 480, of a spark 120"
# [tool.gatewright.params.height]
# type = "int"
# required = false
# help = "16 to 900; 200, of a spark 24"
# ///
"""A chart as an SVG picture that needs nothing else. Its description tells the same in words."""

import math

MOST = 5_000
SIZES = {"line": (480, 200), "bar": (480, 200), "spark": (120, 24)}
DRAWN, LIMIT, BEYOND, TEXT = "#0b57d0", "#b34a00", "#b3261e", "#57606a"
WORDS = {
    "en": (
        "Chart",
        "{} values",
        "lowest {}",
        "highest {}",
        "last {}",
        "limits {}",
        "{} beyond the limits",
        "No values.",
    ),
    "de": (
        "Diagramm",
        "{} Werte",
        "kleinster {}",
        "größter {}",
        "letzter {}",
        "Grenzen {}",
        "{} außerhalb",
        "Keine Werte.",
    ),
    "fr": (
        "Graphique",
        "{} valeurs",
        "min. {}",
        "max. {}",
        "dernière {}",
        "limites {}",
        "{} hors limites",
        "Aucune valeur.",
    ),
    "it": (
        "Grafico",
        "{} valori",
        "minimo {}",
        "massimo {}",
        "ultimo {}",
        "limiti {}",
        "{} fuori dai limiti",
        "Nessun valore.",
    ),
    "es": (
        "Gráfico",
        "{} valores",
        "mínimo {}",
        "máximo {}",
        "último {}",
        "límites {}",
        "{} fuera de los límites",
        "Sin valores.",
    ),
}
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ") | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)


def render(params, context):
    kind = params.get("type", "line")
    if kind not in SIZES:
        raise ValueError(f"A chart is one of {', '.join(SIZES)}, not {kind}.")
    values = [number(value) for value in params["values"]]
    if len(values) > MOST:
        raise ValueError(f"A chart has at most {MOST:,} values, not {len(values):,}.")
    labels, warnings = params.get("labels") or [], []
    if labels and len(labels) != len(values):
        warnings.append(f"There are {len(labels)} labels for {len(values)} values.")
    width = size(params.get("width"), SIZES[kind][0], 40, 1600, "width", warnings)
    height = size(params.get("height"), SIZES[kind][1], 16, 900, "height", warnings)
    limits = [params[name] for name in ("low", "high") if params.get(name) is not None]
    if len(limits) == 2 and limits[0] >= limits[1]:
        raise ValueError(f"The limit low ({limits[0]:g}) is to be below high ({limits[1]:g}).")
    code = language(context, WORDS)
    given = escape(params.get("title") or "")
    title = given or WORDS[code][0]
    said = description(values, params, code)
    drawn = Plot(values, labels, limits, width, height, kind, code).draw(params)
    html = (
        f'<svg class="macro-chart chart-{kind}" role="img" aria-label="{title}" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg" font-family="sans-serif"'
        f' font-size="11"><title>{title}</title><desc>{escape(said)}</desc>{drawn}</svg>'
    )
    if kind != "spark":
        below = f"<figcaption>{given}</figcaption>" if given else ""
        html = f'<figure class="macro-chart-figure">{html}{below}</figure>'
    return {"html": html, "warnings": warnings}


class Plot:
    """Where values are in the picture."""

    def __init__(self, values, labels, limits, width, height, kind, code):
        self.values, self.labels, self.limits, self.kind, self.code = values, labels, limits, kind, code
        axis = kind != "spark"
        self.left, self.right = (48 if axis else 2), width - (8 if axis else 2)
        self.top, self.bottom = (12 if axis else 2), height - ((20 if labels else 8) if axis else 2)
        known = [value for value in values if value is not None]
        scale = [*known, *limits, *([0.0] if kind == "bar" else [])] or [0.0]
        self.lowest, self.highest = min(scale), max(scale)
        if self.lowest == self.highest:
            margin = abs(self.lowest) / 10 or 1.0
            self.lowest, self.highest = self.lowest - margin, self.highest + margin

    def y(self, value):
        # Both halves of the span before the difference: of two floats of either end it would be infinite.
        share = (value / 2 - self.lowest / 2) / (self.highest / 2 - self.lowest / 2)
        return self.bottom - share * (self.bottom - self.top)

    def x(self, place):
        count = len(self.values)
        if self.kind == "bar":
            return self.left + (place + 0.5) * (self.right - self.left) / count
        return self.left + (place / (count - 1) if count > 1 else 0.5) * (self.right - self.left)

    def beyond(self, value, params):
        low, high = params.get("low"), params.get("high")
        return (low is not None and value < low) or (high is not None and value > high)

    def draw(self, params):
        parts = [] if self.kind == "spark" else self.axis()
        for limit in self.limits:
            y = f"{self.y(limit):.1f}"
            parts.append(
                f'<line class="chart-limit" x1="{self.left}" x2="{self.right}" y1="{y}" y2="{y}" stroke="{LIMIT}"'
                ' stroke-dasharray="4 3"/>'
            )
        parts += self.bars(params) if self.kind == "bar" else self.lines(params)
        return "".join(parts)

    def axis(self):
        parts = [
            f'<text x="{self.left - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end" fill="{TEXT}">'
            f"{escape(written(value, self.code))}</text>"
            for value in (self.lowest, self.highest)
        ]
        parts.append(f'<path d="M{self.left} {self.top}V{self.bottom}H{self.right}" fill="none" stroke="{TEXT}"/>')
        shown = list(zip(range(len(self.values)), self.labels, strict=False))
        every = max(1, math.ceil(len(shown) * 60 / (self.right - self.left)))
        for place, label in shown[::every]:
            parts.append(
                f'<text x="{self.x(place):.1f}" y="{self.bottom + 14}" text-anchor="middle" fill="{TEXT}">'
                f"{escape(label)}</text>"
            )
        return parts

    def lines(self, params):
        parts, run = [], []
        for place, value in [*enumerate(self.values), (0, None)]:
            if value is not None:
                run.append(f"{self.x(place):.1f},{self.y(value):.1f}")
                continue
            if len(run) > 1:
                points = " ".join(run)
                parts.append(f'<polyline points="{points}" fill="none" stroke="{DRAWN}" stroke-width="1.5"/>')
            elif run:
                parts.append(dot(*run[0].split(","), DRAWN))
            run = []
        for place, value in enumerate(self.values):
            if value is not None and self.beyond(value, params):
                parts.append(dot(f"{self.x(place):.1f}", f"{self.y(value):.1f}", BEYOND))
        return parts

    def bars(self, params):
        wide = max(0.5, (self.right - self.left) / max(1, len(self.values)) * 0.7)
        parts, zero = [], self.y(0.0)
        for place, value in enumerate(self.values):
            if value is not None:
                top, bottom = sorted((self.y(value), zero))
                colour = BEYOND if self.beyond(value, params) else DRAWN
                parts.append(
                    f'<rect x="{self.x(place) - wide / 2:.1f}" y="{top:.1f}" width="{wide:.1f}"'
                    f' height="{max(bottom - top, 0.5):.1f}" fill="{colour}"/>'
                )
        return parts


def dot(x, y, colour):
    return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'


def number(value):
    """A value of the list, or None for a gap."""
    if isinstance(value, str):
        if value.strip() in ("", "-"):
            return None
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number.") from None
    if not math.isfinite(value):
        raise ValueError("A chart cannot show a number that is not finite.")
    return float(value)


def size(value, default, low, high, name, warnings):
    if value is None or low <= value <= high:
        return default if value is None else value
    warnings.append(f"The {name} is a number from {low} to {high}, not {value}; {default} is used.")
    return default


def description(values, params, code):
    """The chart in words, for those who cannot see it."""
    _, count, lowest, highest, last, limits, beyond, none = WORDS[code]
    known = [value for value in values if value is not None]
    if not known:
        return none
    unit = f" {params['unit']}" if params.get("unit") else ""
    told = [count.format(len(known))]
    for words, value in ((lowest, min(known)), (highest, max(known)), (last, known[-1])):
        told.append(words.format(written(value, code) + unit))
    low, high = params.get("low"), params.get("high")
    if low is not None or high is not None:
        least, most = ("" if limit is None else written(limit, code) for limit in (low, high))
        ends = f"{least} … {most}" if least and most else f"≥ {least}" if least else f"≤ {most}"
        told.append(limits.format(ends + unit))
        outside = [value for value in known if (low is not None and value < low) or (high is not None and value > high)]
        told.append(beyond.format(len(outside)))
    return ", ".join(told) + "."


def written(value, code):
    text = f"{value:.6g}"
    return text if code == "en" else text.replace(".", ",")


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and its attributes, and one line: an empty one would end an HTML block of Markdown."""
    return " ".join(str(text).translate(ENTITIES).split())
