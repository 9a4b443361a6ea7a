"""Packages that scripts name and that are missing: said in one sentence, without installing or importing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.pool.job import Environment
from engine.services.scripts.dependencies import Dependencies


def install(place: Path, name: str, version: str) -> None:
    folder = place / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    install(tmp_path, "Foo_Bar", "2.5")
    install(tmp_path, "odd", "not a version")
    return tmp_path


@pytest.mark.parametrize(
    "requirement",
    [
        "foo-bar",
        "foo.bar>=2,<3",
        "Foo_Bar[extra]==2.5",
        "absent; python_version < '3'",
        "foo-bar @ file:///somewhere",
    ],
)
def test_what_is_met(place: Path, requirement: str) -> None:
    assert Dependencies([place]).missing([requirement]) == []


@pytest.mark.parametrize(
    "requirement",
    [
        "absent",
        "foo-bar>=3",
        "foo bar",
        "",
        "\0",
        "odd",
        "absent; python_version > '3'",
        "foo-bar; python_version ~= 'abc'",
        f"foo-bar; {'(' * 5000}",
    ],
)
def test_what_is_missing(place: Path, requirement: str) -> None:
    assert Dependencies([place]).missing([requirement]) == [requirement]


def test_the_sentence_names_a_few(place: Path) -> None:
    dependencies = Dependencies([place])
    assert dependencies.note([]) is None
    assert dependencies.note(["foo-bar"]) is None
    assert dependencies.note(["foo-bar", "a>1"]) == "Not installed for scripts here: a>1."
    assert dependencies.note(["a", "b", "c", "d", "e"]) == "Not installed for scripts here: a, b, c and 2 more."


def test_what_was_installed_meanwhile_counts(place: Path) -> None:
    dependencies = Dependencies([place, place / "not there"])
    assert dependencies.missing(["late"]) == ["late"]
    install(place, "late", "1")
    assert dependencies.missing(["late"]) == []


def test_packages_of_an_environment_are_seen_and_the_engines_own_are_not(tmp_path: Path) -> None:
    install(tmp_path / "lib/python3.11/site-packages", "here", "1")
    environment = Environment(tmp_path / "python", tmp_path, tmp_path / "lib/python3.11/site-packages", "3.11.9")
    assert Dependencies.of(environment).missing(["here", "pytest"]) == ["pytest"]


def test_another_python_of_the_host_will_do_for_a_script_and_not_for_code() -> None:
    there = ("3.13.0", "3.11.9", "3.9.18")
    dependencies = Dependencies([], "3.11.9", lambda: there)
    assert dependencies.python_problem(">=3.11") is None
    assert dependencies.python_problem(">=3.12") is None
    assert dependencies.python_problem(">=3.12", elsewhere=False) == (
        "It requires Python >=3.12 (requires-python), and scripts here run with Python 3.11.9."
    )
    assert dependencies.python_problem(">=3.14") == (
        "It requires Python >=3.14 (requires-python), and scripts here run with Python 3.11.9, 3.13.0 or 3.9.18."
    )
    assert Dependencies([], "3.11.9").python_problem(">=3.12") is not None


def test_a_package_without_a_name_hides_no_other(place: Path) -> None:
    (place / "a_nameless-1.0.dist-info").mkdir()
    (place / "b_nameless-1.0.dist-info").mkdir()
    (place / "b_nameless-1.0.dist-info" / "METADATA").write_text("nothing of that kind")
    assert Dependencies([place]).missing(["foo-bar"]) == []
