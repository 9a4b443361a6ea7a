"""What is mounted where: the same file may be reached by more ways than one (proc(5), /proc/self/mountinfo)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MOUNTINFO = "/proc/self/mountinfo"

KERNEL_FILE_SYSTEMS = frozenset(
    {
        "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
        "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs",
    }
)  # fmt: skip
"""File systems whose files are the kernel's switches, wherever they are mounted."""

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    point: str
    kind: str
    number: int = field(default=0, compare=False)
    """No two mounts of a moment have the same one."""

    @property
    def of_kernel(self) -> bool:
        return self.kind in KERNEL_FILE_SYSTEMS


def mounts() -> list[Mount]:
    """Every mount that this process sees, in the order in which they were made; empty where there is no /proc."""
    try:
        with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and after:
            point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
            found.append(Mount(point, after.split(" ")[0], int(fields[0])))
    return found


def numbers_below(folder: str) -> tuple[int, ...]:
    """The mounts that lie in ``folder``, which may itself be one, by their numbers."""
    return tuple(mount.number for mount in mounts() if mount.point != folder and is_within(mount.point, folder))


def mount_of(path: str, found: list[Mount]) -> Mount | None:
    """The mount that ``path``, absolute and without links, lies on: the innermost, and of those the latest."""
    holding = [mount for mount in found if is_within(path, mount.point)]
    return max(enumerate(holding), key=lambda item: (len(item[1].point), item[0]))[1] if holding else None


def is_within(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it, by their names alone."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
