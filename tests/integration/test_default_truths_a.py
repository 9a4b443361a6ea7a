"""The bundled scripts about logs, threads, alarms, certificates and backups, run on their sample data.

What is true of the samples is known from how they were made, not from what the scripts say.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import CliProject, cli_project

WIDTH = 80


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


def run(project: CliProject, script: str, *params: str, **samples: str) -> tuple[dict[str, Any], str]:
    """What a script returns and prints for sample data, in RESTRICTED with every layer."""
    files = [f"{name}={project.root / 'documents/samples' / sample}" for name, sample in samples.items()]
    arguments = [word for file in files for word in ("--file", file)] + [word for p in params for word in ("-p", p)]
    record = project.json("run", f"defaults/{script}", *arguments)
    assert (record["outcome"], record["mode"]) == ("ok", "RESTRICTED"), record
    assert record["stderr"] == ""
    assert max(map(len, record["stdout"].splitlines())) <= WIDTH
    value: dict[str, Any] = record["value"]
    return value, record["stdout"]


def test_clock_drift_is_held_against_restarts(project: CliProject) -> None:
    """Four days: seven warnings after two in the morning, four before the heap was full, two with a starved host."""
    found, output = run(project, "clock_drift", log="clock_drift.log")
    assert (found["from"], found["to"]) == ("2026/11/16 06:00:02", "2026/11/20 17:46:30")
    assert (found["warnings"], found["worst_ms"], found["set_back"]) == (17, 28410, 0)
    assert found["phases"] == {"after a start": 4, "before a restart": 4, "otherwise": 9}
    assert (found["starts"], found["starts_with_signs"]) == (3, 1)
    crash = found["restarts"][1]
    assert (crash["at"], crash["reason"]) == ("2026/11/19 13:59:18", "out of memory")
    assert (crash["warnings_before"], crash["worst_ms_before"], crash["hours_up_before"]) == (4, 28410, 79.99)
    assert [each["reason"] for each in found["restarts"]] == ["not in this log", "out of memory", "stopped and started"]
    assert found["starved"] == {"times": 2, "worst_seconds": 23}
    assert found["slow_pings"] == {"times": 1, "worst_seconds": 14}
    assert (found["hours"]["02"], found["regular_hours"]) == (7, ["02"])
    worst = found["episodes"][0]
    assert (worst["from"], worst["to"], worst["warnings"]) == ("2026/11/19 13:38:20", "2026/11/19 13:56:55", 4)
    assert worst["total_ms"] == 1904 + 3120 + 7450 + 28410
    assert "look at the host" in output
    assert "look at the heap" in output


def test_thread_dumps_show_the_deadlock_the_wanted_lock_and_who_is_stuck(project: CliProject) -> None:
    """Three dumps: two threads in a deadlock, three behind one that waits for a database, one busy script."""
    found, output = run(project, "thread_dumps", dump="thread_dumps.log")
    assert found["threads"] == [15, 15, 16]
    assert found["states"][0] == {"RUNNABLE": 3, "BLOCKED": 5, "WAITING": 7}
    assert found["states"][2] == {"RUNNABLE": 3, "BLOCKED": 5, "WAITING": 7, "TIMED_WAITING": 1}
    assert [sorted(each["threads"]) for each in found["deadlocks"]] == [["tag-transfer-1", "tag-transfer-2"]]
    assert found["deadlocks"][0]["dumps"] == [1, 2, 3]
    wanted = found["locks"][0]
    assert (wanted["owner"], wanted["waiting"]) == ("gateway-shared-exec-engine-7", 3)
    assert "PacketReader.readPacket" in wanted["owner_is_at"]
    stuck = {name for each in found["stuck"] for name in each["threads"]}
    assert stuck == {f"gateway-shared-exec-engine-{n}" for n in (7, 8, 9, 10)} | {"tag-transfer-1", "tag-transfer-2"}
    assert found["stuck_threads"] == 6
    assert (found["busiest"][0]["thread"], found["busiest"][0]["cpu_percent"]) == ("project-timer-script-1", 92.0)
    assert found["pools"][0] == {"pool": "gateway-shared-exec-engine", "threads": 11}
    assert "DEADLOCK in dump 1, 2, 3" in output


def test_the_gateways_own_json_is_a_thread_dump_too(project: CliProject) -> None:
    found, _ = run(project, "thread_dumps", dump="thread_dump.json")
    assert found["states"] == [{"RUNNABLE": 1, "BLOCKED": 1, "WAITING": 3, "TIMED_WAITING": 1}]
    assert [sorted(each["threads"]) for each in found["deadlocks"]] == [["opc-subscription-1", "opc-subscription-2"]]
    assert (found["busiest"][0]["thread"], found["busiest"][0]["cpu_percent"]) == ("perspective-worker-1", 87.4)
    assert ("perspective-worker-1", 1) in [(each["owner"], each["waiting"]) for each in found["locks"]]
    assert found["stuck"] == []


def test_the_alarm_journal_has_one_flood_one_chattering_and_two_standing_alarms(project: CliProject) -> None:
    """Three days: an alarm each 90 minutes, one that comes eight times 9 s apart, 14 and 6 in two windows, 3 after."""
    found, output = run(project, "alarm_journal", journal="alarm_journal.csv")
    assert (found["from"], found["to"]) == ("2026-11-18 00:07:00", "2026-11-20 22:41:00")
    assert found["activations"] == 48 + 2 + 8 + 14 + 6 + 3
    assert found["alarms"] == 3 + 2 + 1 + 14 + 6 + 3
    assert (found["skipped"], found["windows"], found["windows_over"]) == (0, 425, 1)
    assert found["per_10_minutes"] == pytest.approx(81 / 425, abs=0.005)
    assert found["floods"] == [{"from": "2026-11-19 14:20:00", "minutes": 20, "alarms": 20, "peak": 14}]
    assert found["chattering"] == [{"alarm": "Line2 Tank1 Level High", "in_a_minute": 7, "activations": 8}]
    assert [(each["alarm"], each["hours"], each["active"]) for each in found["standing"]] == [
        ("Line4 Valve7 Feedback Mismatch", 70.2, True),
        ("Boiler Flue O2 Low", 30.0, False),
    ]
    assert found["priorities"] == {"critical": 1, "high": 13 + 6, "medium": 2 + 8 + 3, "low": 48}
    assert [each["activations"] for each in found["most_frequent"][:4]] == [16, 16, 16, 8]
    assert (found["not_acknowledged"], found["median_seconds_to_acknowledge"]) == (81 - 48 - 1 - 14, 60.0)
    assert "very likely acceptable" in output


def test_certificates_have_days_left_and_a_chain_out_of_order(project: CliProject) -> None:
    found, output = run(project, "cert_expiry", "today=2026-11-20", certificates="gateway_certificates.pem")
    leaf, root, issuing = found["certificates"]
    assert leaf["subject"] == "CN=gw-01.plant.example, O=Example Plant"
    assert leaf["issuer"] == issuing["subject"]
    assert (leaf["not_after"], leaf["days_left"]) == ("2026-12-20 09:30", 30)
    assert leaf["names"] == ["gw-01.plant.example", "*.scada.plant.example", "192.0.2.10"]
    assert [each["key"] for each in found["certificates"]] == ["EC P-256", "RSA 4096", "RSA 2048"]
    assert [each["ca"] for each in found["certificates"]] == [False, True, True]
    assert [each["self_signed"] for each in found["certificates"]] == [False, True, False]
    assert leaf["problems"] == ["expires in 30 days"]
    assert root["problems"] == issuing["problems"] == []
    assert (found["chain"]["kind"], found["chain"]["in_order"], found["chain"]["order"]) == ("chain", False, [1, 3, 2])
    assert found["problems"] == 2
    assert "1, 3, 2" in output


@pytest.mark.parametrize(("host", "good"), [("GW-07.scada.plant.example", True), ("192.0.2.11", False)])
def test_a_certificate_is_held_against_a_host(project: CliProject, host: str, good: bool) -> None:
    found, _ = run(
        project, "cert_expiry", "today=2026-01-01", f"host={host}", certificates="gateway_certificates.pem"
    )  # fmt: skip
    assert found["certificates"][0]["problems"] == ([] if good else [f"not good for {host}"])


def test_an_old_certificate_is_weak_in_every_way(project: CliProject) -> None:
    found, _ = run(project, "cert_expiry", "today=2026-11-20", certificates="old_gateway.der")
    (old,) = found["certificates"]
    assert (old["key"], old["signature"], old["days_left"]) == ("RSA 1024", "RSA with SHA-1", -1419)
    assert [problem.partition(" ")[0] for problem in old["problems"]] == ["expired", "weak", "weak", "no"]


def test_a_backup_is_whole_and_listed(project: CliProject) -> None:
    found, output = run(project, "backup_check", backup="plant3.gwbk")
    assert (found["intact"], found["files"], found["made"]) == (True, 24, "2026-11-20 02:00")
    assert (found["version"], found["edition"], found["redundancy"]) == ("8.1.43 (b2024080813)", "standard", "Master")
    assert found["max_memory_mb"] == 4096
    projects = {each["name"]: each for each in found["projects"]}
    assert {name: each["resources"] for name, each in projects.items()} == {"Global": 2, "Old_HMI": 1, "Plant3": 5}
    assert projects["Plant3"]["types"] == {
        "com.inductiveautomation.perspective/views": 3,
        "ignition/named-query": 1,
        "ignition/timer": 1,
    }
    assert [each["enabled"] for each in found["projects"]] == [True, False, True]
    (database,) = found["databases"]
    assert (database["readable"], database["tables"], database["gateway"]) == (True, 4, "Plant-3")
    assert database["rows"] == {"TAGCONFIG": 120, "DATASOURCES": 3, "DEVICESETTINGS": 2, "SYSPROPS": 1}
    assert found["problems"] == ["The project Old_HMI inherits from Plant_Base, which is not in this backup."]
    assert found["largest"][0] == {"path": "db_backup_sqlite.idb", "bytes": 16384}
    assert "Ignition 8.1.43" in output


def test_the_log_digest_of_the_sample_fits_a_terminal(project: CliProject) -> None:
    found, output = run(project, "log_digest", log="wrapper.log")
    assert found["levels"] == {"error": 10, "warn": 19, "info": 21}
    assert "java.net.ConnectException x 7" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "parameter", "sample"),
    [
        ("clock_drift", "log", "clock_drift.log"),
        ("thread_dumps", "dump", "thread_dumps.log"),
        ("alarm_journal", "journal", "alarm_journal.csv"),
        ("cert_expiry", "certificates", "gateway_certificates.pem"),
        ("backup_check", "backup", "plant3.gwbk"),
        ("log_digest", "log", "wrapper.log"),
    ],
)
def test_uv_and_plain_python_run_the_same_file(project: CliProject, script: str, parameter: str, sample: str) -> None:
    """What they print is what a run prints, but for the path that the file is named by."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    file = [str(project.root / "scripts/defaults" / f"{script}.py"), str(project.root / "documents/samples" / sample)]
    commands = [[sys.executable, "-I", *file]]
    if uv is not None:
        commands.append([uv, "run", "--quiet", "--no-project", "--offline", "--python", sys.executable, *file])
    _, printed = run(project, script, **{parameter: sample})
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.replace(file[1], sample) == printed
