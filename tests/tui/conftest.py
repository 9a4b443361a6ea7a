"""One project with one real engine for all console tests that do not harm it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from console_support import engine_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("console") / "plant-a") as root:
        yield root


@pytest.fixture
def short_folder():
    """A folder whose name fits into a line of a dialog, wherever the tests keep their own."""
    with tempfile.TemporaryDirectory(prefix="gw", dir="/tmp") as folder:
        yield Path(folder)
