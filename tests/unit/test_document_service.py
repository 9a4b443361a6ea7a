"""Documents as every surface sees them: listed, loaded, saved without loss, renamed, brought back, found."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from documents_kit import AUTHOR, VIEWER, Documents, documents_in

from engine.models.documents import DocumentInfo, SaveDocumentRequest
from engine.models.scripts import DeleteRequest, OutsideChange, RenameRequest
from engine.models.versions import RestoreRequest, VersionReason
from engine.services.access import ServiceError

NIGHT = """---
title: Night shift
date: 2024-05-01
status: published
tags: [plant, night]
language: no
owner: {name: Kari, shift: 2}
images: [plan.svg]
---
# Night

![Pump](img/pump.jpg) and [[youtube id=dQw4w9WgXcQ]]
"""


@pytest.fixture
async def docs(tmp_path: Path) -> AsyncIterator[Documents]:
    async with documents_in(tmp_path) as opened:
        yield opened


async def save(docs: Documents, path: str, text: str, base: str | None = None) -> DocumentInfo:
    return await docs.service.save(path, SaveDocumentRequest(text=text, base_sha256=base), AUTHOR)


async def refusal(work: Any) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await work
    return refused.value


def put(docs: Documents, path: str, data: bytes | str = b"x") -> None:
    file = docs.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)


async def paths(docs: Documents, **wanted: str) -> list[str]:
    return [info.path for info in (await docs.service.list(**wanted)).documents]


async def test_a_saved_document_is_listed_with_its_front_matter_and_images(docs: Documents) -> None:
    put(docs, "reports/img/pump.jpg")
    put(docs, "reports/plan.svg")
    put(docs, "elsewhere/photo.png")
    put(docs, "elsewhere/photo.png.meta", "title: A photo\ncreated: 2024-02-03\ndocuments: [reports/night.md]\n")
    made = await save(docs, "reports/night", NIGHT)
    assert made.path == "reports/night.md"
    assert (made.title, made.date, made.status, made.tags) == (
        "Night shift",
        "2024-05-01",
        "published",
        ["plant", "night"],
    )
    assert made.language == "no", "YAML 1.1 would have made it false"
    assert made.meta["owner"] == {"name": "Kari", "shift": 2}
    assert made.images == ["reports/img/pump.jpg", "reports/plan.svg", "elsewhere/photo.png"]
    assert made.sha256 == hashlib.sha256(NIGHT.encode()).hexdigest()
    (listed,) = (await docs.service.list()).documents
    assert listed == made == (await docs.service.load("reports/night")).info
    assert (await docs.service.load("reports/night.md")).text == NIGHT
    photo = next(image for image in (await docs.service.images()).images if image.path == "elsewhere/photo.png")
    assert (photo.title, photo.documents) == ("A photo", ["reports/night.md"])
    assert [image.path for image in (await docs.service.images(year=2024, month=2)).images] == ["elsewhere/photo.png"]
    assert await paths(docs, status="published", tag="night") == ["reports/night.md"]
    assert await paths(docs, status="draft") == []
    assert [(tag.name, tag.count) for tag in (await docs.service.tags()).tags] == [("night", 1), ("plant", 1)]


async def test_only_text_by_its_suffix_is_a_document(docs: Documents) -> None:
    for path in (
        "a.md",
        "b.TXT",
        "c.html",
        "d.rst",
        "e.adoc",
        "data.csv",
        "gateway.log",
        "x.py",
        "settings.json",
        "README",
    ):
        put(docs, path, "text")
    put(docs, ".hidden.md")
    assert await paths(docs) == ["a.md", "b.TXT", "c.html", "d.rst", "e.adoc"]
    for name in ("data.csv", "../x.md", "/etc/passwd.md", "a//b.md", ".x.md", "CON.md", "x.md\n", "ä\ud800.md"):
        assert (await refusal(save(docs, name, "text"))).code in ("bad_name", "bad_text"), name


async def test_no_save_replaces_what_its_author_has_not_seen(docs: Documents) -> None:
    first = await save(docs, "x.md", "one\n")
    put(docs, "x.md", "from vim\n")
    refused = await refusal(save(docs, "x.md", "two\n", first.sha256))
    assert (refused.code, refused.status) == ("conflict", 409)
    assert (docs.folder / "x.md").read_bytes() == b"from vim\n"
    assert (await refusal(save(docs, "x.md", "new\n"))).code == "conflict"
    seen = (await docs.service.load("x.md")).info.sha256
    await save(docs, "x.md", "merged\n", seen)
    history = await docs.service.history("x", AUTHOR)
    assert [version.sha256 for version in history.versions] == [seen]
    assert (await docs.service.version("x.md", seen, AUTHOR)).text == "from vim\n"
    again = await save(docs, "x.md", "merged\n", seen)
    assert again.sha256 == history.sha256, "the answer to the save before may have been lost"


async def test_renamed_deleted_and_brought_back(docs: Documents) -> None:
    made = await save(docs, "x.md", "one\n")
    moved = await docs.service.rename("x", RenameRequest(new_path="new/y.txt", base_sha256=made.sha256), AUTHOR)
    assert (moved.path, moved.sha256) == ("new/y.txt", made.sha256)
    assert await paths(docs) == ["new/y.txt"]
    assert (await refusal(docs.service.load("x.md"))).code == "no_document"
    stale = DeleteRequest(base_sha256="0" * 64)
    assert (await refusal(docs.service.delete("new/y.txt", stale, AUTHOR))).code == "conflict"
    gone = await docs.service.delete("new/y.txt", DeleteRequest(base_sha256=made.sha256), AUTHOR)
    assert (gone.reason, gone.sha256) == (VersionReason.DELETED, made.sha256)
    assert await paths(docs) == []
    back = await docs.service.restore("new/y.txt", RestoreRequest(), AUTHOR)
    assert (back.path, back.sha256) == ("new/y.txt", made.sha256)
    reasons = [version.reason for version in (await docs.service.history("new/y.txt", AUTHOR)).versions]
    assert reasons == [VersionReason.DELETED, VersionReason.RENAMED]
    other = await save(docs, "z.md", "secret\n")
    await save(docs, "z.md", "changed\n", other.sha256)
    assert (await refusal(docs.service.version("new/y.txt", other.sha256, AUTHOR))).code == "no_version"


async def test_a_viewer_changes_nothing(docs: Documents) -> None:
    request = SaveDocumentRequest(text="x")
    assert (await refusal(docs.service.save("x.md", request, VIEWER))).status == 403
    assert (await refusal(docs.service.history("x.md", VIEWER))).status == 403
    assert await paths(docs) == []


async def test_what_cannot_be_used_is_listed_with_the_reason_and_the_rest_works(
    docs: Documents, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("outside")
    put(docs, "good.md", "text")
    put(docs, "bytes.md", b"\xff\xfeh\x00i\x00")
    put(docs, "zero.txt", b"a\0b")
    put(docs, "yaml.md", "---\ntitle: [open\n---\ntext\n")
    put(docs, "objects.md", "---\ntitle: !!python/object/apply:os.system [ls]\n---\n")
    put(docs, "list.md", "---\n- a\n---\n")
    put(docs, "large.md", b"x" * ((2 << 20) + 1))
    os.symlink(tmp_path / "secret.md", docs.folder / "link.md")
    os.symlink(tmp_path, docs.folder / "linked")
    os.symlink(tmp_path / "secret.md", docs.folder / "photo.png")
    os.mkfifo(docs.folder / "pipe.md")
    (docs.folder / "con").mkdir()
    os.mknod(os.path.join(os.fsencode(docs.folder), b"caf\xff.md"))
    problems = {info.path: info.problem or "" for info in (await docs.service.list()).documents}
    assert problems.pop("good.md") == ""
    for path, part in {
        "bytes.md": "not UTF-8",
        "zero.txt": "holds a NUL",
        "yaml.md": "front matter cannot be read: line",
        "objects.md": "uses the tag",
        "list.md": "no table",
        "large.md": "it may have 2,097,152",
        "link.md": "symbolic link",
        "linked": "symbolic link",
        "pipe.md": "named pipe",
        "con": "left out",
        "caf\\udcff.md": "cannot be used",
    }.items():
        assert part in problems.pop(path), path
    assert problems == {}
    assert (await docs.service.images()).images == [], "no link is followed"
    assert (await docs.service.load("yaml.md")).text.startswith("---"), "it can be opened to be repaired"
    assert (await refusal(docs.service.load("bytes.md"))).code == "unreadable"
    assert "symbolic link" in (await refusal(docs.service.load("link.md"))).message
    refused = await refusal(save(docs, "link.md", "x", hashlib.sha256(b"outside").hexdigest()))
    assert "symbolic link" in refused.message
    assert (await refusal(save(docs, "linked/new.md", "x"))).code == "store"
    assert (tmp_path / "secret.md").read_text() == "outside"
    assert not (tmp_path / "new.md").exists()


async def test_documents_are_found_by_every_word(docs: Documents) -> None:
    await save(docs, "a.md", "---\ntitle: Übersicht der Pumpen\n---\nlast line\n")
    await save(docs, "b.md", "one\nThe pump is off, ÜBERSICHT\n")
    await save(docs, "c.md", "nothing of it\n")
    found = (await docs.service.search("ubersicht pump")).documents
    assert [(hit.path, hit.line) for hit in found] == [("a.md", 2), ("b.md", 2)]
    assert found[1].text == "The pump is off, ÜBERSICHT"
    assert (await docs.service.search("pump ubersicht")).documents[0].path == "b.md", "only the last one may be begun"
    limited = await docs.service.search("l", limit=1)
    assert (len(limited.documents), limited.more) == (1, False)
    assert (await docs.service.search("  ")).documents == []


async def test_questions_at_one_time_share_a_look_that_began_after_them(
    docs: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    scan = docs.files.scan

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return scan(*arguments)

    monkeypatch.setattr(docs.files, "scan", counted)
    put(docs, "x.md")
    answers = await asyncio.gather(*(docs.service.list() for _ in range(20)))
    assert all(answer == answers[0] and len(answer.documents) == 1 for answer in answers)
    assert looks == 2, "one that had begun when the others asked, and one for all of them"
    put(docs, "y.md")
    assert len((await docs.service.list()).documents) == 2


async def test_only_what_others_did_is_told(docs: Documents) -> None:
    await docs.service.list()
    made = await save(docs, "x.md", "one")
    await save(docs, "x.md", "two", made.sha256)
    await docs.service.look()
    put(docs, "x.md", "three")
    put(docs, "y.md", "four")
    await docs.service.look()
    await docs.service.look()
    with docs.events.subscribe(0) as events:
        heard = await anext(events)
    assert [event.type for event in heard] == ["document"] * 3
    assert [data["change"] for data in (event.data for event in heard) if isinstance(data, dict)] == [
        "created",
        "saved",
    ]
    outside = heard[-1].data
    assert isinstance(outside, OutsideChange)
    assert (outside.created, outside.updated, outside.paths) == (1, 1, ["y.md", "x.md"])


async def test_nobody_hears_of_documents_that_were_never_asked_for(docs: Documents) -> None:
    put(docs, "x.md", "one")
    await docs.service.look()
    assert not docs.index.used


async def test_a_touched_sidecar_or_image_shows(docs: Documents) -> None:
    put(docs, "p.png")
    await save(docs, "x.md", "![](p.png)")
    assert (await docs.service.list()).documents[0].images == ["p.png"]
    put(docs, "p.png.meta", "caption: new")
    assert (await docs.service.images()).images[0].caption == "new"
    (docs.folder / "p.png").unlink()
    assert (await docs.service.list()).documents[0].images == []
    assert (await docs.service.images()).images == []


async def test_a_project_without_the_folder_has_no_documents(docs: Documents) -> None:
    docs.folder.rmdir()
    assert await paths(docs) == []
