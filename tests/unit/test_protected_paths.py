"""What may never be granted: equal to, inside of or above a protected place, by name and by identity."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.permissions import Access
from engine.sandbox import mounts
from engine.sandbox.places import ProtectedPath, host_places
from engine.sandbox.protected import HostProtection, ProtectedPaths, above

ROOT = pwd.getpwuid(0).pw_dir
"""The home of the account that every host has."""

NAMES = st.text(alphabet="abcXYZ019._- *[é", min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..", ".git", ".gatewright")
)
PARTS = st.lists(NAMES, min_size=1, max_size=5)


def no_such(parts: list[str]) -> str:
    """A path that exists on no host."""
    return "/".join(["", "no such root", *parts])


@given(PARTS, PARTS, st.sampled_from(Access))
def test_equal_inside_and_above_are_refused_and_nothing_else(one: list[str], more: list[str], access: Access) -> None:
    place = no_such(one)
    protected = ProtectedPaths([ProtectedPath(place, "a secret")])
    inside = "/".join([place, *more])
    for path in (place, inside, *above(place)):
        assert protected.conflict(path, access), path
    for path in (place + "x", no_such([*one[:-1], "x" + one[-1], *more]), "/no such root beside"):
        assert protected.conflict(path, access) is None, path


@given(PARTS, NAMES, PARTS)
def test_the_beginning_of_a_name_protects_every_name_that_begins_so(one: list[str], rest: str, more: list[str]) -> None:
    place = no_such(one)
    protected = ProtectedPaths([ProtectedPath(place, "a secret", prefix=True)])
    for path in (place, place + rest, "/".join([place + rest, *more]), *above(place)):
        assert protected.conflict(path, Access.READ), path
    assert protected.conflict(no_such([*one[:-1], "x" + one[-1]]), Access.READ) is None


@given(PARTS, NAMES)
def test_what_may_be_read_and_what_lies_in_an_open_place(one: list[str], name: str) -> None:
    place = no_such(one)
    readable = ProtectedPaths([ProtectedPath(place, "settings", reading=False)])
    assert readable.conflict(place, Access.READ) is None
    assert readable.conflict(f"{place}/{name}", Access.WRITE)
    open_inside = ProtectedPaths([ProtectedPath(place, "programs", inside=False)])
    assert open_inside.conflict(place, Access.READ)
    assert open_inside.conflict(os.path.dirname(place), Access.READ)
    assert open_inside.conflict(f"{place}/{name}", Access.WRITE) is None


def test_every_place_of_this_host_is_protected(tmp_path: Path) -> None:
    places = host_places(tmp_path / "plant", Path(sys.executable))
    protected = ProtectedPaths(places)
    for place in places:
        path = place.path + "x" if place.prefix else place.path
        inside = f"{path}/x" if place.inside else path
        for access in Access if place.reading else (Access.WRITE,):
            for one in (path, inside, *above(place.path)):
                assert protected.conflict(one, access), (one, access)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc", "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/sudoers", "/etc/sudoers.d/anybody",
        "/etc/ssh", "/etc/ssh/ssh_host_rsa_key", "/etc/ssl", "/etc/ssl/private/key.pem", "/etc/gatewright/plant.toml",
        "/etc/systemd/system", "/lib/systemd", "/usr/lib/systemd/system", "/etc/cron.d/job", "/etc/crontab",
        "/var/spool/cron/crontabs", "/etc/init.d", "/etc/profile.d/x.sh", "/etc/bash.bashrc", "/etc/ld.so.preload",
        "/etc/ld.so.conf.d", "/proc", "/proc/1/environ", "/proc/self/mem", "/sys", "/sys/fs/cgroup", "/dev", "/dev/shm",
        "/dev/mem", "/run", "/run/secrets", "/var/run", "/var/run/docker.sock", "/boot", "/boot/grub", ROOT,
        f"{ROOT}/.ssh/id_rsa", f"{ROOT}/.bashrc", f"{ROOT}/.config/gh/hosts.yml", f"{ROOT}/.config", "/home", "/usr",
        "/var", "/tmp", "/srv/other/.git", "/srv/other/.git/hooks/x", "/srv/other/.gatewright/state.db",
    ],
)  # fmt: skip
def test_known_places(tmp_path: Path, path: str) -> None:
    protected = ProtectedPaths(host_places(tmp_path / "plant", Path(sys.executable)))
    for access in Access:
        assert protected.conflict(path, access), access


@pytest.mark.parametrize(
    ("path", "access"),
    [
        ("/usr/local/bin/ignition/logs", Access.READ),
        ("/usr/local/bin/ignition/data/export", Access.WRITE),
        ("/var/log", Access.READ),
        ("/var/log/ignition", Access.WRITE),
        ("/srv", Access.WRITE),
        ("/mnt/share/reports", Access.WRITE),
        ("/etc/hosts", Access.READ),
        ("/etc/ssl/certs", Access.READ),
        ("/home/nobody-has-this-home/reports", Access.WRITE),
    ],
)
def test_what_people_need_can_be_granted(tmp_path: Path, path: str, access: Access) -> None:
    protected = ProtectedPaths(host_places(tmp_path / "plant", Path(sys.executable)))
    assert protected.conflict(path, access) is None


def test_programs_and_accounts_may_be_read_and_not_written(tmp_path: Path) -> None:
    protected = ProtectedPaths(host_places(tmp_path / "plant", Path(sys.executable)))
    for path in ("/etc/passwd", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/env", "/etc/logrotate.d"):
        assert protected.conflict(path, Access.WRITE), path
        assert protected.conflict(path, Access.READ) is None, path


def test_the_project_and_the_interpreters_are_protected(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    interpreter = root / ".gatewright" / "envs" / "default" / "bin" / "python"
    protected = ProtectedPaths(host_places(root, interpreter))
    refused = [
        root, tmp_path, root / "scripts", root / "scripts" / "x.py", root / ".git" / "hooks", root / ".gatewright",
        interpreter, Path(sys.executable), Path(sys.executable).resolve(), Path(os.__file__), Path(os.__file__).parent,
        Path(sys.prefix), Path(pytest.__file__),
    ]  # fmt: skip
    for path in refused:
        assert protected.conflict(str(path), Access.READ), path
    assert protected.conflict(str(root / "documents"), Access.WRITE) is None


def test_an_interpreter_of_the_host_protects_its_own_part_of_usr_only(tmp_path: Path) -> None:
    protected = ProtectedPaths(host_places(tmp_path / "plant", Path("/usr/local/bin/python3.12")))
    for path in ("bin/python3.12", "lib/python3.12/os.py", "lib/python3.12/site-packages"):
        assert protected.conflict(f"/usr/local/{path}", Access.READ), path
    assert protected.conflict("/usr/local/bin/ignition/logs", Access.READ) is None


def accounts(tmp_path: Path, *lines: str) -> ProtectedPaths:
    file = tmp_path / "passwd"
    file.write_text("\n".join(lines) + "\n")
    return ProtectedPaths(host_places(tmp_path / "plant", Path(sys.executable), str(file)))


def test_homes_come_from_the_file_of_accounts_whatever_it_holds(tmp_path: Path) -> None:
    home = tmp_path / "people" / "ann"
    home.mkdir(parents=True)
    (tmp_path / "homes").symlink_to(tmp_path / "people")
    protected = accounts(
        tmp_path, f"ann:x:1000:1000::{tmp_path}/homes/ann:/bin/sh", "daemon:x:1:1::/:/bin/false", "+::::::", "",
        "short:x", "odd:x:5:5::relative/home:/bin/sh", "dots:x:6:6::/srv/a/../b:/bin/sh",
    )  # fmt: skip
    for refused in (home, home / ".ssh", home / ".aws" / "credentials", home / ".bashrc", home.parent, Path("/srv/b")):
        assert protected.conflict(str(refused), Access.READ), refused
    assert protected.conflict(str(home / "reports"), Access.WRITE) is None
    assert protected.conflict(str(home / "bin"), Access.WRITE), "it is in the PATH of many accounts"


def test_a_missing_file_of_accounts_leaves_root_protected(tmp_path: Path) -> None:
    protected = ProtectedPaths(host_places(tmp_path, Path(sys.executable), str(tmp_path / "none")))
    assert protected.conflict(f"{ROOT}/.ssh", Access.READ)


def test_keys_that_the_settings_name_are_protected_wherever_they_are(tmp_path: Path) -> None:
    key = tmp_path / "site" / "keys" / "assistant"
    protected = HostProtection(tmp_path / "plant", Path(sys.executable), [key]).now()
    for path in (key, key.parent, key.parent.parent):
        assert "a key of this engine" in (protected.conflict(str(path), Access.READ) or ""), path
    assert protected.conflict(str(key.with_name("other")), Access.READ) is None


def test_a_file_that_took_over_the_inode_of_a_protected_one_is_another_file(tmp_path: Path) -> None:
    """As file systems give numbers again: the name moves here, since whether a number comes back cannot be forced."""
    key, other = tmp_path / "key.pem", tmp_path / "other.txt"
    key.write_text("secret")
    protected = ProtectedPaths([ProtectedPath(str(key), "a key")])
    os.rename(key, other)
    assert protected.conflict(str(other), Access.READ) is None
    key.write_text("secret")
    assert protected.conflict(str(key), Access.READ) is not None


def test_a_file_by_another_name_is_the_same_file(tmp_path: Path) -> None:
    secret = tmp_path / "private" / "key"
    secret.parent.mkdir()
    secret.write_text("key")
    os.link(secret, tmp_path / "harmless")
    protected = ProtectedPaths([ProtectedPath(str(secret), "a key")])
    assert protected.conflict(str(tmp_path / "harmless"), Access.READ)
    begins = ProtectedPaths([ProtectedPath(str(tmp_path / "private" / "ke"), "keys", prefix=True)])
    assert begins.conflict(str(tmp_path / "harmless"), Access.READ)


MOUNTED = """
import sys
from engine.models.permissions import Access
from engine.sandbox.places import ProtectedPath
from engine.sandbox.protected import ProtectedPaths
root = sys.argv[1]
protected = ProtectedPaths([ProtectedPath(f"{root}/secret/inner", "a secret")])
for path in sys.argv[2:]:
    print(protected.conflict(f"{root}/{path}", Access.READ) or "free")
