"""An engine says that another version was installed over it."""

from __future__ import annotations

import os
from pathlib import Path

from engine.daemon.upgrade import InstalledVersion
from engine.models import base


def test_another_version_is_noticed_and_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "base.py"
    file.write_bytes(Path(base.__file__).read_bytes())
    installed = InstalledVersion(file)
    assert installed.problem() is None
    file.unlink()
    assert installed.problem() is None, "in the middle of an installation"
    file.write_text('"""Other."""\n\nVERSION = "99.1rc2"\n')
    problem = installed.problem()
    assert problem is not None
    assert problem.startswith(f"Gatewright 99.1rc2 was installed, and this engine is still {base.VERSION}.")
    file.write_text("half of it")
    assert installed.problem() == problem
    file.write_bytes(Path(base.__file__).read_bytes())
    os.utime(file, ns=(1, 1))
    assert installed.problem() is None, "it was taken back"
