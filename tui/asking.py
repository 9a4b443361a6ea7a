"""What dialogs about scripts share: the screen that shows them, and the questions that come again and again."""

from __future__ import annotations
