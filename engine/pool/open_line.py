"""The line that a run has begun and not ended: seen in a page that its process shares, shown once it has stood a while.

A child keeps a line back until it is whole, since ``print`` writes in pieces and a frame of a few bytes is as much work
as one of a KiB. A prompt or a progress dot has no end that would send it. So the child notes in the page what it keeps
back, which costs it no call of the kernel, and the engine looks there now and then. Who writes the page is the script's
process: what stands there is output that it says it wrote, and never more than that. The engine writes there only which
line it shows.
"""

from __future__ import annotations

import os

from engine.worker.wire import LINE_PAGE, LINE_SHOWN, LINE_SHOWN_AT, OPEN_LINE, Frame

LOOKS_APART = 0.1
"""Seconds between two scans of the page; text that both find is shown."""


def make_page() -> int:
    """Return a descriptor of a page of memory to be shared. It is the caller's to close."""
    fd = os.memfd_create("line", os.MFD_CLOEXEC)
    os.ftruncate(fd, LINE_PAGE)
    return fd


class OpenLine:
    """One run's.

    Args:
        page: A descriptor that stays its owner's.
    """

    def __init__(self, page: int) -> None:
        self._page = page
        self._seen = 0
        """Number of the line that stood there at the last look; 0 for none."""
        self._shown = b""
        """What of a line was shown and has not come in a frame yet."""
        self._shown_line = 0, 0
        """Its stream and number."""

    def due(self, *, last: bool = False) -> tuple[int, bytes]:
        """Return what is to be shown now, and its stream as a type of frame; nothing, most times.

        Args:
            last: The run is being ended: also what was not there at the last look.
        """
        frame, number, text = self._read()
        stood, self._seen = number == self._seen, number
        if not text or not (stood or last):
            return 0, b""
        if self._shown and (self._shown_line != (frame, number) or not text.startswith(self._shown)):
            return 0, b""  # the frame with the line before is on its way
        if not last:
            # Another thread of the script that writes now either sees this, and sends what is shown first, or has
            # taken the note back already.
            os.pwrite(self._page, LINE_SHOWN.pack(number), LINE_SHOWN_AT)
            if self._read() != (frame, number, text):
                return 0, b""
        new = text[len(self._shown) :]
        self._shown, self._shown_line = text, (frame, number)
        return frame, new

    def unseen(self, frame: int, data: bytes) -> bytes:
        """Return what of the output in a frame has not been shown; a line that was begins its frame."""
        if not self._shown or frame != self._shown_line[0]:
            return data
        shown, self._shown = self._shown, b""
        return data.removeprefix(shown)

    def _read(self) -> tuple[int, int, bytes]:
        """Stream, number and text of the line that stands there, all of them nothing if there is none."""
        if self._page < 0:
            return 0, 0, b""
        page = os.pread(self._page, LINE_PAGE, 0)
        frame, size, number = OPEN_LINE.unpack_from(page)
        if frame not in (Frame.OUT, Frame.ERR) or page != os.pread(self._page, LINE_PAGE, 0):
            return 0, 0, b""  # or it is just being written
        return frame, number, page[OPEN_LINE.size : min(OPEN_LINE.size + size, LINE_SHOWN_AT)]
