"""Default scripts in the console on their sample data: typed into the form, run in RESTRICTED."""

from __future__ import annotations

import pytest
from console_support import console

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("script", "sample"),
    [
        ("clock_drift", "clock_drift.log"),
        ("thread_dumps", "thread_dumps.txt"),
        ("alarm_journal", "alarm_journal.csv"),
        ("cert_expiry", "gateway_certificates.pem"),
        ("backup_check", "plant3.gwbk"),
        ("log_digest", "wrapper.log"),
    ],
)
async def test_it_runs_on_its_sample_by_the_path_that_its_help_names(project, tmp_path, script, sample):
    async with console(project, tmp_path) as c:
        await c.open(f"defaults/{script}.py")
        await c.press("f5")
        await c.shows(f"Run defaults/{script}.py", f"documents/samples/{sample}")
        await c.type(f"documents/samples/{sample}")
        await c.press("enter")
        await c.shows(f"defaults/{script}.py  ok", "RESTRICTED", "end of output")
