"""A small assembler for classic BPF, as seccomp(2) takes it: jumps go to labels, never to counted offsets.

A filter whose jump is off by one looks right and lets something through, so nobody counts here: every target has a name
and ``assemble`` computes the distance. Jumps only go forward (Documentation/networking/filter.rst), eight bits far.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INSTRUCTION = struct.Struct("=HBBI")
"""struct sock_filter of linux/filter.h: code, distance if true, distance if false, constant."""

LOAD = 0x20
"""BPF_LD | BPF_W | BPF_ABS of linux/bpf_common.h: a word of struct seccomp_data into the accumulator."""

JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
JUMP_ANY_BIT = 0x45
"""BPF_JMP | BPF_K with BPF_JEQ, BPF_JGE and BPF_JSET."""

RETURN = 0x06
"""BPF_RET | BPF_K."""

NUMBER = 0
ARCHITECTURE = 4
"""Offsets in struct seccomp_data (linux/seccomp.h)."""

LONGEST_JUMP = 255


def argument(index: int, *, high: bool = False) -> int:
    """Offset of an argument's lower, or upper, 32 bits (little endian)."""
    return 16 + 8 * index + 4 * high


class Assembler:
    """Collects instructions; a jump names labels, and None means the next instruction."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, str | None, str | None]] = []
        self._labels: dict[str, int] = {}

    def load(self, offset: int) -> None:
        self._code.append((LOAD, offset, None, None))

    def jump(self, test: int, constant: int, *, then: str | None = None, other: str | None = None) -> None:
        """Go to ``then`` if the accumulator passes ``test`` with ``constant``, else to ``other``."""
        self._code.append((test, constant & 0xFFFF_FFFF, then, other))

    def label(self, name: str) -> None:
        """The next instruction is called ``name``."""
        if name in self._labels:
            raise ValueError(f"label {name} is there twice")
        self._labels[name] = len(self._code)

    def leave(self, action: int) -> None:
        """Return ``action`` to the kernel."""
        self._code.append((RETURN, action, None, None))

    def assemble(self) -> bytes:
        """The program.

        Raises:
            ValueError: A jump is too far, or leads nowhere or backward.
        """
        return b"".join(
            INSTRUCTION.pack(code, self._distance(place, then), self._distance(place, other), constant)
            for place, (code, constant, then, other) in enumerate(self._code)
        )

    def _distance(self, place: int, label: str | None) -> int:
        if label is None:
            return 0
        distance = self._labels.get(label, -1) - place - 1
        if not 0 <= distance <= LONGEST_JUMP or self._labels[label] >= len(self._code):
            raise ValueError(f"no jump from {place} to {label}")
        return distance


def ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """``numbers`` as stretches without gaps: first and last of each, ascending."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
