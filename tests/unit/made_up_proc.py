"""A /proc of a test's own, as the meters of the engine read it."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.services.usage import PAGE, TICKS, UsageMeter

MIB = 1 << 20


class MadeUpProc:
    """A /proc of a test's own, with a clock that counts seconds since the host's start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 10_000.0
        (folder / "loadavg").write_text("1.25 0.5 0.1 1/200 4711\n")
        (folder / "meminfo").write_text("MemTotal:  8192 kB\nMemFree:  1 kB\nMemAvailable:  4096 kB\n")
        self.used: dict[int, float] = {}

    def process(
        self, pid: int, cpu: float, *, parent: int | None = None, began: float = 9_990.0, memory: int = MIB,
        reaped: float = 0.0, command: str = "python3",
    ) -> None:  # fmt: skip
        place = self.folder / str(pid)
        (place / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
        fields = ["0"] * 50
        fields[0] = "S"
        fields[11], fields[12] = str(int(cpu * TICKS) - 1), "1"
        fields[13] = str(int(reaped * TICKS))
        fields[19], fields[21] = str(int(began * TICKS)), str(memory // PAGE)
        (place / "stat").write_text(f"{pid} (a) strange) name) {' '.join(fields)}\n")
        (place / "cmdline").write_bytes(command.replace(" ", "\0").encode())
        children = place / "task" / str(pid) / "children"
        if not children.exists():
            children.write_text("")
        if parent is not None:
            listed = self.folder / str(parent) / "task" / str(parent) / "children"
            if str(pid) not in listed.read_text().split():
                listed.write_text(f"{listed.read_text()}{pid} ")

    def end(self, pid: int, parent: int) -> None:
        shutil.rmtree(self.folder / str(pid))
        listed = self.folder / str(parent) / "task" / str(parent) / "children"
        listed.write_text(listed.read_text().replace(f"{pid} ", ""))

    def clock(self) -> float:
        return self.now

    def meter(self) -> UsageMeter:
        return UsageMeter(self.folder, self.clock)
