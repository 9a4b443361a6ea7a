"""Whatever authors and editors do to documents, in any order: lists say what is there, and no replaced text is lost."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from documents_kit import AUTHOR, Documents, documents_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.models.documents import SaveDocumentRequest
from engine.models.scripts import DeleteRequest, RenameRequest
from engine.models.versions import RestoreRequest
from engine.services.access import ServiceError
from engine.services.documents.index import DocumentIndex

TEXTS = ("", "one\n", "---\ntitle: T\ntags: [a]\n---\n![](p.png)\n", "---\ntitle: [\n---\n", "\ufeffzwei \u00e4\n")

PATHS = ("a.md", "sub/a.txt")
paths = st.sampled_from(PATHS)
texts = st.sampled_from(TEXTS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("save"), paths, texts),
        st.tuples(st.just("save late"), paths, texts),
        st.tuples(st.just("write outside"), paths, texts),
        st.tuples(st.just("remove outside"), paths, st.just("")),
        st.tuples(st.just("rename"), paths, paths),
        st.tuples(st.just("delete"), paths, st.just("")),
        st.tuples(st.just("restore"), paths, st.just("")),
        st.tuples(st.just("list"), paths, st.just("")),
        st.tuples(st.just("image"), st.sampled_from(("p.png", "sub/p.png", "p.png.meta")), texts),
    ),
    min_size=1,
    max_size=12,
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_lists_are_right_and_nothing_is_lost(steps: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory(prefix="gatewright-test-") as root:
        asyncio.run(follow(Path(root), steps))


async def follow(root: Path, steps: list[tuple[str, str, str]]) -> None:
    async with documents_in(root) as docs:
        for path in PATHS:
            await docs.service.save(path, SaveDocumentRequest(text=f"{path}\n"), AUTHOR)
        owed: set[str] = set()
        for kind, path, other in steps:
            owed |= await step(docs, kind, path, other)
        await docs.writer.settled()
        for text in owed:
            assert docs.files.kept(sha(text)).decode() == text
        await check(docs)
        (docs.folder / "late.png").write_text("beside documents that are what they were")
        await check(docs)


async def step(docs: Documents, kind: str, path: str, other: str) -> set[str]:
    """Do one thing; return the texts that went from their places through us."""
    before = there(docs)
    base = sha(before[path]) if path in before else None
    if kind == "list":
        await docs.service.list()
        return set()
    if kind in ("write outside", "image"):
        write(docs, path, other)
        return set()
    if kind == "remove outside":
        (docs.folder / path).unlink(missing_ok=True)
        return set()
    if kind == "save late":  # an editor has written since the author loaded it
        write(docs, path, f"from an editor, over {base}\n")
        before = there(docs)
    done = await change(docs, kind, path, other, base)
    after = there(docs)
    if not done or kind == "save late":
        assert after == before, "nothing that its author had not seen was replaced"
    return {text for name, text in before.items() if after.get(name) != text}


async def check(docs: Documents) -> None:
    """Hold lists against those of an index that has looked at nothing before."""
    fresh = await DocumentIndex(docs.files).collection()
    assert (await docs.service.list()).documents == fresh.documents
    assert (await docs.service.images()).images == fresh.images


def write(docs: Documents, path: str, text: str) -> None:
    (docs.folder / path).parent.mkdir(exist_ok=True)
    (docs.folder / path).write_text(text, "utf-8", newline="")


async def change(docs: Documents, kind: str, path: str, other: str, base: str | None) -> bool:
    """Make one change; return whether it was done."""
    works: dict[str, Any] = {
        "save": lambda: docs.service.save(path, SaveDocumentRequest(text=other, base_sha256=base), AUTHOR),
        "save late": lambda: docs.service.save(path, SaveDocumentRequest(text=other, base_sha256=base), AUTHOR),
        "rename": lambda: docs.service.rename(path, RenameRequest(new_path=other, base_sha256=base), AUTHOR),
        "delete": lambda: docs.service.delete(path, DeleteRequest(base_sha256=base), AUTHOR),
        "restore": lambda: docs.service.restore(path, RestoreRequest(base_sha256=base), AUTHOR),
    }
    try:
        await works[kind]()
    except ServiceError as refused:
        if refused.code not in ("conflict", "no_document", "no_version", "bad_name"):
            raise
        return False
    return True


def there(docs: Documents) -> dict[str, str]:
    found = (path for path in docs.folder.rglob("*") if path.suffix in (".md", ".txt"))
    return {path.relative_to(docs.folder).as_posix(): path.read_bytes().decode() for path in found}
