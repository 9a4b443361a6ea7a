"""The editor's colours: one set each for dark, light, 16-colour and the terminal's own themes. Meaning never hangs on
them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.widgets.text_area import TextAreaTheme

if TYPE_CHECKING:
    from textual.theme import Theme

_DARK = {
    "string": "#b5c98f",
    "embedded": "#d4d4d4",
    "escape": "#d7ba7d",
    "comment": "italic #7f8c8d",
    "number": "#d19a66",
    "constant": "#d19a66",
    "self": "italic",
    "class": "bold #e5c07b",
    "function": "bold #7fb4e6",
    "type": "#e5c07b",
    "parameter": "#a9b7c6",
    "builtin": "#6fc3c3",
    "decorator": "#d7ba7d",
    "keyword": "#c792ea",
}
_LIGHT = {
    "string": "#3c6e00",
    "embedded": "#24292e",
    "escape": "#8a5a00",
    "comment": "italic #6a737d",
    "number": "#9a4a00",
    "constant": "#9a4a00",
    "self": "italic",
    "class": "bold #7a4f00",
    "function": "bold #005cc5",
    "type": "#7a4f00",
    "parameter": "#44505c",
    "builtin": "#00666b",
    "decorator": "#8a5a00",
    "keyword": "#8a1fb3",
}
_SIXTEEN = {
    "string": "#00aa00",
    "embedded": "#aaaaaa",
    "escape": "#55ff55",
    "comment": "#00aaaa",
    "number": "#aa5500",
    "constant": "#aa5500",
    "class": "bold #ffff55",
    "function": "bold #ffffff",
    "type": "#ffff55",
    "builtin": "#55ffff",
    "decorator": "#ffff55",
    "keyword": "bold #ff55ff",
}
"""Colours of the 16-colour table (cyan comments: dark grey is hard to read on black). Bright ones come with bold on
terminals with eight."""
_ANSI = {
    "string": "green",
    "embedded": "default",
    "escape": "yellow",
    "comment": "italic bright_black",
    "number": "yellow",
    "constant": "yellow",
    "self": "italic",
    "class": "bold yellow",
    "function": "bold blue",
    "type": "yellow",
    "builtin": "cyan",
    "decorator": "yellow",
    "keyword": "magenta",
}


def _theme(name: str, colours: dict[str, str]) -> TextAreaTheme:
    return TextAreaTheme(name=name, syntax_styles={capture: Style.parse(style) for capture, style in colours.items()})


THEMES = {
    theme.name: theme
    for theme in (
        _theme("dark", _DARK),
        _theme("light", _LIGHT),
        _theme("sixteen", _SIXTEEN),
        _theme("ansi", _ANSI),
    )
}


def theme_for(app_theme: Theme) -> str:
    """The name of the colours that go with the app's theme."""
    if app_theme.name.startswith("ansi") or app_theme.name == "textual-ansi":
        return "ansi"
    if app_theme.name.endswith("-16"):
        return "sixteen"
    return "dark" if app_theme.dark else "light"
