"""Every attack and every positive control, one file a subject."""

from __future__ import annotations

from catalogue import (
    arguments,
    files,
    frames,
    introspection,
    kernel_surface,
    leftovers,
    locks,
    memory,
    memory_of_others,
    network,
    own_files,
    processes,
    protocol,
    resources,
    shared_memory,
    write_grant,
    writes,
)
from catalogue.allowed import ALLOWED
from catalogue.variants import VARIANTS

ATTACKS = {
    f"{module.__name__.rpartition('.')[2]}-{attack.name}": attack
    for module in (
        files, writes, write_grant, own_files, locks, network, processes, memory_of_others, introspection, arguments,
        kernel_surface, memory, resources, frames, protocol, leftovers, shared_memory,
    )
    for attack in module.ATTACKS
}  # fmt: skip

__all__ = ["ALLOWED", "ATTACKS", "VARIANTS"]
