"""Which interpreters of a host scripts may run on, and what each other one is refused for."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from ordinary_user import UID, own_folder, run_as_ordinary_user

from engine.pool.environment import BARE, ensure_environment, environment_at
from engine.sandbox import interpreters
from engine.sandbox.interpreters import (
    UnusableInterpreter,
    _answer,
    answer_of,
    check_interpreter,
    find_interpreters,
    interpreter_of,
    look_for_interpreters,
)

THIS = Path(os.path.realpath(sys.executable))
VERSION = ".".join(map(str, sys.version_info[:3]))
NAME = f"python3.{sys.version_info.minor}"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another account")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder ``bin`` with a copy of the interpreter of these tests."""
    made = tmp_path / "bin"
    made.mkdir(mode=0o755)
    shutil.copy(THIS, made / NAME)
    (made / NAME).chmod(0o755)
    yield made
    shutil.rmtree(made)


def refused(path: Path) -> str:
    with pytest.raises(UnusableInterpreter) as refusal:
        check_interpreter(path)
    return str(refusal.value)


def test_one_that_runs_is_found_by_its_resolved_path(place: Path, tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(place / NAME)
    found = check_interpreter(link)
    assert (found.path, found.version, found.source) == (place / NAME, VERSION, "added")


def test_the_usual_places_are_looked_at_and_shims_left_out(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyenv, managed, shims = tmp_path / "pyenv", tmp_path / "managed", tmp_path / "shims"
    for folder in (pyenv / "versions" / VERSION / "bin", managed / "cpython" / "bin", shims):
        folder.mkdir(parents=True)
    shutil.copy(place / NAME, pyenv / "versions" / VERSION / "bin" / NAME)
    shutil.copy(place / NAME, managed / "cpython" / "bin" / NAME)
    shim = shims / "python3"
    shim.write_text(f'#!/bin/sh\ntouch {tmp_path}/executed\nexec {THIS} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(pyenv))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(managed))
    monkeypatch.setenv("PATH", f"{shims}:{place}:relative")
    found = look_for_interpreters()
    sources = {one.path: one.source for one in found.usable}
    assert sources[pyenv / "versions" / VERSION / "bin" / NAME] == "pyenv"
    assert sources[managed / "cpython" / "bin" / NAME] == "uv"
    assert sources[place / NAME] == "local"
    assert THIS in sources
    assert shim not in [*sources, *(one.path for one in found.unusable)]
    assert not (tmp_path / "executed").exists()
    versions = [interpreters.version_parts(one.version) for one in found.usable]
    assert versions == sorted(versions, reverse=True)
    assert find_interpreters([place / NAME])[-1] in look_for_interpreters([place / NAME]).usable
    assert {one.path: one.source for one in find_interpreters([place / NAME])}[place / NAME] == "added"


def test_what_was_added_and_broke_is_told_with_its_reason(tmp_path: Path) -> None:
    found = look_for_interpreters([tmp_path / "gone" / "python3"])
    told = [one for one in found.unusable if one.source == "added"]
    assert [str(one) for one in told] == [f"There is no file {tmp_path}/gone/python3."]


def test_paths_that_are_no_interpreter(place: Path, tmp_path: Path) -> None:
    assert "is no absolute path" in refused(Path("bin/python3"))
    assert "There is no file" in refused(tmp_path / "none")
    assert "is no absolute path" in refused(tmp_path / "a\0b")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "There is no file" in refused(tmp_path / "loop")
    assert "is no file" in refused(place)
    assert "is no Python interpreter" in refused(Path("/bin/true"))
    shutil.copy("/bin/true", place / "python3")
    assert refused(place / "python3") == f"{place}/python3 does not run: it does not tell its version."
    (place / "python3").write_bytes(b"\x7fELF" + b"\0" * 100)
    assert "does not run" in refused(place / "python3")
    (place / "python3").write_text("#!/bin/sh\nexec python3.11\n")
    assert "is no Python interpreter" in refused(place / "python3")
    (place / "python3.8").write_bytes(b"\x7fELF")
    (place / "python3.8").chmod(0o755)
    assert "is Python 3.8, which is too old: scripts run on 3.9 to 3.14." in refused(place / "python3.8")
    (place / NAME).chmod(0o644)
    assert f"may not execute {place / NAME}." in refused(place / NAME)


def test_a_copy_in_a_virtual_environment_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_text(f"home = {THIS.parent}\n")
    assert "copy in a virtual environment" in refused(place / NAME)


def test_one_that_other_accounts_may_write_is_not_even_run(place: Path, tmp_path: Path) -> None:
    marked = place / NAME
    marked.chmod(0o757)
    assert f"every account may write to {marked}" in refused(marked)
    marked.chmod(0o755)
    place.chmod(0o777)
    assert f"every account may write to {place}." in refused(marked)
    place.chmod(0o1777)  # as /tmp is: others can put nothing in place of what is there
    assert check_interpreter(marked).version == VERSION
    place.chmod(0o755)
    library = tmp_path / "lib" / NAME
    library.mkdir(parents=True)
    (library / "os.py").touch()
    (library / "os.py").chmod(0o666)
    assert f"The standard library of {marked} cannot be trusted" in refused(marked)
    (library / "os.py").chmod(0o644)
    assert check_interpreter(marked).version == VERSION


@as_root
def test_one_of_another_account_or_of_a_shared_group_is_refused(place: Path) -> None:
    os.chown(place / NAME, UID, 0)
    assert f"{place / NAME} belongs to account {UID}" in refused(place / NAME)
    os.chown(place / NAME, 0, 0)
    os.chown(place, UID, 0)
    assert f"{place} belongs to account {UID}" in refused(place / NAME)
    os.chown(place, 0, UID)
    place.chmod(0o775)
    assert f"may write to {place}, by its group" in refused(place / NAME)
    os.chown(place, 0, 0)
    assert check_interpreter(place / NAME).version == VERSION, "root alone is in root's group"


def test_an_ordinary_account_is_told_what_it_may_not_execute() -> None:
    with own_folder() as folder:
        shutil.copy("/bin/true", folder / "python3")
        (folder / "python3").chmod(0o600)
        closed = folder / "closed"
        closed.mkdir()
        (closed / "python3").touch()
        if os.geteuid() == 0:
            closed.chmod(0o700)
            shutil.copy("/bin/true", folder / "python3.12")
            (folder / "python3.12").chmod(0o700)
        else:
            closed.chmod(0o000)
            shutil.copy("/bin/true", folder / "python3.12")
            (folder / "python3.12").chmod(0o600)
        answer = run_as_ordinary_user(lambda: [refused(folder / "python3.12"), refused(closed / "python3")])
        closed.chmod(0o700)
    assert "may not execute" in answer[0]
    assert "is out of reach of the engine's account" in answer[1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("pypy 3.10.14 -\n/\n", "is pypy, and scripts run on CPython only."),
        ("cpython 3.15.0 -\n/\n", "which is too new"),
        ("cpython 3.13.1 t\n/\n", "free-threaded"),
        ("cpython three -\n/\n", "does not tell its version"),
    ],
)
def test_what_it_tells_of_itself_decides(
    answer: str, expected: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_ask", lambda path, stamp: answer)
    assert expected in refused(place / NAME)


# -- of an environment -------------------------------------------------------------------------------------------------


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A virtual environment of the interpreter of these tests."""
    made = tmp_path / "environment"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(made)
    return made


def test_an_environments_interpreter_is_where_its_link_leads(prefix: Path) -> None:
    assert interpreter_of(prefix) == THIS
    assert environment_at(prefix) is not None


@pytest.mark.parametrize("name", ["python", "python3"])
def test_what_a_package_puts_there_is_never_executed(prefix: Path, tmp_path: Path, name: str) -> None:
    for link in (prefix / "bin").glob("python*"):
        link.unlink()
    (prefix / "bin" / name).write_text(f'#!/bin/sh\ntouch {tmp_path}/executed\nexec {THIS} "$@"\n')
    (prefix / "bin" / name).chmod(0o755)
    if name != "python":
        (prefix / "bin" / "python").symlink_to(name)
    assert interpreter_of(prefix) == THIS, "by pyvenv.cfg"
    found = environment_at(prefix)
    assert found is not None
    assert found.interpreter == THIS
    assert not (tmp_path / "executed").exists()


def test_a_configuration_that_names_an_interpreter_of_the_packages_is_refused(prefix: Path, tmp_path: Path) -> None:
    (prefix / "bin" / "python").unlink()
    shutil.copy(THIS, prefix / "bin" / "python")
    (prefix / "share").mkdir()
    (prefix / "share" / NAME).symlink_to(prefix / "bin" / "python")
    for home in (str(prefix / "share"), "share", "", "/nowhere"):
        (prefix / "pyvenv.cfg").write_text(f"home = {home}\nversion = {VERSION}\n")
        with pytest.raises(UnusableInterpreter, match="is not known"):
            interpreter_of(prefix)
        assert environment_at(prefix) is None


@as_root
def test_an_interpreter_of_another_account_is_not_run_for_an_older_environment(prefix: Path, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / NAME).write_text(f'#!/bin/sh\ntouch {tmp_path}/executed\nexec {THIS} "$@"\n')
    (host / NAME).chmod(0o755)
    (prefix / "bin" / "python").unlink()
    (prefix / "bin" / "python").symlink_to(host / NAME)
    assert environment_at(prefix) is not None, "it is root's"
    (tmp_path / "executed").unlink()
    (library,) = (prefix / "lib").glob("python3*/site-packages")
    (library / "by_hand.py").write_text("")
    os.chown(host, UID, UID)
    with pytest.raises(UnusableInterpreter, match="cannot be trusted"):
        interpreter_of(prefix)
    assert environment_at(prefix) is None
    made = asyncio.run(ensure_environment(prefix))
    assert (made.interpreter, made.prefix.name) == (THIS, BARE)
    assert (library / "by_hand.py").exists(), "what was installed by hand stays"
    assert not (tmp_path / "executed").exists()


@as_root
def test_a_link_to_an_environment_that_another_account_can_change_is_not_followed(prefix: Path, tmp_path: Path) -> None:
    link = tmp_path / "envs" / "default"
    link.parent.mkdir()
    link.symlink_to(prefix)
    assert environment_at(link) is not None
    os.chown(prefix, UID, UID)
    assert environment_at(link) is None


@pytest.mark.parametrize(
    "program",
    [
        "exec yes",
        "sleep 600",
        "exec >&-; sleep 600",
        "exit 3",
    ],
)
def test_a_program_that_floods_hangs_or_fails_is_no_answer(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr("engine.sandbox.interpreters.CHECK_TIMEOUT", 0.3)
    if program == "exec yes":
        monkeypatch.setattr("engine.sandbox.interpreters.CHECK_TIMEOUT", 60.0)
    began = time.monotonic()
    with pytest.raises(ChildProcessError):
        answer_of(["/bin/sh", "-c", program])
    assert time.monotonic() - began < 30


def test_what_a_program_started_does_not_hold_up_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sandbox.interpreters.CHECK_TIMEOUT", 0.3)
    began = time.monotonic()
    assert answer_of(["/bin/sh", "-c", "echo 3.12; sleep 600 & exit 0"]) == b"3.12\n"
    assert time.monotonic() - began < 30


def test_an_interpreter_that_did_not_run_once_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(command: list[str]) -> bytes:
        raise ChildProcessError(command[0])

    with monkeypatch.context() as patched:
        patched.setattr("engine.sandbox.interpreters.answer_of", failing)
        _answer.cache_clear()
        with pytest.raises(UnusableInterpreter, match="does not run"):
            check_interpreter(THIS)
    assert check_interpreter(THIS).version == VERSION
