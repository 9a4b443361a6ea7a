"""Which rows of a text area differ from what the terminal shows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class PaintedRows:
    """What each row of the widget, counted from its top, was a function of when it was painted last.

    A row is painted for one of two reasons. Either the widget asked for it: then ``changed`` named it, and what it
    returned is on its way to the screen. Or somebody else's area made it necessary, say a dialog that closed: then
    ``drawn`` hears of it, and if the row is not what was painted last, nothing is assumed of it any more.
    """

    def __init__(self) -> None:
        self._keys: dict[int, Hashable] = {}

    def forget(self) -> None:
        self._keys.clear()

    def changed(self, keys: Sequence[Hashable]) -> list[int]:
        """The rows to paint so that row ``y`` shows what ``keys[y]`` stands for. They must be painted now."""
        rows = [y for y, key in enumerate(keys) if self._keys.get(y) != key]
        self._keys = dict(enumerate(keys))
        return rows

    def drawn(self, top: int, keys: Sequence[Hashable]) -> None:
        """Rows from ``top`` on were drawn, for whatever reason, and may or may not have reached the screen."""
        for y, key in enumerate(keys, top):
            if self._keys.get(y) != key:
                self._keys.pop(y, None)
