"""An engine as a service of a real systemd: installed, restricted, restarted, brought up to date, removed."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from account_support import _needed
from booted_host import GATEWRIGHT, PATIENCE, BootedHost, booted_host, needs_systemd
from daemon_support import wait_for
from package_index import Release

pytestmark = needs_systemd

UNIT = "gatewright-plant.service"
FILE = f"/etc/systemd/system/{UNIT}"
TREES = [str(tree) for tree in sorted(_needed())]
EVERYTHING = (
    "cd /; find etc/gatewright etc/systemd run/gatewright srv var/lib/gatewright -printf '%p %U %G %m\\n' 2>/dev/null"
    " | sort; sort /etc/passwd /etc/group"
)
CODE = "import sqlite3; d = sqlite3.connect('a.db'); d.execute('create table t(x)'); d.commit(); result = 40 + 2"


@pytest.fixture
def host() -> Iterator[BootedHost]:
    with booted_host() as booted:
        yield booted


def change(host: BootedHost, *lines: str) -> None:
    """What an administrator adds by ``systemctl edit``; and ``PrivateTmp=`` although the tests may lie below /tmp."""
    text = "\n".join(["[Service]", "PrivateTmp=yes", *(f"BindReadOnlyPaths={tree}" for tree in TREES), *lines])
    host.shell(f"mkdir -p {FILE}.d; cat > {FILE}.d/override.conf <<'END'\n{text}\nEND\nsystemctl daemon-reload")


def install(host: BootedHost, *arguments: str) -> str:
    done = host.call(GATEWRIGHT, "engine", "install", "--yes", *arguments)
    assert done.returncode == 0, done
    return done.stdout


def asked(host: BootedHost, *arguments: str, uid: int | None = None, groups: str = "--clear-groups") -> Any:
    """The answer of the service's engine, to root or to another account."""
    command = host.command(GATEWRIGHT, "--json", "--project", "@plant", *arguments, uid=uid, groups=groups)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, env=environment, check=False
    )
    return json.loads(done.stdout)


def main_process(host: BootedHost, *before: str) -> str:
    """The service's process, when it is active with another one than those before."""

    def found() -> str:
        shown = host.show(UNIT, "ActiveState", "MainPID")
        return shown["MainPID"] if shown["ActiveState"] == "active" else "0"

    wait_for(lambda: found() not in ("0", *before), PATIENCE)
    return found()


def test_it_is_full_under_all_restrictions_and_leaves_nothing_behind(host: BootedHost) -> None:
    before = host.shell(EVERYTHING)
    change(host)
    install(host, "--id", "plant", "--group", "plant", "--project", "/srv/plant")
    shown = host.show(UNIT, "ActiveState", "UnitFileState", "MainPID", "WatchdogUSec", "StatusText")
    main = shown.pop("MainPID")
    status = shown.pop("StatusText")
    assert shown == {"ActiveState": "active", "UnitFileState": "enabled", "WatchdogUSec": "1min"}
    assert re.fullmatch(r"\d of \d slots running, RESTRICTED full\..*", status), status

    # What the kernel has of the restrictions.
    kernel = dict(line.split(":\t") for line in host.shell(f"cat /proc/{main}/status").splitlines())
    assert (kernel["NoNewPrivs"], kernel["Seccomp"], int(kernel["CapBnd"], 16)) == ("1", "2", 0)
    mounts = host.shell(f"cat /proc/{main}/mounts")
    assert re.search(r"^\S+ /srv/plant \S+ rw", mounts, re.MULTILINE)
    assert re.search(r"^\S+ /proc/irq \S+ ro", mounts, re.MULTILINE)
    places = "/run/gatewright/plant /srv/plant /etc/gatewright/plant.toml"
    assert host.shell(f"stat -c '%a %U %G' {places}").splitlines() == [
        "2750 gatewright plant", "700 gatewright gatewright", "640 root plant",
    ]  # fmt: skip

    found = asked(host, "engine", "status")["engine"]
    assert (found["level"], found["shared"], found["owner"]) == ("full", "plant", "gatewright")
    run = asked(host, "exec", CODE)
    assert run["value"] == 42, run
    for layer in ("full", "userns", "pidns", "netns", "tmpfs", "view", "landlock", "seccomp"):
        assert layer in run["isolation"]
    assert not run.get("notes"), "a layer is missing"
    elsewhere = asked(host, "exec", "--mode", "admin", "open('/srv/elsewhere', 'w')")
    assert "Read-only file system" in json.dumps(elsewhere)
    assert asked(host, "exec", "--mode", "admin", "result = open('/tmp/a', 'w').write('x')")["value"] == 1

    removed = host.call(GATEWRIGHT, "engine", "uninstall", "--id", "plant", "--yes")
    assert removed.returncode == 0, removed
    assert "The project stays in /srv/plant." in removed.stdout
    assert "The account gatewright stays, since the project is its own." in removed.stdout
    host.shell("test -d /srv/plant/.gatewright; test ! -e /tmp/a; rm -r /srv/plant; userdel gatewright")
    assert host.shell(EVERYTHING) == before


