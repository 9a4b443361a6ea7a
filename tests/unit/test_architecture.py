"""ARCHITECTURE names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()


def test_every_module_that_it_names_is_there() -> None:
    there = [
        "/" + str(file.relative_to(ROOT))
        for top in ("default_scripts", "engine", "store", "tui", "tests")
        for file in (ROOT / top).rglob("*.py")
    ]
    named = {name for name in re.findall(r"`([\w./]+\.py)`", TEXT) if "SUBJECT" not in name}
    assert len(named) > 80
    assert [name for name in sorted(named) if not any(path.endswith("/" + name) for path in there)] == []
