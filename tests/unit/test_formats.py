"""How sizes are written: one way, in the units that memory and limits are counted in."""

from __future__ import annotations

import pytest

from tui.text.formats import size


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 19, "1.5 MiB"),
        (20 << 20, "20.0 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes_have_binary_units(count: int, written: str) -> None:
    assert size(count) == written
