"""What others did, told from what the engine did itself."""

from __future__ import annotations

import pytest

from store.frontmatter.read import Frontmatter
from store.index.external_changes import ExternalChanges, Outside, together
from store.index.rows import ScriptRow


def rows(**contents: str) -> list[ScriptRow]:
    return [
        ScriptRow(f"{name}.py", Frontmatter(title=name), content, len(content), None, 0)
        for name, content in contents.items()
    ]


def known(**contents: str) -> Outside:
    outside = Outside()
    assert not outside.compare(rows(**contents), 0)
    return outside


def test_the_first_look_finds_nothing() -> None:
    assert not Outside().compare(rows(a="1"), 0)


def test_every_kind_of_change_is_told() -> None:
    outside = known(a="1", b="2", c="3", d="4")
    found = outside.compare(rows(a="1", b="9", moved="3", new="5"), outside.serial)
    assert found == ExternalChanges(["new.py"], ["b.py"], ["d.py"], [("c.py", "moved.py")])


def test_what_the_engine_did_is_not_told() -> None:
    outside = known(a="1", b="2")
    with outside.own({"a.py": "7"}):
        pass
    with outside.own({"b.py": None, "c.py": "2"}):
        pass
    assert not outside.compare(rows(a="7", c="2"), outside.serial)


def test_a_look_in_the_middle_of_a_save_may_find_either_text() -> None:
    for seen in ("1", "7"):
        outside = known(a="1")
        with outside.own({"a.py": "7"}):
            assert not outside.compare(rows(a=seen), outside.serial)
        assert not outside.compare(rows(a="7"), outside.serial)


def test_a_look_that_began_before_two_saves_may_find_the_first() -> None:
    outside = known(a="1")
    began = outside.serial
    for content in ("2", "3"):
        with outside.own({"a.py": content}):
            pass
    assert not outside.compare(rows(a="2"), began)
    assert not outside.compare(rows(a="3"), outside.serial)


def test_an_earlier_text_of_ours_that_comes_back_is_somebody_elses() -> None:
    outside = known(a="1")
    for content in ("2", "3"):
        with outside.own({"a.py": content}):
            pass
    assert outside.compare(rows(a="2"), outside.serial).updated == ["a.py"]


def test_our_text_that_others_replace_and_bring_back_is_told_twice() -> None:
    outside = known(a="1")
    with outside.own({"a.py": "2"}):
        pass
    assert not outside.compare(rows(a="2"), outside.serial)
    assert outside.compare(rows(a="8"), outside.serial).updated == ["a.py"]
    assert outside.compare(rows(a="2"), outside.serial).updated == ["a.py"]


def test_a_refused_save_explains_nothing() -> None:
    outside = known(a="1")
    with pytest.raises(RuntimeError), outside.own({"a.py": "2"}):
        raise RuntimeError
    assert outside.compare(rows(a="2"), outside.serial).updated == ["a.py"]


def test_a_script_that_was_ours_and_goes_away_is_told() -> None:
    outside = known()
    with outside.own({"a.py": "1"}):
        pass
    assert not outside.compare(rows(a="1"), outside.serial)
    assert outside.compare([], outside.serial).removed == ["a.py"]
    assert outside.compare(rows(a="1"), outside.serial).created == ["a.py"]


def test_several_looks_are_told_as_one() -> None:
    parts = [
        ExternalChanges(created=["a", "b"], removed=["x", "y"]),
        ExternalChanges(created=["x"], updated=["a", "c"], removed=["b"]),
    ]
    assert together(parts) == ExternalChanges(created=["a"], updated=["x", "c"], removed=["y"], renamed=[])
    assert together(
        [ExternalChanges(created=["a"]), ExternalChanges(renamed=[("a", "b"), ("c", "d")])]
    ) == ExternalChanges(created=["b"], updated=[], removed=[], renamed=[("c", "d")])
    assert not together([])
