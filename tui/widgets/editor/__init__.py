"""The script editor: a text area that stays quick, with what people expect of an editor around it."""

from tui.widgets.editor.editor import Editor, Place
from tui.widgets.editor.find_bar import FindBar
from tui.widgets.editor.pane import EditorPane

__all__ = ["Editor", "EditorPane", "FindBar", "Place"]