"""


def in_mount_namespace(root: Path, mount: str, *paths: str) -> list[str]:
    """What is said of ``paths`` after ``mount``, which happens in a namespace of its own."""
    private = ["unshare", "--mount", "--propagation", "private"]
    as_root = ["--user", "--map-root-user"] if os.geteuid() else []
    command = [*private, *as_root, "sh", "-ec", f'{mount}\nexec "$@"', "sh"]
    if subprocess.run([*command, "true"], cwd=root, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    done = subprocess.run(
        [*command, sys.executable, "-c", MOUNTED, str(root), *paths], cwd=root, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("secret/inner/deep", "share/data", "other", "beside"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_a_second_mount_of_a_protected_folder_is_refused(tree: Path) -> None:
    bind = "mount --bind secret/inner share/data"
    shares = in_mount_namespace(tree, bind, "share/data", "share/data/deep", "share", "beside")
    assert all("a secret" in said for said in shares[:3]), shares
    assert shares[3] == "free"


def test_a_second_mount_of_a_folder_above_is_refused(tree: Path) -> None:
    others = in_mount_namespace(tree, "mount --bind secret other", "other", "other/inner", "other/inner/deep", "beside")
    assert all("a secret" in said for said in others[:3]), others
    assert others[3] == "free"


def test_file_systems_of_the_kernel_are_refused_wherever_they_are(tree: Path) -> None:
    said = in_mount_namespace(tree, "mount -t proc none share/data", "share/data", "share/data/1", "share", "beside")
    assert all("file system of the kernel (proc" in one for one in said[:3]), said
    assert said[3] == "free"


def test_mounts_are_read_with_their_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(
        "27 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n30 27 0:4 / /srv/a\\040b rw - proc none rw\nnonsense\n"
        "31 27 0:5 / /srv rw master:2 shared:4 - tmpfs none rw\n"
    )
    monkeypatch.setattr(mounts, "MOUNTINFO", str(file))
    found = mounts.mounts()
    assert [mount.point for mount in found] == ["/", "/srv/a b", "/srv"]
    holding = mounts.mount_of("/srv/a b/c", found)
    assert holding is not None
    assert holding.of_kernel
    assert mounts.mount_of("/srv/a bc", found) == mounts.Mount("/srv", "tmpfs")
    monkeypatch.setattr(mounts, "MOUNTINFO", str(tmp_path / "none"))
    assert mounts.mounts() == []


def test_a_look_at_the_host_counts_until_the_accounts_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "passwd"
    file.write_text("")
    monkeypatch.setattr("engine.sandbox.protected.ACCOUNTS", str(file))
    protection = HostProtection(tmp_path / "plant", Path(sys.executable))
    first = protection.now()
    assert protection.now() is first
    file.write_text("ann:x:1:1::/srv/ann:/bin/sh\n")
    os.utime(file, ns=(1, 1))
    assert protection.now() is not first
    monkeypatch.setattr("engine.sandbox.protected.FRESH", 0.0)
    second = protection.now()
    assert protection.now() is not second
