"""Documents by the command line and the API of a real engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from cli_support import CliProject, cli_project

NIGHT = "---\ntitle: Night shift\nstatus: draft\ntags: [plant]\n---\n# Night ![](pump.png)\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("documents") / "project") as made:
        (made.root / "documents/reports").mkdir(parents=True)
        (made.root / "documents/reports/pump.png").write_bytes(b"x")
        yield made


@pytest.mark.slow
def test_a_document_is_made_saved_renamed_deleted_and_brought_back(project: CliProject) -> None:
    made = project.call("documents", "new", "reports/night", "--from", "-", stdin=NIGHT)
    assert (made.returncode, made.stderr) == (0, "gatewright: made reports/night.md\n")
    again = project.call("documents", "new", "reports/night", "--from", "-", stdin=NIGHT)
    assert again.returncode == 5
    assert "exists already" in again.stderr
    shown = project.call("documents", "show", "reports/night")
    assert shown.stdout == NIGHT
    about = project.call("documents", "show", "reports/night", "--about").stdout
    assert "title:    Night shift" in about
    assert "images:   reports/pump.png" in about
    first = project.json("documents", "list", "night", "--status", "draft")["documents"][0]
    assert first["path"] == "reports/night.md"
    saved = project.call("documents", "save", "reports/night", "--from", "-", stdin="second\n")
    assert saved.returncode == 0, saved.stderr
    stale = project.call(
        "documents", "save", "reports/night", "--from", "-", "--base", first["sha256"], stdin="third\n"
    )
    assert stale.returncode == 5
    old = project.call("documents", "show", "reports/night", "--version", first["sha256"][:8])
    assert old.stdout == NIGHT
    moved = project.json("documents", "rename", "reports/night", "reports/day.txt")
    assert moved["path"] == "reports/day.txt"
    assert project.call("documents", "delete", "reports/day.txt").returncode == 2, "it asks, and there is no terminal"
    gone = project.call("documents", "delete", "reports/day.txt", "--yes")
    assert "gatewright documents restore reports/day.txt" in gone.stderr
    assert "reports/day.txt" in project.call("documents", "history", "--deleted").stdout
    table = project.call("documents", "history", "reports/day.txt")
    assert "is deleted" in table.stderr
    assert "renamed from reports/night.md to reports/day.txt" in table.stdout
    back = project.call("documents", "restore", "reports/day.txt", "--version", first["sha256"][:8])
    assert back.returncode == 0, back.stderr
    assert (project.root / "documents/reports/day.txt").read_text() == NIGHT
    assert project.json("documents", "images", "reports/day.txt")["images"][0]["path"] == "reports/pump.png"
    found = project.call("documents", "search", "night", "shi")
    assert found.stdout == "reports/day.txt:2: title: Night shift\n"


def test_hostile_names_and_texts_do_not_drive_the_terminal_and_are_named(project: CliProject) -> None:
    folder = os.fsencode(project.root / "documents/bad")
    os.mkdir(folder)
    for name in (b"\x1b]0;x\x07.md", b"caf\xff.md"):
        os.mknod(os.path.join(folder, name))
    (project.root / "documents/bad/yaml.md").write_text("---\ntitle: [\x1b[31m\n---\n")
    listed = project.call("documents", "list", "bad/")
    assert listed.returncode == 0, listed.stderr
    assert "\x1b" not in listed.stdout + listed.stderr
    assert "bad/yaml.md: Its front matter cannot be read" in listed.stderr
    missing = project.call("documents", "show", "bad/yam")
    assert missing.returncode != 0
    assert "bad/yaml.md" in missing.stderr
    refused = project.call("documents", "new", "../out.md", "--from", "-", stdin="x")
    assert "cannot be a document's name" in refused.stderr
    assert not (project.root / "out.md").exists()


def test_data_for_scripts_is_no_document(project: CliProject) -> None:
    (project.root / "documents/data.csv").write_text("a,b\n")
    paths = [info["path"] for info in project.json("documents", "list")["documents"]]
    assert not [path for path in paths if path.endswith((".csv", ".log", ".json", ".wrapper"))], paths
    refused = project.call("documents", "show", "data.csv")
    assert refused.returncode != 0
    assert "it must end in .md" in refused.stderr