@pytest.mark.slow
def test_the_level_falls_where_what_is_left_out_is_put_in(host: BootedHost) -> None:
    """What the test above sees is the restrictions' doing: with those that the unit does without, it is not full."""
    install(host, "--id", "plant", "--no-start")
    for line, expected in (
        ("RestrictNamespaces=yes", "core"),
        ("SystemCallFilter=~seccomp", "refused"),
        ("", "full"),
    ):
        change(host, line)
        host.shell("systemctl restart gatewright-plant")
        assert asked(host, "engine", "status")["engine"]["level"] == expected, line
    # Members cannot be told from each other: they have no name in a user namespace of the service's own.
    host.shell("gpasswd --add daemon gatewright")
    uid, gid = host.shell("id -u daemon; getent group gatewright | cut -d: -f3").split()
    member = {"uid": int(uid), "groups": f"--groups={gid}"}
    assert asked(host, "engine", "status", **member)["you"]["name"] == "daemon"
    change(host, "PrivateUsers=yes")
    host.shell("systemctl restart gatewright-plant")
    assert asked(host, "engine", "status", **member)["you"]["name"] == "nobody"


@pytest.mark.slow
def test_members_get_in_and_an_upgrade_keeps_settings_and_changes(host: BootedHost) -> None:
    change(host)
    install(host, "--id", "plant", "--group", "plant")
    uid, gid = host.shell("id -u nobody; getent group plant | cut -d: -f3").split()
    host.shell("gpasswd --add nobody plant")
    member = {"uid": int(uid), "groups": f"--groups={gid}"}
    assert asked(host, "engine", "status", **member)["you"]["role"] == "viewer"
    assert asked(host, "engine", "status", uid=int(uid))["code"] == "forbidden", "it is no member"
    host.shell("sed -i s/^viewers/admins/ /etc/gatewright/plant.toml; systemctl reload gatewright-plant")
    wait_for(lambda: asked(host, "engine", "status", **member)["you"]["role"] == "admin")
    shown = host.show(UNIT, "ActiveState", "NRestarts", "MainPID")
    first = shown.pop("MainPID")
    assert shown == {"ActiveState": "active", "NRestarts": "0"}

    host.shell(f"sed -i 's/^LimitCORE=0$/LimitCORE=1/' {FILE}; echo '# mine' >> /etc/gatewright/plant.toml")
    said = install(host)
    assert f"write again {FILE}" in said
    assert "start it again, which ends what runs: systemctl restart" in said
    shown = host.show(UNIT, "LimitCORE", "ActiveState", "PrivateTmp", "MainPID")
    assert shown.pop("MainPID") != first
    assert shown == {"LimitCORE": "0", "ActiveState": "active", "PrivateTmp": "yes"}
    assert host.shell("tail -n 1 /etc/gatewright/plant.toml") == "# mine\n"
    again = host.call(GATEWRIGHT, "--json", "engine", "install", "--yes")
    assert json.loads(again.stdout)["steps"] == [], again

    # uv works in there: it makes an environment and puts a wheel into it.
    release = Release("tank")
    wheel = base64.b64encode(release.wheel()).decode()
    host.shell(f"mkdir /opt/wheels; echo {wheel} | base64 -d > /opt/wheels/{release.file}")
    host.shell('printf \'[packages]\\nindex = "none"\\nwheelhouse = "/opt/wheels"\\n\' >> /etc/gatewright/plant.toml')
    host.shell(f"systemctl restart {UNIT}")
    done = host.call(GATEWRIGHT, "--project", "@plant", "packages", "install", "tank")
    assert done.returncode == 0, done
    assert "an administrator names it in policy.modules, and restarts its service" in done.stderr
    assert asked(host, "exec", "--mode", "admin", "import tank; result = tank.VERSION")["value"] == "1.0"

    # With the project gone, the account goes, too.
    host.shell("systemctl stop gatewright-plant; rm -r /var/lib/gatewright/plant")
    done = host.call(GATEWRIGHT, "engine", "uninstall", "--yes")
    assert "remove the account gatewright" in done.stdout, done
    assert host.call("getent", "passwd", "gatewright").returncode == 2
    assert host.call("getent", "group", "plant", "gatewright").stdout == ""


