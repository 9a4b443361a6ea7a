# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "Value with limits"
# description = "Macro: a reading judged by its limits, [[value value=81.5 unit=% low=20 high=80]]"
# kind = "macro"
# entrypoint = "render"
# tags = ["macros", "report"]
# [tool.gatewright.params.value]
# type = "float"
# help = "the reading"
# [tool.gatewright.params.label]
# type = "str"
# default = ""
# help = "what was read"
# [tool.gatewright.params.unit]
# type = "str"
# default = ""
# help = "shown behind it"
# [tool.gatewright.params.digits]
# type = "int"
# required = false
# help = "behind the decimal point, 0 to 10; without it as many as there are"
# [tool.gatewright.params.low_low]
# type = "float"
# required = false
# help = "below it: an alarm"
# [tool.gatewright.params.low]
# type = "float"
# required = false
# help = "below it: a warning"
# [tool.gatewright.params.high]
# type = "float"
# required = false
# help = "above it: a warning"
# [tool.gatewright.params.high_high]
# type = "float"
# required = false
# help = "above it: an alarm"
# ///
"""A reading in a line of text. A value that is a limit is within it."""

import itertools
import math

ORDER = ("low_low", "low", "high", "high_high")
SIGNS = {"ok": "", "low": "▼", "high": "▲", "low_low": "▼▼", "high_high": "▲▲"}
COLOURS = {"ok": "#1a7f37", "low": "#8a6100", "high": "#8a6100", "low_low": "#b3261e", "high_high": "#b3261e"}
"""On white at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
WORDS = {
    "en": ("within its limits", "below {}", "above {}", "warning", "alarm"),
    "de": ("innerhalb der Grenzen", "unter {}", "über {}", "Warnung", "Alarm"),
    "fr": ("dans les limites", "au-dessous de {}", "au-dessus de {}", "avertissement", "alarme"),
    "it": ("entro i limiti", "sotto {}", "sopra {}", "avviso", "allarme"),
    "es": ("dentro de los límites", "por debajo de {}", "por encima de {}", "advertencia", "alarma"),
}
ENTITIES = str.maketrans(
    dict.fromkeys(range(32), " ")
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
    | {sign: f"&#{ord(sign)};" for sign in "*_`[]\\|~!:#$^="}
)
"""Signs of Markdown as well: it reads the text between inline tags."""


def render(params, context):
    number, digits = params["value"], params.get("digits")
    if digits is not None and not 0 <= digits <= 10:
        raise ValueError(f"A value has 0 to 10 digits behind its point, not {digits}.")
    limits = [(name, params[name]) for name in ORDER if params.get(name) is not None]
    for (lower, below), (upper, above) in itertools.pairwise(limits):
        if below >= above:
            raise ValueError(f"The limit {lower} ({below:g}) is to be below {upper} ({above:g}).")
    code = language(context, WORDS)
    unit = f" {params['unit']}" if params.get("unit") else ""
    state, limit = judged(number, dict(limits))
    within, below, above, warning, alarm = WORDS[code]
    said = within if limits else ""
    if limit is not None:
        where = (below if state.startswith("low") else above).format(written(limit, None, code) + unit)
        said = f"{alarm if '_' in state else warning}: {where}"
    sign = SIGNS[state] and f'<span class="value-sign" aria-hidden="true">{SIGNS[state]}</span> '
    label = f'<span class="value-label">{escape(params["label"])}:</span> ' if params.get("label") else ""
    shown = escape(written(number, digits, code) + unit)
    style = f' style="color:{COLOURS[state]};font-weight:bold"' if limits else ""
    told = f' <span class="value-state">({escape(said)})</span>' if limit is not None else ""
    title = f' title="{escape(said)}"' if said else ""
    return (
        f'<span class="macro-value value-{state.replace("_", "-")}"{title}>{label}'
        f'{sign}<data value="{number:.15g}"{style}>{shown}</data>{told}</span>'
    )


def judged(number, limits):
    """The state of a value, and the limit that it is beyond or None."""
    for name in ("low_low", "low"):
        if name in limits and number < limits[name]:
            return name, limits[name]
    for name in ("high_high", "high"):
        if name in limits and number > limits[name]:
            return name, limits[name]
    return "ok", None


def written(number, digits, code):
    """The number as people of that language write it, without a sign of thousands."""
    if digits is None:
        text = f"{number:.15g}" if not float(number).is_integer() or math.fabs(number) >= 1e15 else f"{number:.0f}"
    else:
        text = f"{number:.{digits}f}"
    return text if code == "en" else text.replace(".", ",")


def language(context, known):
    """The document's language, else that of the batch, where its words are known."""
    meta = (context.get("document") or {}).get("meta") or {}
    code = str(meta.get("language") or context.get("language") or "").lower()[:2]
    return code if code in known else "en"


def escape(text):
    """Make text safe in HTML and in Markdown, and one line."""
    return " ".join(str(text).translate(ENTITIES).split())
