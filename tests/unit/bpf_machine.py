"""A classic BPF machine for the instructions that seccomp filters here use (Documentation/networking/filter.rst)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from engine.worker import bpf
from engine.worker.syscalls import AUDIT_ARCH_X86_64

STRICTEST = (0x8000_0000, 0x0000_0000, 0x0003_0000, 0x0005_0000, 0x7FC0_0000, 0x7FF0_0000, 0x7FFC_0000, 0x7FFF_0000)
"""Actions of linux/seccomp.h, the one that wins first."""


@dataclass(frozen=True)
class Call:
    """One system call as struct seccomp_data of linux/seccomp.h shows it to a filter."""

    number: int
    arguments: tuple[int, ...] = field(default=(0,) * 6)
    architecture: int = AUDIT_ARCH_X86_64

    def data(self) -> bytes:
        padded = (*self.arguments, *(0,) * 6)[:6]
        return struct.pack("<IIQ6Q", self.number, self.architecture, 0, *(value & 2**64 - 1 for value in padded))


def judge(program: bytes, call: Call) -> int:
    """The action that ``program`` returns for ``call``; it must end, and touch nothing but the call."""
    code = list(bpf.INSTRUCTION.iter_unpack(program))
    data = call.data()
    accumulator = place = 0
    while True:
        kind, then, other, constant = code[place]
        place += 1
        if kind == bpf.LOAD:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif kind == bpf.RETURN:
            return constant
        elif kind == bpf.JUMP_EQUAL:
            place += then if accumulator == constant else other
        elif kind == bpf.JUMP_AT_LEAST:
            place += then if accumulator >= constant else other
        elif kind == bpf.JUMP_ANY_BIT:
            place += then if accumulator & constant else other
        else:
            raise AssertionError(f"an instruction of code {kind:#x}")


def judged_by_all(programs: list[bytes], call: Call) -> int:
    """What the kernel does when several filters are installed: the strictest answer."""
    answers = [judge(program, call) for program in programs]
    return min(answers, key=lambda action: STRICTEST.index(action & 0xFFFF_0000))
