"""Every default script, run in the console on its sample data as its form asks for it."""

from __future__ import annotations

import pytest
from console_support import console, engine_project

SAMPLES = {
    "alarm_journal": (["alarm_journal.csv"], "standing"),
    "backup_check": (["plant3.gwbk"], "Plant_Base, which is not in this backup"),
    "cert_expiry": (["gateway_certificates.pem"], "days"),
    "clock_drift": (["clock_drift.log"], "drift"),
    "config_diff": (["config_before.zip", "config_after.zip"], "views/overview/session.txt"),
    "csv_summary": (["tag_history.csv"], "40 rows, 6 columns"),
    "disk_health": (["df.log"], "/var/lib/ignition is full in 4 days"),
    "historian_gaps": (["historian.csv"], "2 h at 8.1"),
    "log_digest": (["wrapper.log"], "java.net.ConnectException"),
    "project_inventory": (["project.zip"], "page /alarms shows Alarms/List"),
    "tag_diff": (["tags_before.json", "tags_after.json"], "Boiler/SteamPressure"),
    "tag_lint": (["tags_after.json"], "10 to 0"),
    "thread_dumps": (["thread_dumps.log"], "DEADLOCK"),
}
"""The files of each, in the order of its form, and something that its output says."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("bundled") / "plant-a", bundled=True) as root:
        yield root


async def runs_on_its_sample(c, name):
    files, says = SAMPLES[name]
    await c.open(f"defaults/{name}.py")
    await c.press("f5")
    await c.shows(f"Run defaults/{name}.py", "timeout", "documents/samples/")
    for place, file in enumerate(files):
        if place:
            await c.press("tab")
        await c.type(f"documents/samples/{file}")
    await c.press("enter")
    await c.shows("end of output", f"defaults/{name}.py  ok", "RESTRICTED")
    await c.press("f3", "z", *["r"] * ("F3 r shows it" in c.text))
    await c.shows(says, "result:", f"defaults/{name}.py  ok")
    await c.press("z")


async def test_a_default_script_runs_in_the_console_on_its_sample(project, tmp_path):
    assert {path.stem for path in (project / "scripts/defaults").glob("*.py")} == {*SAMPLES, "tour"}
    async with console(project, tmp_path, size=(80, 110)) as c:
        await runs_on_its_sample(c, "tag_diff")


@pytest.mark.slow
async def test_every_default_script_does(project, tmp_path):
    async with console(project, tmp_path, size=(80, 110)) as c:
        for name in SAMPLES:
            await runs_on_its_sample(c, name)
