"""What the unit tests have for working as another account serves here too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_support import ProjectUnderTest

sys.path.append(str(Path(__file__).resolve().parent.parent / "unit"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """A new folder; the engine that a test starts in it is gone afterwards."""
    root = tmp_path / "plant"
    root.mkdir()
    project = ProjectUnderTest(root)
    yield project
    project.end()
