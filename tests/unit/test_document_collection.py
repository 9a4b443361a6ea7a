"""The collection of documents that macros ask: whatever the tree, its answers agree with it and with each other."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document_text import linked_path
from engine.models.documents import DocumentInfo, DocumentList, ImageList, TagCounts
from engine.models.macros import Read, SourceDocument, SourceImage
from engine.services.access import ServiceError
from engine.services.documents.collection import DocumentCollection
from engine.services.macros.tree import DocumentTree

folders = st.sampled_from(["", "a/", "a/b/", "img/"])
names = st.sampled_from(["x", "y", "z", "ü"])
document_paths = st.builds(lambda folder, name: f"{folder}{name}.md", folders, names)
image_paths = st.builds(lambda folder, name: f"{folder}{name}.png", folders, names)
links = st.lists(
    st.builds(lambda up, path: up + path, st.sampled_from(["", "../", "/", "../../"]), image_paths), max_size=4
)
words = st.sampled_from(["plant", "night", "ü", "a b", "Plant"])
front = st.fixed_dictionaries(
    {},
    optional={
        "title": words,
        "status": st.sampled_from(["published", "draft"]),
        "tags": st.lists(words, max_size=3),
        "images": links,
        "date": st.sampled_from(["2024-05-01", "soon"]),
    },
)
sidecar = st.fixed_dictionaries(
    {},
    optional={
        "title": words,
        "documents": st.lists(document_paths, max_size=3),
        "created": st.sampled_from(["2024-05-01", "2023-12-31T23:59:59", "2024-01-01T00:30:00+01:00", "no date"]),
    },
)
times = st.sampled_from([0.0, 1.7e9, 1.6e9, -1.0, 1e18])
documents = st.dictionaries(document_paths, st.tuples(front, links, times), max_size=8)
images = st.dictionaries(image_paths, st.tuples(sidecar, times), max_size=8)


def told_sha256(collection: DocumentCollection, operation: str) -> str:
    return DocumentTree(collection).answer_sha256(Read(operation=operation))


def made(
    documents: dict[str, tuple[dict, list[str], float]], images: dict[str, tuple[dict, float]]
) -> DocumentCollection:
    return DocumentCollection.of_sources(
        [
            SourceDocument(path=path, sha256=path, modified=modified, front_matter=yaml.safe_dump(front), links=links)
            for path, (front, links, modified) in documents.items()
        ],
        [
            SourceImage(path=path, modified=modified, sidecar=yaml.safe_dump(said))
            for path, (said, modified) in images.items()
        ],
    )


@settings(deadline=None, max_examples=30)
@given(documents, images)
def test_answers_agree_with_the_tree_and_with_each_other(documents, images) -> None:  # type: ignore[no-untyped-def]
    collection = made(documents, images)
    everything = collection.answer("documents.list", {})
    pictures = collection.answer("documents.images", {})
    assert isinstance(everything, DocumentList)
    assert isinstance(pictures, ImageList)
    assert [info.path for info in everything.documents] == sorted(documents)
    assert sorted(image.path for image in pictures.images) == sorted(images)
    assert [-image.created for image in pictures.images] == sorted(-image.created for image in pictures.images)

    belongs = {(info.path, path) for info in everything.documents for path in info.images}
    assert belongs == {(path, image.path) for image in pictures.images for path in image.documents}
    for info in everything.documents:
        own, linked, _ = documents[info.path]
        assert collection.answer("documents.get", {"path": info.path}) == info
        of_it = collection.answer("documents.images", {"document": info.path})
        assert isinstance(of_it, ImageList)
        assert sorted(image.path for image in of_it.images) == sorted(info.images)
        named = [linked_path(info.path, link) for link in (*linked, *own.get("images", []))]
        assert {path for path in named if path in images} <= set(info.images)

    for status in (None, "published", "draft", "none"):
        counted = collection.answer("documents.tags", {} if status is None else {"status": status})
        assert isinstance(counted, TagCounts)
        expected = Counter(tag for info in everything.documents if status in (None, info.status) for tag in info.tags)
        assert {tag.name: tag.count for tag in counted.tags} == expected
        assert [(-tag.count, tag.name) for tag in counted.tags] == sorted((-n, name) for name, n in expected.items())

    in_2024 = collection.answer("documents.images", {"year": 2024, "month": 5})
    newest = collection.answer("documents.images", {"months": 1})
    assert isinstance(in_2024, ImageList)
    assert isinstance(newest, ImageList)
    assert all(datetime.fromtimestamp(image.created, UTC).strftime("%Y-%m") == "2024-05" for image in in_2024.images)
    assert bool(newest.images) == bool(images)
    assert newest.images == pictures.images[: len(newest.images)]


@settings(deadline=None, max_examples=15)
@given(documents, images, st.randoms())
def test_the_order_of_what_is_sent_changes_nothing(documents, images, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = [list(documents.items()), list(images.items())]
    for items in shuffled:
        random.shuffle(items)
    one, other = made(documents, images), made(dict(shuffled[0]), dict(shuffled[1]))
    for operation in ("documents.list", "documents.images", "documents.tags"):
        assert told_sha256(one, operation) == told_sha256(other, operation)


def test_an_answer_has_another_hash_only_when_it_says_something_else() -> None:
    one = {"x.md": ({"tags": ["a"]}, ["p.png"], 1.0)}
    before = made(one, {"p.png": ({}, 1.0)})
    other = made({"x.md": ({"tags": ["a"], "title": "New"}, ["p.png"], 1.0)}, {"p.png": ({}, 1.0)})
    for operation, same in (("documents.tags", True), ("documents.images", True), ("documents.list", False)):
        assert (told_sha256(before, operation) == told_sha256(other, operation)) is same


def test_a_title_is_never_empty_and_the_whole_front_matter_is_there() -> None:
    collection = made({"a/x.y.md": ({"owner": {"n": [1, 2.5, None]}}, [], 0.0)}, {})
    (info,) = collection.listed()
    assert (info.title, info.meta) == ("x.y", {"owner": {"n": [1, 2.5, None]}})
    assert msgspec.json.decode(msgspec.json.encode(info), type=DocumentInfo) == info


@pytest.mark.parametrize(
    ("operation", "params", "code", "part"),
    [
        ("documents.get", {"path": "none.md"}, "no_document", "none.md"),
        ("documents.get", {}, "bad_request", "path"),
        ("documents.list", {"stat": "draft"}, "bad_request", "no parameter 'stat'"),
        ("documents.list", {"status": 3}, "bad_request", "status"),
        ("documents.images", {"month": 5}, "bad_request", "year"),
        ("documents.images", {"year": 2024, "month": 13}, "bad_request", "month"),
        ("documents.images", {"months": 0}, "bad_request", "months"),
        ("documents.save", {"path": "x.md"}, "no_operation", "documents.save"),
    ],
)
def test_questions_that_are_refused(operation: str, params: dict[str, object], code: str, part: str) -> None:
    with pytest.raises(ServiceError) as refused:
        made({}, {}).answer(operation, params)
    assert refused.value.code == code
    assert part in refused.value.message
