"""Files that a client handed to a run: read-only memory, mapped from sealed descriptors, without any path."""

from __future__ import annotations

import mmap

from .buffers import mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class InputFile:
    """One file parameter.

    Attributes:
        name: The file's own name at the client, without folders.
        size: Bytes.
        buffer: The content, read-only, without a copy.
    """

    __slots__ = ("buffer", "name", "size")

    def __init__(self, name: str, fd: int, size: int) -> None:
        self.name = name
        self.size = size
        self.buffer = mapped(fd, size)

    def read(self) -> bytes:
        """The whole content."""
        return self.buffer.tobytes()

    def text(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        """The whole content as text."""
        return str(self.buffer, encoding, errors)

    def splitlines(self) -> list[str]:
        """All lines as text, without their ends."""
        return self.text().splitlines()

    def __iter__(self) -> Iterator[str]:
        """Lines as text with their ends, one at a time: a large log never stands in memory as a whole."""
        source = self.buffer.obj
        if not isinstance(source, mmap.mmap):
            return
        start = 0
        while start < self.size:
            end = source.find(b"\n", start) + 1 or self.size
            yield str(self.buffer[start:end], "utf-8", "replace")
            start = end

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"InputFile(name={self.name!r}, size={self.size})"
