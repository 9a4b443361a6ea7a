"""An engine says that another version was installed over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.client.launch import _is_older
from engine.daemon.upgrade import InstalledVersion
from engine.models import base
from engine.models.engine import EngineInfo


def test_another_version_is_noticed_and_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "base.py"
    file.write_bytes(Path(base.__file__).read_bytes())
    installed = InstalledVersion(file)
    assert (installed.problem(), installed.replaced) == (None, False)
    file.unlink()
    assert (installed.problem(), installed.replaced) == (None, False), "in the middle of an installation"
    file.write_text('"""Other."""\n\nVERSION = "99.1rc2"\n')
    problem = installed.problem()
    assert problem is not None
    assert problem.startswith(f"Gatewright 99.1rc2 was installed, and this engine is still {base.VERSION}.")
    file.write_text("half of it")
    assert installed.problem() == problem
    file.write_bytes(Path(base.__file__).read_bytes())
    os.utime(file, ns=(1, 1))
    assert (installed.problem(), installed.replaced) == (None, True), "the same version once more"


@pytest.mark.parametrize(
    ("background", "replaced", "makes_way"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_an_engine_makes_way_to_its_own_version_installed_again(
    background: bool, replaced: bool, makes_way: bool
) -> None:
    info = EngineInfo(
        version=base.VERSION, api_version=base.API_VERSION, pid=1, project="/srv/plant-a", owner="ada", started_at=0.0,
        background=background, replaced=replaced,
    )  # fmt: skip
    assert _is_older(info) is makes_way
