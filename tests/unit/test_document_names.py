"""Paths of documents in the console, and files that are named on the command line."""

from __future__ import annotations

import pytest

from tui.commands.script_paths import document_meant
from tui.text.document_names import document_path, engine_path, is_document
from tui.text.new_document import document_skeleton, title_of


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("night", "documents/night.md"),
        ("plant/night", "documents/plant/night.md"),
        ("documents/night.txt", "documents/night.txt"),
        ("a\u0308.md", "documents/\u00e4.md"),
        ("plant/", "documents/plant/"),
    ],
)
def test_what_a_typed_name_means(typed, path):
    assert document_path(typed) == path
    assert engine_path(path) == path.removeprefix("documents/")


def test_a_script_may_lie_in_a_folder_of_that_name():
    assert is_document("documents/night.md")
    assert not is_document("documents/night.py")
    assert not is_document("documents.md")


def test_a_file_is_named_from_the_project_from_here_and_absolutely(tmp_path, monkeypatch):
    folder = tmp_path / "plant-a/documents/plant"
    folder.mkdir(parents=True)
    (folder / "night.md").write_text("x")
    (folder / "live.py").write_text("x")
    (tmp_path / "other.md").write_text("x")
    project = str(tmp_path / "plant-a")
    monkeypatch.chdir(folder)
    assert document_meant("night.md", project) == "documents/plant/night.md"
    assert document_meant(str(folder / "night.md"), project) == "documents/plant/night.md"
    assert document_meant("documents/gone.md", project) == "documents/gone.md"
    assert document_meant("live.py", project) is None
    assert document_meant(str(tmp_path / "other.md"), project) is None
    assert document_meant("nothing", project) is None


def test_a_new_document_has_front_matter_whatever_its_name():
    assert document_skeleton(title_of('documents/night"_shift.md')).startswith('---\ntitle: "Night\\" shift"\ndate: 2')
