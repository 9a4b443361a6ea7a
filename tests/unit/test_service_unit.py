"""The unit of a service: read back as it was written, liked by systemd's own tools, told in the help page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import tui
from engine.client.service.unit import CALLS, HARDENING, LEFT_OUT, Service, id_of, installed, unusable
from engine.worker import kernel

PAGE = (Path(tui.__file__).parent / "help/service.md").read_text()
ODD = (PurePosixPath("/srv/plant a/50% of $HOME"), PurePosixPath("/srv/Schicht ä;b"), PurePosixPath("/srv/[x]=#y"))

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here: apt-get install systemd"
)


PLANT = PurePosixPath("/srv/plant")


def service(*, system: bool = True, project: PurePosixPath = PLANT, **given: Any) -> Service:
    who = {"account": "daemon", "group": "daemon"} if system else {}
    return Service(id="plant", project=project, command=PurePosixPath("/bin/true"), system=system, **who, **given)


@pytest.mark.parametrize("path", ODD)
def test_a_unit_is_read_back_as_it_was_written(path: PurePosixPath) -> None:
    assert unusable(path) is None
    made = service(project=path, writable=(path / "x", path / "y"), log_file=False, made_account=True)
    assert installed(made.text()) == made
    users = service(system=False, project=path)
    assert installed(users.text()) == users


@pytest.mark.parametrize("text", ["", "[Unit]\nDescription=x\n", "\n[X-Gatewright]\nid=plant\n", "\n[X-Gatewright]\n"])
def test_a_unit_of_others_is_none_of_ours(text: str) -> None:
    assert installed(text) is None


@pytest.mark.parametrize("path", ["plant", "/srv/a\nUser=root", "/srv/a\\", '/srv/a"b', "/srv/a ", "/srv/\x1b[2J"])
def test_what_could_say_more_than_a_path_stands_in_no_unit(path: str) -> None:
    assert unusable(PurePosixPath(path))


def test_an_id_is_made_of_a_folders_name() -> None:
    names = {"plant": "plant", "Plant A (old)": "plant-a-old", "Ü": "", "x" * 40: "x" * 32, "a" * 31 + "-b": "a" * 31}
    assert {name: id_of(Path("/srv") / name) for name in names} == names


def test_what_lies_in_a_home_or_below_tmp_stays_reachable() -> None:
    usual, home = service().text(), service(project=PurePosixPath("/home/anna/plant")).text()
    assert "\nProtectHome=yes\n" in usual
    assert "\nPrivateTmp=yes\n" in usual
    assert "\nProtectHome=read-only\n" in home
    below_tmp = service(libraries=(PurePosixPath("/tmp/venv"),)).text()
    assert "\nPrivateTmp=" not in below_tmp
    assert "\nReadWritePaths=/tmp /var/tmp\n" in below_tmp


def test_a_users_own_manager_gets_what_it_can_have() -> None:
    text = service(system=False).text()
    assert "\nWantedBy=default.target\n" in text
    for directive in HARDENING:
        assert (f"\n{directive.name}=" in text) is directive.user, directive.name
    assert "User=" not in text
    assert "RuntimeDirectory" not in text


def test_the_calls_that_the_sandbox_makes_by_their_number_are_let_through() -> None:
    """Whatever the groups of an older systemd have: these no C library makes."""
    made = {name.removeprefix("SYS_").lower() for name in vars(kernel) if name.startswith("SYS_")}
    assert made
    assert made <= {*CALLS.split()}


def test_the_page_has_the_lines_of_the_unit_and_the_reasons_for_those_that_are_left_out() -> None:
    rows = set(re.findall(r"^\| (\w+=[^|]*) \| ([^|]+) \|$", PAGE, re.MULTILINE))
    shown = {CALLS: "@system-service @mount and the sandbox"}
    expected = {
        (f"{each.name}={shown.get(each.value, each.value)}{' *' if each.user else ''}", each.costs)
        for each in HARDENING
    }
    assert rows == expected | set(LEFT_OUT.items())


@needs_analyze
@pytest.mark.parametrize("project", [PurePosixPath("/srv"), *ODD])
def test_systemd_takes_it_without_a_warning(project: PurePosixPath, tmp_path: Path) -> None:
    made = service(project=project, writable=(project,), log_file=False)
    file = tmp_path / made.name
    file.write_text(made.text())
    # The account of the test's own engine, and no target of this host.
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if made.name in line]
    assert (done.returncode, said) == (0, []), done.stderr


@needs_analyze
def test_systemd_rates_it_as_the_page_says(tmp_path: Path) -> None:
    def rating(text: str) -> float:
        (tmp_path / "gatewright-plant.service").write_text(text)
        command = [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            str(tmp_path / "gatewright-plant.service"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "unrecognized option" in done.stderr or "Unknown" in done.stderr:
            pytest.skip("this systemd cannot rate a file")
        (found,) = re.findall(r"Overall exposure level for \S+ (\d+\.\d)", done.stdout)
        return float(found)

    (told,) = re.findall(r"rates the host's unit (\d\.\d)", PAGE)
    text = service().text()
    assert rating(text) <= float(told) + 0.5  # versions of systemd differ in what they count
    assert rating(re.sub(r"^(Protect|Private|Restrict|SystemCall)\w+=.*\n", "", text, flags=re.MULTILINE)) > 6


def test_the_command_does_not_load_the_installer_until_it_installs() -> None:
    code = "import sys, tui.commands.engine; print([name for name in sys.modules if 'client.service' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
