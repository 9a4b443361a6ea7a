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
        ("csv_summary", "tag_history.csv"),
        ("disk_health", "df.log"),
        ("historian_gaps", "historian.csv"),
        ("historian_gaps", "historian.db"),
        ("project_inventory", "project.zip"),
        ("tag_lint", "tags_after.json"),
    ],
)
async def test_it_runs_on_its_sample_by_the_path_that_its_help_names(project, tmp_path, script, sample):
    async with console(project, tmp_path) as c:
        await c.open(f"defaults/{script}.py")
        await c.press("f5")
        await c.shows(f"Run defaults/{script}.py", "documents/samples/", sample)
        await c.type(f"documents/samples/{sample}")
        await c.press("enter")
        await c.shows(f"defaults/{script}.py  ok", "RESTRICTED", "end of output")


@pytest.mark.parametrize(
    ("script", "before", "after"),
    [("tag_diff", "tags_before.json", "tags_after.json"), ("config_diff", "config_before.zip", "config_after.zip")],
)
async def test_one_that_compares_takes_both_samples(project, tmp_path, script, before, after):
    async with console(project, tmp_path) as c:
        await c.open(f"defaults/{script}.py")
        await c.press("f5")
        await c.shows(f"Run defaults/{script}.py", f"documents/samples/{before}")
        await c.type(f"documents/samples/{before}")
        await c.press("tab")
        await c.shows(f"documents/samples/{after} is one")
        await c.type(f"documents/samples/{after}")
        await c.press("enter")
        await c.shows(f"defaults/{script}.py  ok", "RESTRICTED", "end of output")


async def test_the_tour_says_all_it_has_to_say(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.open("defaults/tour.py")
        await c.press("f5")
        await c.shows("Run defaults/tour.py")
        await c.press("enter")
        await c.shows("defaults/tour.py  ok", "RESTRICTED", "end of output")