@pytest.mark.slow
def test_systemd_restarts_an_engine_that_hangs_or_is_killed(host: BootedHost) -> None:
    change(host, "WatchdogSec=4", "RestartSec=0")
    install(host, "--id", "plant")
    first = main_process(host)
    host.shell(f"kill -STOP {first}")
    second = main_process(host, first)
    host.shell(f"kill -KILL {second}")
    main_process(host, first, second)
    assert asked(host, "exec", CODE)["value"] == 42
    # A stop that was asked for is none.
    assert host.call(GATEWRIGHT, "--project", "@plant", "engine", "stop").returncode == 0
    wait_for(lambda: host.show(UNIT, "ActiveState")["ActiveState"] == "inactive", PATIENCE)
    away = asked(host, "engine", "status")
    assert away["hint"] == f"Its service starts it, as root: systemctl start {UNIT}"


@pytest.mark.slow
def test_a_start_that_fails_is_told_with_its_reason(host: BootedHost) -> None:
    host.shell("mkdir /etc/gatewright; printf '[listen]\\naddress = \"192.0.2.1:9\"\\n' > /etc/gatewright/plant.toml")
    done = host.call(GATEWRIGHT, "engine", "install", "--id", "plant", "--yes")
    assert done.returncode == 3
    assert "The service is installed and did not start: " in done.stderr
    assert "192.0.2.1" in done.stderr or "certificate" in done.stderr
    assert "journalctl -u gatewright-plant.service" in done.stderr


@pytest.mark.slow
def test_an_account_of_its_own_has_one_without_root(host: BootedHost) -> None:
    uid = 54_700
    home = "/home/gwuser"
    host.shell(
        f"echo gwuser:x:{uid}:{uid}::{home}:/bin/sh >> /etc/passwd; echo gwuser:x:{uid}: >> /etc/group;"
        f"install -d -o {uid} -g {uid} -m 700 {home} {home}/plant /run/user/{uid};"
        f"install -d /run/stubs-user; cp /run/stubs/*.target /run/stubs-user"
    )
    manager = f"""[Unit]
DefaultDependencies=no
[Service]
Type=notify
User={uid}
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/{uid} HOME={home} SYSTEMD_UNIT_PATH={home}/.config/systemd/user:/run/stubs-user
ExecStart=/lib/systemd/systemd --user
"""
    host.shell(f"cat > /etc/systemd/system/manager.service <<'END'\n{manager}END\n")
    host.shell("systemctl daemon-reload; systemctl start manager")
    of_user = {"XDG_RUNTIME_DIR": f"/run/user/{uid}", "HOME": home}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return host.call(GATEWRIGHT, *arguments, uid=uid, **of_user)

    done = call("engine", "install", "--user", "--project", f"{home}/plant", "--yes")
    assert done.returncode == 0, done
    assert "enable-linger" in done.stdout
    found = json.loads(call("--json", "--project", f"{home}/plant", "engine", "status").stdout)["engine"]
    assert (found["level"], found.get("background", False)) == ("full", False)
    shown = host.call("systemctl", "--user", "show", UNIT, "--property=ActiveState", uid=uid, **of_user)
    assert shown.stdout == "ActiveState=active\n"
    run = json.loads(call("--json", "--project", f"{home}/plant", "exec", CODE).stdout)
    assert run["value"] == 42
    done = call("engine", "uninstall", "--user", "--project", f"{home}/plant", "--yes")
    assert done.returncode == 0, done
    assert host.shell(f"find {home}/.config -type f -o -type l") == ""
    assert call("--project", f"{home}/plant", "engine", "status").returncode == 3
