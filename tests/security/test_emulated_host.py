"""The emulated hosts lack what they say, for root and for an ordinary account, and nothing beside it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account_support import UID, OrdinaryAccount, environment, ordinary_account
from daemon_support import parents, wait_for
from emulated_host import LACKS, LandlockAbi, assemble

HARNESS = str(Path(__file__).with_name("emulated_host.py"))
PROBE = str(Path(__file__).with_name("host_probe.py"))

NO_LANDLOCK = (
    "landlock", "landlock_rights_1", "landlock_refer", "landlock_truncate", "landlock_net", "landlock_ioctl",
    "landlock_scope", "landlock_no_scope", "landlock_holds", "landlock_port_rule", "landlock_quiet",
    "landlock_bad_flag", "landlock_short", "landlock_truncate_undumpable",
)  # fmt: skip
NO_USERNS = dict.fromkeys(("userns", "userns_by_clone", "netns", "mount", "proc"), "EPERM") | {"clone3": "ENOSYS"}
ABI_1 = {
    "landlock": 1,
    "landlock_refer": "EINVAL",
    "landlock_truncate": "EINVAL",
    "landlock_truncate_undumpable": "EINVAL",
    "landlock_ioctl": "EINVAL",
    "landlock_net": "E2BIG",
    "landlock_scope": "E2BIG",
    "landlock_port_rule": "E2BIG",
    "landlock_quiet": "EINVAL",
}
CHANGES: dict[str, dict[str, int | str]] = {
    "no-userns": NO_USERNS,
    "apparmor-like": {"mount": "EACCES", "proc": "EACCES"},
    "container": NO_USERNS,
    "no-landlock": dict.fromkeys(NO_LANDLOCK, "ENOSYS"),
    "landlock-off": dict.fromkeys(NO_LANDLOCK, "ENOTSUP"),
    "landlock-abi-1": ABI_1,
    "landlock-abi-3": {name: ABI_1[name] for name in ABI_1 if "refer" not in name and "truncate" not in name}
    | {"landlock": 3},
    "landlock-abi-6": {"landlock": 6, "landlock_quiet": "EINVAL"},
    "linux-4.18": dict.fromkeys((*NO_LANDLOCK, "clone3", "close_range"), "ENOSYS"),
    "no-pidfd": {"pidfd": "ENOSYS"},
    "nested": {},
    "userns-limit": dict.fromkeys(("userns", "userns_by_clone", "netns", "mount", "proc"), "ENOSPC"),
    "no-id-map": {"mount": "EROFS", "proc": "EROFS"},
    "masked-proc": {"proc": "EPERM"},
    "no-new-privs": {"no_new_privs": 1},
    "no-seccomp": {"seccomp": "EINVAL", "seccomp_by_prctl": "EINVAL"},
    "no-userns,no-landlock": NO_USERNS | dict.fromkeys(NO_LANDLOCK, "ENOSYS"),
    "no-userns,landlock-abi-1": NO_USERNS | ABI_1,
}
"""What the probe finds otherwise on each of these hosts."""

NAMESPACES = ("nested", "userns-limit", "no-id-map", "masked-proc")
"""Those that are a user namespace: no other account can be had in it, and no filter is put on."""


@pytest.fixture(scope="module")
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as made:
        yield made


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """What the probe finds on this host as it is."""
    found = probe([sys.executable, PROBE])
    if found["landlock"] < 7 or {found[name] for name in ("userns", "mount", "proc", "seccomp")} != {0}:
        pytest.skip("this host lacks something itself, so its lack cannot be emulated")
    return found


def probe(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment(), cwd="/")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_this_host_lacks_nothing_without_it(whole: dict[str, Any]) -> None:
    for changes in CHANGES.values():
        assert all(whole[name] != changed for name, changed in changes.items())


@pytest.mark.parametrize("lack", CHANGES)
def test_it_lacks_that_and_nothing_else(lack: str, whole: dict[str, Any]) -> None:
    assert probe([sys.executable, HARNESS, lack, "--", sys.executable, PROBE]) == whole | CHANGES[lack]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("lack", [lack for lack in CHANGES if lack not in NAMESPACES])
def test_it_lacks_that_for_an_account_inside(lack: str, whole: dict[str, Any], account: OrdinaryAccount) -> None:
    with account.inside(sys.executable, HARNESS, lack, "--"):
        found = probe(account.python(PROBE))
    assert found == whole | CHANGES[lack] | {"uid": UID}


@pytest.mark.parametrize("lack", CHANGES)
def test_an_account_without_rights_can_start_it(lack: str, whole: dict[str, Any], account: OrdinaryAccount) -> None:
    found = probe(account.python(HARNESS, lack, "--", sys.executable, PROBE))
    expected = whole | CHANGES[lack] | {"uid": UID if os.geteuid() == 0 else os.geteuid(), "no_new_privs": 1}
    # Nobody without rights reads the memory of what is not dumpable.
    if "landlock-abi" in lack:
        expected["landlock_truncate_undumpable"] = 0
    if lack in NAMESPACES:
        expected["no_new_privs"] = 0  # no filter is put on, which would need it
    assert found == expected


def test_the_command_is_what_it_would_be_without() -> None:
    for lack in ("no-userns", "landlock-abi-1"):
        command = [sys.executable, HARNESS, lack, "--", "sh", "-c", "echo $$; cat; ls /proc/self/fd >&2; exit 7"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(b"given", timeout=30)
        assert (process.returncode, out.decode()) == (7, f"{process.pid}\ngiven")
        assert err.split() == [b"0", b"1", b"2", b"3"], "nothing of the harness is open in it"


def test_who_answers_outlives_the_command_as_long_as_somebody_is_inside() -> None:
    """A daemon that the command started still meets the same host; after it, nobody is left."""
    before = set(parents())
    later = f"import time; time.sleep(0.5); import subprocess; subprocess.run([{sys.executable!r}, {PROBE!r}])"
    shell = f"{sys.executable} -c '{later.replace(chr(39), chr(34))}' & "
    command = [sys.executable, HARNESS, "landlock-abi-2", "--", "sh", "-c", shell]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout)["landlock"] == 2
    wait_for(lambda: not [pid for pid in set(parents()) - before if HARNESS in command_line(pid)])


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_an_unknown_lack_is_refused() -> None:
    done = subprocess.run([sys.executable, HARNESS, "no-luck", "--", "true"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no host lacks 'no-luck'" in done.stderr


@pytest.mark.parametrize(
    ("version", "content", "answer"),
    [
        (1, [0x1FFF], None),
        (1, [0x2000], -errno.EINVAL),
        (1, [0x1FFF, 0, 0], None),
        (1, [0x1FFF, 1], -errno.E2BIG),
        (2, [0x3FFF], None),
        (2, [0x4000], -errno.EINVAL),
        (3, [0x7FFF, 0], None),
        (4, [0x7FFF, 3], None),
        (4, [0x8000, 3], -errno.EINVAL),
        (4, [0, 4], -errno.EINVAL),
        (5, [0xFFFF, 3], None),
        (5, [0xFFFF, 3, 1], -errno.E2BIG),
        (6, [0xFFFF, 3, 3], None),
        (6, [0xFFFF, 3, 4], -errno.EINVAL),
    ],
)
def test_what_each_version_knows(version: int, content: list[int], answer: int | None) -> None:
    packed = b"".join(field.to_bytes(8, "little") for field in content)
    assert LandlockAbi(version).judge(packed) == (None if answer is None else (0, answer))


def test_a_filter_fits_the_kernels_limit() -> None:
    everything = [rule for rules in LACKS.values() for rule in rules]
    assert len(assemble(everything)) // 8 < 4096
