"""The block of one script in the text of another: a text that came without its header gets it back."""

from __future__ import annotations

from store.frontmatter.block import Block, with_empty_block


def with_header_of(data: bytes, other: bytes) -> bytes:
    """Return ``data``, a script without a block, with the block of ``other``; as it is where ``other`` has none.

    Raises:
        FrontmatterError: One of the blocks cannot be read.
    """
    header = Block.of(other)
    if header is None or Block.of(data) is not None:
        return data
    kept = header.file[header.first : header.first + len(header.lines)]
    block = Block.needed(with_empty_block(data))
    opening = block.file[block.first - 1]
    end = opening[len(opening.rstrip(b"\r\n")) :]
    lines = [line.rstrip(b"\r\n") + end for line in kept]
    return b"".join([*block.file[: block.first], *lines, *block.file[block.first :]])
