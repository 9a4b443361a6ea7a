"""The script editor: a text area that stays quick, with what people expect of an editor around it."""

from tui.widgets.editor.editor import Editor, Place

__all__ = ["Editor", "Place"]
