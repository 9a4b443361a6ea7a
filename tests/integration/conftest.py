from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_support import ProjectUnderTest


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """A new folder; the engine that a test starts in it is gone afterwards."""
    root = tmp_path / "plant"
    root.mkdir()
    project = ProjectUnderTest(root)
    yield project
    project.end()
