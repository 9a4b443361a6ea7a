"""What installing an engine as a service does to a host, in an image of one, with a systemctl that writes down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from account_support import UID, _where_all_reach_python, environment, ordinary_account
from daemon_support import ProjectUnderTest

from engine.client.service import installing
from engine.client.service.host import ServiceHost
from engine.client.service.installing import ServicePlan, WantedService, plan_installation, plan_removal
from engine.client.starter import LaunchError

GATEWRIGHT = str(Path(sys.executable).with_name("gatewright"))
UNIT = "etc/systemd/system/gatewright-plant.service"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("useradd", path="/usr/sbin:/sbin") is None, reason="accounts are root's to make"
)

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "{calls}"
for word; do name=$word; done
wants="${{1#--root=}}/etc/systemd/system/multi-user.target.wants"
case "$2" in
enable) mkdir -p "$wants" && ln -s "../$name" "$wants/$name";;
disable) rm "$wants/$name"; rmdir "$wants" 2>/dev/null || true;;
esac
"""
"""Does offline what the real one does (``test_service_systemd.py`` has that), and writes down how it was called."""


class Image:
    """A host in a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "image"
        self.calls = folder / "calls"
        etc = self.root / "etc"
        etc.mkdir(parents=True)
        (etc / "passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\nanna:x:{UID}:{UID}::/:/bin/sh\n")
        (etc / "group").write_text(f"root:x:0:\nanna:x:{UID}:\n")
        (etc / "shadow").write_text("root:*:1::::::\nanna:*:1::::::\n")
        (etc / "login.defs").write_text("SYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nUSERGROUPS_ENAB yes\n")
        programs = folder / "bin"
        programs.mkdir()
        (programs / "systemctl").write_text(SYSTEMCTL.format(calls=self.calls))
        (programs / "systemctl").chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"
        self.host = ServiceHost(True, self.root)

    def install(self, **wanted: object) -> ServicePlan:
        plan = plan_installation(self.host, WantedService(**wanted))  # type: ignore[arg-type]
        plan.carry_out()
        return plan

    def uninstall(self, *, keep_settings: bool = False, **wanted: object) -> ServicePlan:
        plan = plan_removal(self.host, WantedService(**wanted), keep_settings=keep_settings)  # type: ignore[arg-type]
        plan.carry_out()
        return plan

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def everything(self) -> dict[str, tuple[int, int, int, str]]:
        """Each file but the copies that the tools for accounts make: mode, owner, group, content."""
        found = {}
        for path in self.root.rglob("*"):
            if path.is_file() and not path.name.endswith("-"):
                info = path.lstat()
                found[str(path.relative_to(self.root))] = (info.st_mode, info.st_uid, info.st_gid, path.read_text())
        return found

    def project(self, name: str, uid: int) -> PurePosixPath:
        """A project that is there already."""
        private = self.root / "srv" / name / ".gatewright"
        private.mkdir(parents=True, mode=0o700)
        for path in (private, private.parent):
            os.chown(path, uid, uid)
        return PurePosixPath("/srv", name)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    made = Image(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    return made


@needs_root
def test_installing_twice_changes_nothing_and_uninstalling_leaves_nothing(image: Image) -> None:
    before = image.everything()
    plan = image.install(id="plant", group="plant")
    assert [step.says.replace(str(image.root), "") for step in plan.steps] == [
        "make the group plant",
        "make the account gatewright, without a shell",
        "make a project of /var/lib/gatewright/plant, of gatewright",
        "write /etc/gatewright/plant.toml, of root, readable by the group plant",
        f"write /{UNIT}",
        "call systemctl --root= enable gatewright-plant.service",
    ]
    assert image.calls.read_text() == f"--root={image.root} enable gatewright-plant.service\n"
    account, gid = image.host.account("gatewright"), image.host.group("plant")
    assert account is not None
    project, settings = image.root / "var/lib/gatewright/plant", image.root / "etc/gatewright/plant.toml"
    for place, uid, group, mode in (
        (project, account.uid, account.gid, 0o40700),
        (project / ".gatewright", account.uid, account.gid, 0o40700),
        (project.parent, 0, 0, 0o40755),
        (settings, 0, gid, 0o100640),
        (settings.parent, 0, 0, 0o40755),
        (image.root / UNIT, 0, 0, 0o100644),
    ):
        info = place.stat()
        assert (info.st_uid, info.st_gid, info.st_mode) == (uid, group, mode), place

    settings.write_text("# mine\n")
    after = image.everything()
    assert image.install(id="plant").steps == ()
    assert image.install().steps == ()
    assert image.everything() == after

    plan = image.uninstall(id="plant")
    assert [note for note in plan.notes if "The account gatewright stays" in note]
    shutil.rmtree(project)
    image.install(id="plant", group="plant")
    shutil.rmtree(project)
    assert image.uninstall(id="plant").notes == ()
    assert image.everything() == before
    assert not (image.root / "etc/gatewright").exists()


@needs_root
def test_an_upgrade_keeps_what_was_asked_for(image: Image) -> None:
    project = image.project("plant", UID)
    kept = (PurePosixPath("/srv/export"), PurePosixPath("/srv/a b"))
    plan = image.install(project=project, group="plant", writable=kept, log_file=False)
    assert (plan.service.account, plan.service.made_account) == ("anna", False)
    first = image.text(UNIT)
    for line in ("User=anna", "Group=plant", "ReadWritePaths=-/srv/export", 'ReadWritePaths="-/srv/a b"',
                 "Environment=GATEWRIGHT_ENGINE_LOG_FILE=false"):  # fmt: skip
        assert f"\n{line}\n" in first
    (image.root / UNIT).write_text(first.replace("WatchdogSec=60\n", ""))
    plan = image.install()
    assert [step.says for step in plan.steps] == [f"write again {image.root / UNIT}"]
    assert image.text(UNIT) == first
    assert "\nLimitCORE=0\n" in image.text(UNIT)
    plan = image.install(id="plant", log_file=True, writable=(PurePosixPath("/srv/export"),))
    assert "LOG_FILE" not in image.text(UNIT)
    assert "/srv/a b" not in image.text(UNIT)
    image.uninstall()
    assert image.host.account("anna") is not None, "it was there before"


@needs_root
def test_another_group_gets_the_settings_and_another_project_no_id_that_is_taken(image: Image) -> None:
    image.install(id="plant", group="plant")
    settings = image.root / "etc/gatewright/plant.toml"
    plan = image.install(id="plant", group="other")
    assert f"give {settings} to the group other" in [step.says for step in plan.steps]
    assert settings.stat().st_gid == image.host.group("other")
    assert image.host.group("plant") is None
    assert "\nGroup=other\n" in image.text(UNIT)
    before = image.everything()
    for wanted in ({"project": PurePosixPath("/opt/plant")}, {"id": "plant", "project": PurePosixPath("/opt/x")}):
        with pytest.raises(LaunchError, match=r"The ID plant is that of /var/lib/gatewright/plant already\."):
            image.install(**wanted)
    assert image.everything() == before


@needs_root
def test_what_two_services_share_stays_until_the_second_goes(image: Image) -> None:
    image.install(id="plant")
    image.install(id="other")
    with pytest.raises(LaunchError, match=r"There is no service that was installed here") as caught:
        image.uninstall()
    assert caught.value.hint == "There are: other, plant. Name one: --id ID"
    shutil.rmtree(image.root / "var/lib/gatewright")
    image.uninstall(id="plant", keep_settings=True)
    assert image.host.account("gatewright") is not None
    assert (image.root / "etc/gatewright/plant.toml").exists()
    image.uninstall()
    assert image.host.account("gatewright") is None
    assert image.host.group("gatewright") is None


def _not_ours(image: Image) -> None:
    (image.root / UNIT).parent.mkdir(parents=True)
    (image.root / UNIT).write_text("[Service]\nExecStart=/bin/true\n")


def _masked(image: Image) -> None:
    (image.root / UNIT).parent.mkdir(parents=True)
    (image.root / UNIT).symlink_to("/dev/null")


def _units_lead_out(image: Image) -> None:
    """As an image that was copied from a host with links from / on."""
    away = image.root.parent / "away"
    away.mkdir()
    (image.root / "etc/systemd").mkdir(parents=True)
    (image.root / "etc/systemd/system").symlink_to(away)


def _settings_lead_out(image: Image) -> None:
    away = image.root.parent / "away"
    away.mkdir()
    (image.root / "etc/gatewright").symlink_to(away)


def _leads_out(image: Image) -> None:
    (image.root / "etc/systemd").symlink_to("/etc/systemd")


def _of_root(image: Image) -> None:
    image.project("plant", 0)


def _of_anna(image: Image) -> None:
    image.project("plant", UID)


def _nothing(_: Image) -> None:
    pass


PLANT = PurePosixPath("/srv/plant")


@needs_root
@pytest.mark.parametrize(
    ("prepare", "wanted", "says"),
    [
        (_not_ours, {"id": "plant"}, "was not made by gatewright engine install"),
        (_masked, {"id": "plant"}, "was not made by gatewright engine install"),
        (_leads_out, {"id": "plant"}, "leads out of"),
        (_units_lead_out, {"id": "plant"}, "leads out of"),
        (_settings_lead_out, {"id": "plant"}, "leads out of"),
        (_of_root, {"project": PLANT}, "belongs to root, and the service would run as gatewright"),
        (_of_anna, {"project": PLANT, "account": "gatewright"}, "belongs to anna, and the service would run as"),
        (_nothing, {"id": "plant", "account": "root"}, "No service runs as root"),
        (_nothing, {"id": "plant", "account": "a b"}, "'a b' cannot be the account"),
        (_nothing, {"id": "plant", "group": "-x"}, "'-x' cannot be the group"),
        (_nothing, {"id": "../x"}, "cannot be the ID"),
        (_nothing, {"id": "plant", "project": PurePosixPath("/srv/a\nUser=root")}, "cannot stand in a unit"),
        (_nothing, {"id": "plant", "project": PurePosixPath("/etc")}, "No project is made of /etc itself"),
        (_nothing, {}, "No project is named"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_service_is_refused_and_changes_nothing(
    image: Image, prepare: Callable[[Image], None], wanted: dict[str, object], says: str
) -> None:
    prepare(image)
    before = sorted(image.root.rglob("*"))
    with pytest.raises(LaunchError) as caught:
        image.install(**wanted)
    assert says in caught.value.message
    assert wanted or "--id ID" in (caught.value.hint or ""), "the help says that an ID is enough"
    assert caught.value.hint
    assert sorted(image.root.rglob("*")) == before


@needs_root
def test_a_step_that_fails_says_where_it_stopped(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    (image.root / "etc/login.defs").unlink()
    (Path(image.path.partition(":")[0]) / "systemctl").write_text("#!/bin/sh\necho 'Unit is odd.' >&2; exit 1\n")
    with pytest.raises(LaunchError, match=r"systemctl enable gatewright-plant.service failed: Unit is odd\."):
        image.install(id="plant")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("engine.client.service.host.SBIN", "/nonexistent")
    with pytest.raises(LaunchError, match="There is no systemctl on this host"):
        image.install(id="plant")


def test_a_project_with_an_engine_is_refused_until_that_ends(tmp_path: Path) -> None:
    project = ProjectUnderTest(tmp_path)
    project.settings("")
    code = (
        "import sys; from pathlib import Path; from engine.lock import LifetimeLock;"
        "LifetimeLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(project.paths.lifetime_lock)]
    held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdout is not None
    try:
        assert held.stdout.readline() == b"held\n"
        service = installing.Service(id="x", project=PurePosixPath(tmp_path), command=PurePosixPath("/bin/true"))
        with pytest.raises(LaunchError, match=rf"An engine serves \S+ already, process {held.pid}\."):
            installing._check_free(service, tmp_path, staged=False, active=False)
        installing._check_free(service, tmp_path, staged=False, active=True)
        wanted = WantedService(id="x", project=PurePosixPath(tmp_path))
        with pytest.raises(LaunchError, match="An engine serves"):
            plan_installation(ServiceHost(False), wanted)
        looked = plan_installation(ServiceHost(False), replace(wanted, looks=True))
        assert any(note.startswith("An engine serves") and "engine stop" in note for note in looked.notes)
        assert looked.files, "what would be written can be looked at"
    finally:
        held.communicate(b"", timeout=20)
    installing._check_free(service, tmp_path, staged=False, active=False)


def test_a_service_of_ones_own_with_a_name_is_for_the_project_around_the_current_folder() -> None:
    with ordinary_account() as account:
        plant = account.folder("plant")
        ProjectUnderTest(plant).settings("")
        account.own(plant)
        done = subprocess.run(
            account.command("engine", "install", "--user", "--id", "its-test", "--print"),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=plant, env=environment(),
        )  # fmt: skip
    assert done.returncode == 0, done
    assert f"--project {plant}" in done.stdout
    assert "gatewright-its-test.service" in done.stdout


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="systemd runs this host")
def test_a_host_without_systemd_is_told_and_can_look() -> None:
    unit = "/etc/systemd/system/gatewright-its-test.service"
    program = [sys.executable, "-m", "tui.cli", "engine", "install", "--system", "--id", "its-test"]
    command = [*_where_all_reach_python(), *program]
    looked = subprocess.run([*command, "--print"], capture_output=True, text=True, check=False, env=environment())
    assert looked.returncode == 0, looked.stderr
    assert f"would write {unit}" in looked.stdout
    assert "\nExecStart=" in looked.stdout
    done = subprocess.run([*command, "--yes"], capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 3
    assert "This host is not run by systemd" in done.stderr
    assert not os.path.lexists(unit)


@needs_root
def test_an_ordinary_account_is_told_that_the_hosts_services_are_roots() -> None:
    with ordinary_account() as account:
        image = Image(account.home)
        asked = ("engine", "install", "--root", str(image.root), "--id", "plant")
        assert account.call(*asked, "--print").returncode == 0
        done = account.call(*asked, "--yes")
        assert done.returncode == 4, done
        assert "the host's services are root's" in done.stderr
        assert not (image.root / UNIT).exists()


def test_a_user_without_a_manager_is_told_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho 'Failed to connect to bus: No medium found' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(LaunchError, match="Failed to connect to bus") as caught:
        ServiceHost(False).systemctl("enable", "gatewright-plant.service")
    assert caught.value.hint is not None
    assert "only after a login" in caught.value.hint
    assert not ServiceHost(False).answers("is-active", "gatewright-plant.service")


@needs_root
@pytest.mark.parametrize("words", [["--user"], ["--url", "https://a:1"], ["--project", "@x"]])
def test_what_names_no_service_of_this_account_is_refused(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "engine", "install", *words], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
