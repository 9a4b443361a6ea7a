"""The client's half of a render: what is read, written, copied, left alone, noted and found again."""

from __future__ import annotations

import asyncio
import errno
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from render_support import EngineHere, MacroHere, rendered_here

from engine.client import render_tree, rendering
from engine.client.answers import EngineUnreachable
from engine.client.render_manifest import Entry
from engine.client.render_tree import MANIFEST, TEMP, RenderFolderError, ResultFolder
from engine.client.rendering import Portions
from engine.models.documents import TagCounts


def box(text: str = "1") -> MacroHere:
    return MacroHere("box", lambda params, context: f"<b>{text}{params.get('n', '')}</b>", text=text)


def cloud() -> MacroHere:
    def render(params: dict[str, Any], context: dict[str, Any], *, ask: Any) -> str:
        counts = ask("documents.tags")
        assert isinstance(counts, TagCounts)
        return " ".join(f"{one.name}={one.count}" for one in counts.tags)

    return MacroHere("cloud", render)


@pytest.fixture
def engine() -> EngineHere:
    return EngineHere({"box": box(), "cloud": cloud()})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "a.md").write_bytes(b"\xef\xbb\xbf---\r\ntags: [pump]\r\n---\r\nA [[box n=1]]\r\nno end")
    (root / "deep" / "b.md").write_bytes(b"---\ntags: [pump, seal]\n---\n[[cloud]]\n")
    (root / "deep" / "er" / "c.txt").write_bytes(b"plain \\[[box]] `[[box]]`\n")
    (root / "deep" / "plain.html").write_bytes(b"<p>nothing</p>")
    (root / "img.png").write_bytes(b"\x89PNG\0[[box]]")
    (root / "img.png.meta").write_bytes(b"title: An image\n")
    (root / "data.csv").write_bytes(b"[[box n=3]]")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


