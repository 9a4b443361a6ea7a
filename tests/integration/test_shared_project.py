"""A project that a group shares, with real accounts: in a mount namespace of its own, so that nothing stays behind."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from account_support import PATIENCE, _where_all_reach_python, environment
from daemon_support import wait_for
from mounts import needs_mounts

pytestmark = needs_mounts

BASE = 54_500 + 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
OWNER, MEMBER, OTHER, STRANGER = range(BASE, BASE + 4)
GROUP = BASE + 5
NAMES = {OWNER: "gwowner", MEMBER: "gwmember", OTHER: "gwother", STRANGER: "gwstranger"}
SETTINGS = '[access]\noperators = ["@gwplant"]\nauthors = ["gwother"]\n[pool]\nsize = 3\n'


class Host:
    """A host of its own as far as /run, /etc and the accounts go."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "plant"
        prepare = f"""
            mount -t tmpfs -o mode=755 none /run
            mount -t tmpfs -o mode=755 none /mnt
            cp -a /etc/. /mnt; mount --move /mnt /etc
            mkdir -m 755 -p /etc/gatewright
            printf %s {shlex.quote(self._lines("{name}:x:{uid}:{uid}::/nonexistent:/bin/sh"))} >> /etc/passwd
            printf %s {shlex.quote(self._lines("{name}:x:{uid}:"))} >> /etc/group
            echo 'gwplant:x:{GROUP}:gwmember,gwother' >> /etc/group
        """
        self._holder = subprocess.Popen(
            [*_where_all_reach_python(), "unshare", "--mount", "--propagation", "private", "sh", "-ec",
             f"{prepare}\necho ready; exec sleep 600"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        # Who may write to the project's folder must not give himself a role.
        home = self.project / ".gatewright"
        home.mkdir(mode=0o700, parents=True)
        self.own_settings = home / "settings.toml"
        self.own_settings.write_text('[access]\nadmins = ["gwmember"]\n')
        self.own_settings.chmod(0o600)
        for path in (self.project, home, self.own_settings):
            os.chown(path, OWNER, OWNER)

    @staticmethod
    def _lines(form: str) -> str:
        return "".join(f"{form}\n".format(name=name, uid=uid) for uid, name in NAMES.items())

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()

    def inside(self, uid: int, *command: str) -> list[str]:
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--wd=/"]
        if uid == 0:
            return [*enter, *command]
        groups = f"--groups={GROUP}" if uid in (MEMBER, OTHER) else "--clear-groups"
        return [*enter, "setpriv", f"--reuid={uid}", f"--regid={uid}", groups, "--", *command]

    def call(self, uid: int, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside(uid, *command), capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
            env=environment(),
        )  # fmt: skip

    def gatewright(self, uid: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call(uid, sys.executable, "-m", "tui.cli", *arguments)

    def stat(self, path: str) -> str:
        """Mode, owner and group; empty where there is nothing."""
        return self.call(0, "stat", "-c", "%a %u %g", path).stdout.strip()

    def settings(self, text: str) -> None:
        self.call(0, "sh", "-c", f"printf %s {shlex.quote(text)} > /etc/gatewright/plant.toml")

    @contextmanager
    def serving(self, uid: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "engine", "serve", "--project", str(self.project), *arguments]
        engine = subprocess.Popen(
            self.inside(uid, *command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, env=environment(),
        )  # fmt: skip
        try:
            wait_for(lambda: bool(self.stat(SOCKET)) or engine.poll() is not None, PATIENCE)
            assert engine.poll() is None, engine.communicate()[1]
            yield engine
        finally:
            engine.terminate()
            engine.communicate(timeout=PATIENCE)

    def refused(self, uid: int, *arguments: str) -> str:
        done = self.call(uid, sys.executable, "-m", "engine", "serve", "--project", str(self.project), *arguments)
        assert done.returncode in (2, 3), done
        assert "Traceback" not in done.stderr
        return done.stderr


FOLDER = "/run/gatewright/plant"
SOCKET = f"{FOLDER}/engine.sock"
SHARE = ("--shared", "plant", "--group", "gwplant")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    # Not below pytest's own folder, which is closed to other accounts.
    folder = Path(tempfile.mkdtemp(prefix="gatewright-shared-", dir="/tmp"))
    folder.chmod(0o755)
    host = Host(folder)
    try:
        yield host
    finally:
        host.close()
        shutil.rmtree(folder)


def test_members_of_the_group_use_the_project_by_their_roles(host: Host) -> None:
    host.settings(SETTINGS)
    with host.serving(0, *SHARE) as engine:
        # Root has made the folders and gone on as the project's owner.
        assert host.stat("/run/gatewright") == "755 0 0"
        assert host.stat(FOLDER) == f"2750 {OWNER} {GROUP}"
        assert host.stat(SOCKET) == f"660 {OWNER} {GROUP}"
        assert host.stat(f"{host.project}/.gatewright/engine.sock") == f"600 {OWNER} {OWNER}"

        told = host.gatewright(MEMBER, "--project", "@plant", "--json", "engine", "status")
        assert told.returncode == 0, told.stderr
        info = json.loads(told.stdout)["engine"]
        assert (info["owner"], info["shared"]) == ("gwowner", "plant")
        unread = f"{host.own_settings} does not count while the project is shared"
        assert info["problems"] == [f"{unread}: its settings are in /etc/gatewright/plant.toml."]

        # An operator runs saved scripts and no code; an author does both.
        own = host.gatewright(OWNER, "--project", str(host.project), "eval", "40 + 2")
        assert own.stdout == "42\n", own.stderr
        code = host.gatewright(MEMBER, "--project", "@plant", "eval", "40 + 2")
        assert code.returncode == 4
        assert "gwmember may not" in code.stderr
        assert host.gatewright(OTHER, "--project", "@plant", "eval", "40 + 2").stdout == "42\n"

        # Others do not even reach the socket.
        stranger = host.gatewright(STRANGER, "--project", "@plant", "engine", "status")
        assert stranger.returncode == 4
        assert "group gwplant" in stranger.stderr

        # A socket that vanished is back, for the group.
        host.call(0, "rm", SOCKET)
        wait_for(lambda: host.stat(SOCKET) == f"660 {OWNER} {GROUP}")
        assert host.gatewright(MEMBER, "--project", "@plant", "engine", "status").returncode == 0

        # Without the file that gives roles, a member hears who writes it, and the owner that it is missing.
        host.call(0, "rm", "/etc/gatewright/plant.toml")
        missing = "yet: /etc/gatewright/plant.toml does not exist"
        wait_for(lambda: missing in host.gatewright(OWNER, "--project", str(host.project), "engine", "status").stdout)
        left = host.gatewright(MEMBER, "--project", "@plant", "engine", "status")
        assert left.returncode == 4
        assert "gwmember has no role in this shared project, which belongs to gwowner." in left.stderr
        assert "who gives roles in /etc/gatewright/plant.toml under [access]" in left.stderr

        assert engine.poll() is None
    assert host.stat(SOCKET) == ""
    assert host.stat(FOLDER) != ""


@pytest.mark.slow
def test_an_account_needs_the_folder_made(host: Host) -> None:
    host.call(0, "rm", "-rf", "/run/gatewright")
    said = host.refused(OWNER, *SHARE)
    assert said.startswith("There is no folder /run/gatewright.")
    hint = "install -d -m 2750 -o gwowner -g gwplant /run/gatewright/plant"
    assert f"As root: {hint}" in said
    host.call(0, *hint.split())
    with host.serving(OWNER, *SHARE):
        assert host.stat(SOCKET) == f"660 {OWNER} {GROUP}"
        # One ID is one engine's, whatever project asks for it.
        other = host.project.with_name("other")
        other.mkdir()
        os.chown(other, OWNER, OWNER)
        said = host.call(
            OWNER, sys.executable, "-m", "engine", "serve", "--project", str(other), *SHARE
        ).stderr  # fmt: skip
        assert "Another project's engine is @plant already" in said
        assert host.stat(SOCKET) == f"660 {OWNER} {GROUP}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("chmod 777 /run/gatewright", "/run/gatewright is not a folder that only root can change."),
        ("chown STRANGER /run/gatewright", "/run/gatewright is not a folder that only root can change."),
        (f"chmod 2770 {FOLDER}", "its mode is 2770."),
        (f"chmod 2755 {FOLDER}", "its mode is 2755."),
        (f"chown STRANGER {FOLDER}", "it belongs to gwstranger."),
        (f"chgrp STRANGER {FOLDER}", "it is not of the group gwplant."),
        (f"rm -r {FOLDER}; ln -s /tmp {FOLDER}", f"{FOLDER} cannot be used: Not a directory."),
        ("chmod 666 /etc/gatewright/plant.toml", "/etc/gatewright/plant.toml can be written by other accounts."),
        ("chown STRANGER /etc/gatewright/plant.toml", "belongs to another account"),
        ("chmod 777 /etc/gatewright", "/etc/gatewright can be changed by other accounts."),
        ("echo '[access]\nfoo = 1' > /etc/gatewright/plant.toml", "/etc/gatewright/plant.toml sets the unknown key"),
    ],
)
def test_a_place_that_others_could_change_is_refused(host: Host, change: str, sentence: str) -> None:
    fresh = f"rm -rf /run/gatewright; install -d -m 2750 -o {OWNER} -g {GROUP} {FOLDER}"
    host.call(0, "sh", "-c", fresh)
    host.settings(SETTINGS)
    try:
        # By number, which is another one in each process of a test run: no part of a test's name.
        host.call(0, "sh", "-c", change.replace("STRANGER", str(STRANGER)))
        assert sentence in host.refused(OWNER, *SHARE)
    finally:
        mended = (
            "install -d -m 755 -o root -g root /etc/gatewright; install -m 644 /dev/null /etc/gatewright/plant.toml"
        )
        host.call(0, "sh", "-c", f"rm -rf /run/gatewright; {mended}")


def test_root_takes_no_id_from_another_account(host: Host) -> None:
    host.call(0, "install", "-d", "-m", "2750", "-o", str(STRANGER), "-g", str(GROUP), FOLDER)
    said = host.refused(0, *SHARE)
    assert "The ID plant is gwstranger's" in said
    assert host.stat(FOLDER) == f"2750 {STRANGER} {GROUP}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--shared", "../etc", "--group", "gwplant"), "'../etc' cannot be the ID of a shared project"),
        (("--shared", "Plant", "--group", "gwplant"), "'Plant' cannot be the ID"),
        (("--shared", "a" * 33, "--group", "gwplant"), "cannot be the ID"),
        (("--shared", "plant", "--group", "gwnone"), "This host has no group gwnone."),
    ],
)
def test_what_is_no_id_or_group_is_said(host: Host, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in host.refused(OWNER, *arguments)


def test_root_becomes_no_account_that_cannot_use_its_python(host: Host, tmp_path: Path) -> None:
    python = _closed_environment(tmp_path / "closed")
    host.call(0, "rm", "-rf", "/run/gatewright")
    for arguments in (("engine", "serve", *SHARE), ("exec", "1")):
        done = host.call(0, str(python), "-m", "tui.cli", "--project", str(host.project), *arguments)
        assert done.returncode == 4, done
        assert f"gwowner cannot use the Python at {python}" in done.stderr
        assert "Traceback" not in done.stderr
    assert not host.stat("/run/gatewright")


def _closed_environment(folder: Path) -> Path:
    """A virtual environment that only root gets into, as one below /root is. Returns its interpreter."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "all.pth").write_text(f"{environment()['PYTHONPATH']}\n{Path(pytest.__file__).parents[1]}\n")
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    (folder / "bin").mkdir()
    python = folder / "bin" / version
    python.symlink_to(os.path.realpath(sys.executable))
    folder.chmod(0o700)
    return python
