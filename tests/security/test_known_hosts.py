"""What the table of hosts promises, held against the doctor's own trials under the restrictions that each row names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account_support import OrdinaryAccount, environment, ordinary_account
from emulated_host import LACKS, SURROUNDINGS
from emulated_project import ACCOUNTS, AS_ROOT

from engine.doctor.hosts import EMULATIONS, HOSTS, LIMITED, KnownHost, Reach, UnknownHost, find, this_host
from engine.doctor.remedies import HostSystem
from engine.sandbox.plan import Level

HARNESS = str(Path(__file__).with_name("emulated_host.py"))

USUALLY = {("lxc", 1)}
"""The ordinary suite meets a namespace with filters in it; the slow one meets all."""


@pytest.fixture(scope="module")
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as made:
        yield made


ANOTHER_WAY = [
    Reach(
        when="AppArmor may refuse the map instead", level=Level.CORE, missing="scratch folder", emulated=["no-id-map"]
    )
]
"""What Ubuntu 24.04 refuses depends on the profile that a program falls to: mounts, or the id map before them."""


def rows() -> list[Any]:
    """Each case of each host, for each account; the ordinary suite meets a few with the account that is last."""
    return [
        pytest.param(
            reach,
            who,
            id=f"{host.name}-{at}-{who}",
            marks=[] if (host.name, at) in USUALLY and who == ACCOUNTS[-1] else pytest.mark.slow,
        )
        for host in HOSTS
        for at, reach in enumerate([*host.reaches, *(ANOTHER_WAY if host.name == "ubuntu-24.04" else [])])
        for who in ACCOUNTS
    ]


@pytest.mark.parametrize(("reach", "who"), rows())
def test_each_case_reaches_the_level_that_is_promised(reach: Reach, who: str, account: OrdinaryAccount) -> None:
    around = [HARNESS, ",".join(reach.emulated), "--", sys.executable]
    asked = ["-P", "-m", "engine", "doctor", "--json"]
    command = [sys.executable, *around, *asked] if who == AS_ROOT else account.python(*around, *asked)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment(), cwd="/")
    assert done.returncode == 0, done.stderr
    found = {finding["layer"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["RESTRICTED"]["found"].startswith(f"{reach.level}: "), found["RESTRICTED"]
    assert bool(found["Landlock"]["level"] == "ok") or "Landlock" in reach.missing or "landlock" in str(reach.emulated)
    if "userns-limit" in reach.emulated:
        assert LIMITED in found["user namespace"]["advice"], "the doctor there says what the table says"
    if "scratch folder" in reach.missing:
        assert found["scratch"]["level"] != "ok"


@pytest.mark.parametrize("host", HOSTS, ids=[host.name for host in HOSTS])
def test_each_row_says_what_it_was_found_with_and_what_to_do(host: KnownHost) -> None:
    for reach in host.reaches:
        assert reach.emulated, "what was not tried is not promised"
        assert all(EMULATIONS[name] for name in reach.emulated)
        assert all(name in LACKS or name in SURROUNDINGS or name.startswith("landlock-abi-") for name in reach.emulated)
        assert bool(reach.missing) or reach.level == "full"
        assert reach.to_do or reach.level == "full"
    assert host.best == "full" or host.name.startswith("rhel")


def test_names_are_taken_as_people_write_them() -> None:
    for written in ("ubuntu-24.04", "Ubuntu 24.04", "ubuntu2404", "noble", "NOBLE"):
        assert find(written).name == "ubuntu-24.04"
    assert (find("Rocky-8").name, find("RHEL 9").name, find("Proxmox").name) == ("rhel-8", "rhel-9", "lxc")
    names = [name for host in HOSTS for name in (host.name, *host.aliases)]
    assert len(names) == len(set(names))
    with pytest.raises(UnknownHost) as unknown:
        find("unbuntu-24")
    assert unknown.value.hint.startswith("Did you mean ubuntu-24.04? Known are rhel-8, ")
    with pytest.raises(UnknownHost) as unknown:
        find("\x1b[2Jplan9")
    assert "\x1b" not in str(unknown.value)
    assert unknown.value.hint.startswith("Known are ")


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("etc/os-release", 'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', "rhel-9"),
        ("etc/os-release", 'ID="springdale"\nID_LIKE="rhel"\nVERSION_ID="8.10"\n', "rhel-8"),
        ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID='22.04'\n", "ubuntu-22.04"),
        ("etc/os-release", "ID=debian\nVERSION_ID=13\n", "debian-13"),
        ("etc/os-release", "ID=plan9\nnonsense\n=\n", None),
        ("etc/os-release", "", None),
        (".dockerenv", "", "docker"),
        ("run/systemd/container", "lxc\n", "lxc"),
    ],
)
def test_a_host_is_known_by_its_own_files(tmp_path: Path, file: str, text: str, name: str | None) -> None:
    place = tmp_path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    assert this_host(HostSystem(tmp_path)) == name


HIGH = """
import asyncio, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
secret = os.open("/etc/hostname", os.O_RDONLY)
opened = [os.dup(secret) for _ in range(1500)]
from pool_kit import ADMIN, expect_innocent, pool_of, run
async def main():
    async with pool_of(1) as pool:
        await expect_innocent(pool)
        done = await run(pool, "import os\\nresult = sorted(map(int, os.listdir('/proc/self/fd')))", profile=ADMIN)
        print(done.value if done.value is not None else done.ending)
asyncio.run(main())
"""
"""An engine whose sockets have high numbers: what a child has besides its own is closed one by one there."""


@pytest.mark.parametrize("lack", ["linux-4.18"])
def test_on_an_old_kernel_a_run_has_no_descriptor_but_its_own(lack: str) -> None:
    kit = str(Path(__file__).parents[1] / "integration")
    command = [sys.executable, HARNESS, lack, "--", sys.executable, "-c", HIGH]
    variables = environment() | {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{kit}"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=variables, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    descriptors = json.loads(done.stdout)
    assert max(descriptors) < 16, descriptors
    assert len(descriptors) <= 6, descriptors


def test_the_command_explains_a_host() -> None:
    def told(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tui.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())

    one = told("doctor", "--explain", "noble")
    for reach in find("noble").reaches:
        assert reach.when in one.stdout
        assert reach.to_do in one.stdout
    assert "emulated  Landlock of ABI 4; a security module that refuses every mount" in one.stdout
    assert "no such host was met" in one.stderr
    refused = told("doctor", "--explain", "nobel")
    assert refused.returncode == 2
    assert "Did you mean ubuntu-24.04?" in refused.stderr


@pytest.mark.slow
def test_the_command_lists_all_hosts_for_people_and_programs() -> None:
    command = [sys.executable, "-m", "tui.cli"]
    listed = subprocess.run(
        [*command, "doctor", "--explain"], capture_output=True, text=True, timeout=60, check=True, env=environment()
    )
    assert all(host.name in listed.stdout and host.title in listed.stdout for host in HOSTS)
    known = subprocess.run(
        [*command, "--json", "doctor", "--explain"], capture_output=True, timeout=60, check=True, env=environment()
    )
    assert [host["name"] for host in json.loads(known.stdout)["hosts"]] == [host.name for host in HOSTS]
