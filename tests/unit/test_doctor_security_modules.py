"""What the doctor says of SELinux and AppArmor, by hosts that are made up of the files that they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.doctor.finding import Finding, Severity
from engine.doctor.remedies import HostSystem
from engine.doctor.security_modules import CHECKS, apparmor, selinux

ENFORCING = {"sys/fs/selinux/enforce": "1"}
ON = {"sys/module/apparmor/parameters/enabled": "Y\n"}
USER, SERVICE = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023", "system_u:system_r:unconfined_service_t:s0"


def host(folder: Path, files: dict[str, str]) -> HostSystem:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return HostSystem(folder)


@pytest.mark.parametrize(
    ("files", "level", "found", "advice"),
    [
        ({}, Severity.OK, "not on this host", ""),
        (
            {"sys/fs/selinux/enforce": "0", "proc/self/attr/current": USER + "\0"},
            Severity.OK,
            "permissive: it logs and refuses nothing (unconfined_t)",
            "",
        ),
        (
            ENFORCING | {"proc/self/attr/current": USER + "\0"},
            Severity.OK,
            "enforcing; this process is not confined (unconfined_t)",
            "restorecon",
        ),
        (
            ENFORCING | {"proc/self/attr/current": SERVICE},
            Severity.OK,
            "enforcing; this process is not confined (unconfined_service_t)",
            "below /opt",
        ),
        (
            ENFORCING | {"proc/self/attr/current": "system_u:system_r:container_t:s0:c1,c2\0"},
            Severity.WARN,
            "enforcing; this process is confined as container_t",
            "ausearch -m avc",
        ),
        (ENFORCING, Severity.WARN, "enforcing; this process is confined as unknown", "ausearch"),
        (ENFORCING | {"proc/self/attr/current": "\0"}, Severity.WARN, "confined as unknown", "ausearch"),
    ],
)
def test_selinux(tmp_path: Path, files: dict[str, str], level: Severity, found: str, advice: str) -> None:
    check(selinux(host(tmp_path, files)), "SELinux", level, found, advice)


@pytest.mark.parametrize(
    ("files", "level", "found", "advice"),
    [
        ({}, Severity.OK, "not on this host", ""),
        ({"sys/module/apparmor/parameters/enabled": "N"}, Severity.OK, "not on this host", ""),
        (ON | {"proc/self/attr/current": "unconfined\n"}, Severity.OK, "on; this process is not confined", ""),
        (
            ON | {"proc/self/attr/apparmor/current": "docker-default (enforce)\n"},
            Severity.WARN,
            "on; this process has the profile docker-default",
            "apparmor=unconfined",
        ),
        (
            ON | {"proc/self/attr/current": "/usr/bin/my python (complain)"},
            Severity.OK,
            "on; this process is watched by the profile /usr/bin/my python, which only logs",
            "",
        ),
        (
            ON
            | {"proc/self/attr/current": "unconfined", "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"},
            Severity.OK,
            "ordinary accounts have user namespaces only in programs whose profile says so",
            "",
        ),
        (
            # Of two modules each has a file of its own: this one is SELinux's.
            ON | {"proc/self/attr/current": USER, "proc/self/attr/apparmor/current": "unconfined"},
            Severity.OK,
            "on; this process is not confined",
            "",
        ),
    ],
)
def test_apparmor(tmp_path: Path, files: dict[str, str], level: Severity, found: str, advice: str) -> None:
    check(apparmor(host(tmp_path, files)), "AppArmor", level, found, advice)


def check(finding: Finding, tried: str, level: Severity, found: str, advice: str) -> None:
    assert (finding.tried, finding.level) == (tried, level)
    assert found in finding.found
    assert advice in finding.advice
    assert bool(finding.advice) or level is Severity.OK


def test_this_host_can_be_asked() -> None:
    assert [finding().tried for finding in CHECKS] == ["SELinux", "AppArmor"]