async def test_documents_are_expanded_and_everything_else_is_copied_to_the_byte(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    summary = await rendered_here(engine, source, tmp_path / "out")
    wanted = contents(source)
    wanted["a.md"] = wanted["a.md"].replace(b"[[box n=1]]", b"<b>11</b>")
    wanted["deep/b.md"] = wanted["deep/b.md"].replace(b"[[cloud]]", b"pump=2 seal=1")
    assert contents(tmp_path / "out") == wanted
    assert (summary.documents, summary.rendered, summary.unchanged, summary.copied) == (4, 4, 0, 3)
    assert (summary.warnings, summary.problems, summary.failed) == ([], [], False)
    assert engine.ended == [("batch0", False)]


async def test_a_second_render_renders_nothing_and_asks_for_no_document(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    before = {path: (out / path).stat().st_mtime_ns for path in contents(out)}
    summary = await rendered_here(engine, source, out)
    assert (summary.rendered, summary.copied, engine.rendered) == (0, 0, [])
    assert before == {path: (out / path).stat().st_mtime_ns for path in contents(out)}
    again = await rendered_here(engine, source, out, force=True)
    assert (again.rendered, again.copied) == (4, 3)


async def test_only_the_documents_of_a_changed_macro_are_rendered_again(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    engine.macros["box"] = box("new")
    summary = await rendered_here(engine, source, out)
    assert engine.rendered == ["a.md", "deep/er/c.txt"] or engine.rendered == ["a.md"]
    assert b"<b>new1</b>" in (out / "a.md").read_bytes()
    assert summary.unchanged == 4 - len(engine.rendered)


async def test_another_documents_tags_render_the_documents_that_count_them(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    (source / "deep" / "er" / "c.txt").write_bytes(b"---\ntags: [valve]\n---\n")
    await rendered_here(engine, source, out)
    assert engine.rendered == ["deep/b.md"]
    assert b"valve=1" in (out / "deep" / "b.md").read_bytes()
    (source / "deep" / "er" / "c.txt").write_bytes(b"---\ntags: [valve]\n---\nmore text\n")
    await rendered_here(engine, source, out)
    assert engine.rendered == [], "what the macro reads is the same"


async def test_a_new_macro_renders_the_documents_that_waited_for_it(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    del engine.macros["box"]
    summary = await rendered_here(engine, source, out)
    assert [(one.kind, one.document, one.line) for one in summary.warnings] == [("unknown", "a.md", 4)]
    summary = await rendered_here(engine, source, out)
    assert engine.rendered == []
    assert [one.kind for one in summary.warnings] == ["unknown"], "it is told of again although nothing is rendered"
    engine.macros["box"] = box()
    summary = await rendered_here(engine, source, out)
    assert (engine.rendered, summary.warnings) == (["a.md"], [])


async def test_a_document_whose_macro_failed_is_tried_again(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    def fails(params: object, context: object) -> str:
        raise ValueError("no link")

    engine.macros["box"] = MacroHere("box", fails)
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert (summary.errors, summary.warnings[0].traceback is not None) == (1, True)
    assert (tmp_path / "out" / "a.md").read_bytes() == (source / "a.md").read_bytes()
    engine.macros["box"] = MacroHere("box", lambda params, context: "well")
    await rendered_here(engine, source, tmp_path / "out")
    assert engine.rendered == ["a.md"]


async def test_what_others_did_to_the_result_is_made_good(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    (out / "a.md").write_bytes(b"edited")
    (out / "img.png").unlink()
    (out / "of_others.md").write_bytes(b"stays")
    summary = await rendered_here(engine, source, out)
    assert (engine.rendered, summary.copied) == (["a.md"], 1)
    assert (out / "of_others.md").read_bytes() == b"stays"


async def test_files_whose_sources_are_gone_go_but_not_what_others_have_changed(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    (out / "img.png").write_bytes(b"changed by hand")
    (source / "img.png").unlink()
    (source / "deep" / "er" / "c.txt").unlink()
    summary = await rendered_here(engine, source, out)
    assert summary.removed == 1
    assert not (out / "deep" / "er").exists(), "an empty folder goes along"
    assert (out / "img.png").read_bytes() == b"changed by hand"


async def test_a_file_takes_the_place_of_a_folder(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    (source / "deep" / "er" / "c.txt").unlink()
    (source / "deep" / "er").rmdir()
    (source / "deep" / "er").write_bytes(b"a file now")
    summary = await rendered_here(engine, source, out)
    assert summary.problems == []
    assert (out / "deep" / "er").read_bytes() == b"a file now"


async def test_another_language_renders_everything_again(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    await rendered_here(engine, source, tmp_path / "out")
    await rendered_here(engine, source, tmp_path / "out", language="de")
    assert sorted(engine.rendered) == ["a.md", "deep/b.md", "deep/er/c.txt"]


async def test_binary_and_broken_documents_are_copied_and_told_of(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    (source / "binary.md").write_bytes(b"\0\1[[box]]")
    (source / "latin.md").write_bytes(b"gr\xfc\xdfe [[box]]")
    (source / "large.md").write_bytes(b"x" * (render_tree.MAX_DOCUMENT + 1))
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert (
        contents(tmp_path / "out").items()
        >= {name: (source / name).read_bytes() for name in ("binary.md", "latin.md", "large.md")}.items()
    )
    assert [one.path for one in summary.problems] == ["binary.md", "large.md", "latin.md"]
    assert not summary.failed


async def test_documents_that_change_while_they_are_rendered_are_told_of(
    engine: EngineHere, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "KEPT_TEXT", 0)  # each is read again when its turn comes
    (source / "deep" / "plain.txt").write_bytes(b"nothing")
    (source / "deep" / "later.md").write_bytes(b"nothing")
    remove_stale = rendering._Rendering._remove_stale

    def changed_meanwhile(self: rendering._Rendering, scan: Any) -> None:
        (source / "deep" / "plain.html").unlink()
        (source / "deep" / "plain.txt").write_bytes(b"nothing\0")
        (source / "deep" / "later.md").write_bytes(b"[[box]]")
        (source / "a.md").write_bytes(("ä" * (render_tree.MAX_DOCUMENT // 2) + "x").encode())
        remove_stale(self, scan)

    monkeypatch.setattr(rendering._Rendering, "_remove_stale", changed_meanwhile)
    summary = await rendered_here(engine, source, tmp_path / "out")
    problems = {one.path: one.failed for one in summary.problems}
    assert problems == {"deep/plain.html": True, "deep/plain.txt": False, "a.md": False}
    assert (tmp_path / "out" / "deep" / "plain.txt").read_bytes() == b"nothing\0"
    assert (tmp_path / "out" / "a.md").read_bytes() == (source / "a.md").read_bytes()
    assert (tmp_path / "out" / "deep" / "later.md").read_bytes().startswith(b"<b>")
    monkeypatch.setattr(rendering._Rendering, "_remove_stale", remove_stale)
    await rendered_here(engine, source, tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "later.md").read_bytes() == b"<b>1</b>"


async def test_links_pipes_and_hidden_files_are_left_out(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_bytes(b"secret")
    (source / "link.md").symlink_to(tmp_path / "secret.md")
    (source / "up").symlink_to(tmp_path)
    os.mkfifo(source / "pipe.md")
    (source / ".hidden.md").write_bytes(b"hidden")
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert not {"link.md", "up", "pipe.md", ".hidden.md"} & set(contents(tmp_path / "out"))
    assert sorted(one.path for one in summary.skipped) == ["link.md", "pipe.md", "up"]
    assert b"secret" not in b"".join(contents(tmp_path / "out").values())


async def test_a_link_in_the_result_leads_nowhere(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").write_bytes(b"untouched")
    for path in (out / "deep").rglob("*"):
        if path.is_file():
            path.unlink()
    (out / "deep" / "er").rmdir()
    (out / "deep").rmdir()
    (out / "deep").symlink_to(tmp_path / "elsewhere")
    (out / "a.md").unlink()
    (out / "a.md").symlink_to(tmp_path / "target")
    summary = await rendered_here(engine, source, out)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "target").read_bytes() == b"untouched"
    assert not (out / "a.md").is_symlink()
    assert summary.failed
    assert {one.path for one in summary.problems} == {"deep/b.md", "deep/er/c.txt", "deep/plain.html"}


@pytest.mark.parametrize("out", ["docs", "docs/out", "docs/deep/../out", "", "link/out"])
async def test_a_result_inside_of_its_source_and_the_other_way_round_is_refused(
    engine: EngineHere, source: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(RenderFolderError, match="lies in"):
        await rendered_here(engine, source, tmp_path / out)
    assert not (source / "out").exists()


async def test_a_folder_with_files_of_others_is_not_written_to_without_force(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.md").write_bytes(b"mine")
    with pytest.raises(RenderFolderError, match="no render has written"):
        await rendered_here(engine, source, out)
    assert (out / "a.md").read_bytes() == b"mine"
    await rendered_here(engine, source, out, force=True)
    assert (out / "a.md").read_bytes() != b"mine"


async def test_two_renders_do_not_write_to_one_folder(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    with (
        render_tree.source_and_result(str(source), str(tmp_path / "out"), force=False),
        pytest.raises(RenderFolderError, match="another render"),
    ):
        await rendered_here(engine, source, tmp_path / "out")


async def test_progress_begins_with_the_first_documents_and_requests_grow(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 600)
    told: list[tuple[int, int]] = []
    await rendered_here(engine, source, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 603)
    assert told[1] == (rendering.FIRST_REQUEST, 603)
    assert told[-1] == (603, 603)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "REQUEST_DOCUMENTS", 5)


def many(source: Path, count: int) -> None:
    for number in range(count):
        (source / f"n{number:04}.md").write_text(f"[[box n={number}]]")


class OtherEngines:
    """Gives out one engine after the other."""

    def __init__(self, *engines: EngineHere) -> None:
        self.left = list(engines)

    async def __call__(self) -> EngineHere:
        if not self.left:
            raise EngineUnreachable("No engine can be started.")
        return self.left.pop(0)


@pytest.mark.usefixtures("small_requests")
async def test_an_engine_that_dies_in_the_middle_is_replaced_and_nothing_is_rendered_twice(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 60)
    engine.dies_after = 20
    second = EngineHere(engine.macros)
    told: list[str] = []
    summary = await rendered_here(engine, source, tmp_path / "out", reconnect=OtherEngines(second), resumed=told.append)
    assert len(told) == 1
    assert summary.rendered == 64
    assert not set(engine.rendered) & set(second.rendered)
    assert (tmp_path / "out" / "n0059.md").read_text() == "<b>159</b>"


@pytest.mark.usefixtures("small_requests")
async def test_a_render_that_found_no_engine_goes_on_where_it_was(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 60)
    engine.dies_after = 20
    with pytest.raises(EngineUnreachable):
        await rendered_here(engine, source, tmp_path / "out", reconnect=OtherEngines())
    done = set(engine.rendered)
    engine.dies_after = None
    await rendered_here(engine, source, tmp_path / "out")
    assert done
    assert not done & set(engine.rendered)
    assert len(done | set(engine.rendered)) == 63


async def test_engines_that_die_again_and_again_are_an_error(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    engine.dies_after = 0
    with pytest.raises(EngineUnreachable):
        await rendered_here(
            engine, source, tmp_path / "out", reconnect=OtherEngines(*[EngineHere({}, dies_after=0) for _ in range(9)])
        )


@pytest.mark.usefixtures("small_requests")
async def test_an_answer_with_fewer_documents_than_were_sent_is_gone_on_with(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 50)
    engine.fits = 2
    told: list[tuple[int, int]] = []
    summary = await rendered_here(engine, source, tmp_path / "out", progress=lambda *so_far: told.append(so_far))
    assert summary.rendered == 54
    assert len(engine.rendered) == len(set(engine.rendered))
    assert (told[0], told[-1]) == ((0, 53), (53, 53))  # those with tags
    assert max(then - now for (now, _), (then, _) in pairwise(told)) <= 2


def test_requests_are_small_at_first_and_then_as_large_as_their_time_allows() -> None:
    portions: Portions[int] = Portions(range(2000), lambda _: 1)
    now, sizes = 0.0, []
    for seconds_each in [0.001] * 8 + [0.09] * 4 + [5.0] * 3:
        size = len(portions.next())
        portions.took(size, now, now := now + size * seconds_each)
        sizes.append(size)
    assert sizes == [2, 8, 32, 128, 250, 250, 250, 250, 250, 3, 3, 3, 3, 1, 1]
    portions.took(1, now - 9.0, now + 0.3)  # it was sent while another one went on
    assert len(portions.next()) == 1
    large = Portions([rendering.REQUEST_SIZE] * 3, lambda size: size)
    assert [len(large.next()) for _ in range(4)] == [1, 1, 1, 0]


@pytest.mark.usefixtures("small_requests")
async def test_a_cancelled_render_notes_what_is_written_and_ends_its_batch(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 60)
    task: asyncio.Task[Any] = asyncio.ensure_future(rendered_here(engine, source, tmp_path / "out"))

    def cancel_soon() -> None:
        if len(engine.rendered) >= 10:
            task.cancel()

    engine.on_documents = cancel_soon
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.ended == [("batch0", True)]
    engine.on_documents = None
    await rendered_here(engine, source, tmp_path / "out")
    assert 0 < len(engine.rendered) < 63


class FullAfter:
    """``ResultFolder`` whose disk is full after some files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: int) -> None:
        self.left = files
        write = os.write

        def limited(descriptor: int, data: bytes) -> int:
            if self.left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.left -= 1
            return write(descriptor, data)

        monkeypatch.setattr(render_tree.os, "write", limited)


@pytest.mark.usefixtures("small_requests")
async def test_a_disk_that_fills_half_way_stops_the_render_and_the_next_one_goes_on(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 60)
    with pytest.MonkeyPatch.context() as patch:
        FullAfter(patch, 30)
        summary = await rendered_here(engine, source, tmp_path / "out")
    assert (summary.complete, summary.failed) == (False, True)
    [problem] = summary.problems
    assert problem.problem.startswith("the disk of the result is full")
    out = contents(tmp_path / "out")
    assert not [name for name in out if name.startswith(TEMP)]
    assert 0 < len(out) < 60
    for name, data in out.items():
        assert data == b"<b>1%d</b>" % int(name[1:5]) if name.startswith("n") else True, "no half file"
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert summary.complete
    assert len(contents(tmp_path / "out")) == 67


async def test_a_torn_manifest_counts_as_far_as_it_can_be_read(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    many(source, 20)
    await rendered_here(engine, source, tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    data = manifest.read_bytes()
    manifest.write_bytes(data[: data.rindex(b'{"path"') + 20])
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert summary.rendered + summary.copied == 1
    manifest.write_bytes(b"\xff\0 not ours\n" * 100)
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert summary.rendered == 24


async def test_leftovers_of_a_killed_render_go(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{TEMP}0123").write_bytes(b"half")
    (tmp_path / "out" / MANIFEST).write_bytes(b"")
    await rendered_here(engine, source, tmp_path / "out")
    assert not list((tmp_path / "out").glob(f"{TEMP}*"))


async def test_what_is_written_is_not_open_to_more_accounts_than_its_source(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    (source / "a.md").chmod(0o600)
    (source / "deep").chmod(0o700)
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    assert (out / "a.md").stat().st_mode & 0o777 == 0o600
    assert (out / "deep").stat().st_mode & 0o777 == 0o700
    for path in ("deep/b.md", "data.csv"):
        (source / path).chmod(0o600)
    await rendered_here(engine, source, out)
    assert {(out / path).stat().st_mode & 0o777 for path in ("deep/b.md", "data.csv")} == {0o600}
    assert engine.rendered == ["deep/b.md"]


async def test_what_cannot_be_looked_at_is_an_error_and_its_result_stays(
    engine: EngineHere, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    opened = os.open

    def closed(path: Any, *options: Any, **more: Any) -> int:
        if path == "er":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *options, **more)

    monkeypatch.setattr(render_tree.os, "open", closed)
    summary = await rendered_here(engine, source, out)
    assert (summary.failed, summary.removed) == (True, 0)
    assert [(one.path, one.problem) for one in summary.problems] == [("deep/er", "permission denied")]
    assert (out / "deep" / "er" / "c.txt").exists()


async def test_a_manifest_that_others_wrote_leads_out_of_the_folder_nowhere(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    await rendered_here(engine, source, out)
    victim.write_bytes(b"of others")
    state = victim.stat()
    manifest = out / MANIFEST
    noted = manifest.stat()
    with manifest.open("ab") as file:
        for path in ("../victim", str(victim), "deep/../../victim", "a\0b", ""):
            entry = Entry(path=path, size=state.st_size, modified_ns=state.st_mtime_ns)
            file.write(msgspec.json.encode(entry) + b"\n")
        file.write(msgspec.json.encode(Entry(path=MANIFEST, size=noted.st_size, modified_ns=noted.st_mtime_ns)) + b"\n")
    summary = await rendered_here(engine, source, out)
    assert victim.read_bytes() == b"of others"
    assert (summary.rendered, summary.removed, summary.problems) == (0, 0, [])


async def test_questions_are_asked_again_in_requests_that_the_engine_takes_whatever_the_manifest_holds(
    engine: EngineHere, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "REQUEST_SIZE", 1000)
    sizes: list[int] = []
    answer = engine._render_reads

    async def counted(params: Any, body: Any) -> Any:
        sizes.append(len(msgspec.json.encode(body)))
        return await answer(params, body)

    monkeypatch.setattr(engine, "_render_reads", counted)
    out = tmp_path / "out"
    await rendered_here(engine, source, out)
    manifest = out / MANIFEST
    noted = [msgspec.json.decode(line) for line in manifest.read_bytes().splitlines()]
    [cloud] = [one for one in noted if one.get("reads")]
    asked = [{"operation": "documents.list", "params": {"status": f"{n}" + "x" * 300}, "sha256": "?"} for n in range(9)]
    cloud["reads"] += [*asked, {"operation": "documents.list", "params": {"status": "x" * 2000}, "sha256": ""}]
    manifest.write_bytes(manifest.read_bytes() + msgspec.json.encode(cloud) + b"\n")
    await rendered_here(engine, source, out)
    assert (engine.rendered, len(sizes) > 1) == (["deep/b.md"], True)
    assert max(sizes) < 1500


async def test_a_manifest_that_can_be_neither_read_nor_replaced_is_an_error(
    engine: EngineHere, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / MANIFEST).mkdir(parents=True)
    with pytest.raises(RenderFolderError, match=r"cannot be used, by its file .*: is a directory"):
        await rendered_here(engine, source, tmp_path / "out")


@pytest.mark.parametrize(
    ("now", "result"),
    [(None, None), (b"a\0b", b"a\0b"), (b"[[box n=4]]", b"<b>14</b>"), (b"other", b"other")],
)
async def test_a_document_that_changes_after_it_was_looked_at_is_what_it_is_when_its_turn_comes(
    engine: EngineHere,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    now: bytes | None,
    result: bytes | None,
) -> None:
    monkeypatch.setattr(rendering, "KEPT_TEXT", 0)
    look = rendering._Rendering._look
    plain = source / "deep" / "plain.html"

    def looked(self: Any, scan: Any) -> None:
        look(self, scan)
        plain.unlink() if now is None else plain.write_bytes(now)

    monkeypatch.setattr(rendering._Rendering, "_look", looked)
    summary = await rendered_here(engine, source, tmp_path / "out")
    made = tmp_path / "out" / "deep" / "plain.html"
    assert (made.read_bytes() if made.exists() else None) == result
    assert summary.failed == (now is None)
    assert summary.unchanged == 0


async def test_names_that_are_not_utf_8_are_copied(engine: EngineHere, source: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"gr\xfc\xdfe.md")
    (source / name).write_bytes(b"[[box]]")
    summary = await rendered_here(engine, source, tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"[[box]]"
    assert [one.path for one in summary.problems] == ["gr\\udcfc\\udcdfe.md"]
    for _ in range(2):  # the second one reads the manifest as the first one has written it anew
        assert (await rendered_here(engine, source, tmp_path / "out")).copied == 0
        manifest = tmp_path / "out" / MANIFEST
        manifest.write_bytes(manifest.read_bytes() + b"{}\n" * 100)
    (source / name).unlink()
    assert (await rendered_here(engine, source, tmp_path / "out")).removed == 1
    assert not (tmp_path / "out" / name).exists()


def test_an_entry_says_whether_its_macros_are_the_same() -> None:
    assert Entry(path="a").made_with({})
    folder = ResultFolder(-1)
    folder.close()
