"""Documents expanded: bytes outside of tags, problems by line, chunks by time."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from api_support import eventually
from hypothesis import given, settings
from hypothesis import strategies as st
from render_support import ExecutorHere, MacroHere, TimeIsOver, caller_of, expanded

from engine.models.macros import DocumentInput
from engine.models.scripts import ParamInfo, ParamType
from engine.services.access import ServiceError
from engine.services.macros import expansion
from engine.services.macros.chunks import FIRST, GROWTH, MOST, MOST_TIMEOUTS, ChunkSize
from engine.services.macros.expansion import MAX_TEXT, MAX_WARNINGS, CallOutcome, Room, expand
from engine.services.macros.library import Macros

BOX = MacroHere("box", lambda params, context: f"<b>{params.get('n', '')}</b>")
ECHO = MacroHere("echo", lambda params, context: str(params.get("t", "")))


def fails(params: object, context: object) -> str:
    raise ValueError("<no> luck")


FAILS = MacroHere("fails", fails)


async def test_only_tags_change_and_line_ends_marks_and_ends_stay() -> None:
    text = "\ufeffa\r\n[[box n=1]]\rb\n\n[[BOX n='2']] \\[[box]] `[[box]]`\u2028\x0cé\u0301 no end"
    rendered = await expanded(text, BOX)
    assert rendered.text == text.replace("[[box n=1]]", "<b>1</b>").replace("[[BOX n='2']]", "<b>2</b>")
    assert (rendered.tags, rendered.warnings) == (2, [])
    assert [use.script for use in rendered.macros] == ["macros/box.py"]


PARTS = st.one_of(st.text(), st.sampled_from(["[[box n=1]]", "[[nope]]", "[[", "]]", "`", "\r\n"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(PARTS, max_size=12))
async def test_a_macro_that_returns_its_tag_changes_nothing(parts: list[str]) -> None:
    text = "".join(parts)
    again = MacroHere("box", lambda params, context: "[[box n=1]]")
    assert (await expanded(text, again)).text.replace("[[BOX", "[[box") == text


async def test_expansion_does_not_nest() -> None:
    rendered = await expanded("[[echo t='[[box n=1]\\]']][[echo t=\"[[box n=1]]\"]]", ECHO, BOX)
    assert "<b>" not in rendered.text
    assert rendered.text.endswith("[[box n=1]]")


async def test_an_unknown_tag_stays_and_is_told_of_with_its_line() -> None:
    rendered = await expanded("\n\n[[boxx n=1]]\n", BOX)
    assert rendered.text == "\n\n[[boxx n=1]]\n"
    [warning] = rendered.warnings
    assert (warning.kind, warning.line, warning.macro) == ("unknown", 3, "boxx")
    assert warning.message == "There is no macro boxx. Did you mean box?"
    assert rendered.macros[0].script == ""


async def test_a_failing_macro_leaves_its_tag_and_the_others_go_on() -> None:
    rendered = await expanded("[[box n=1]]\n[[fails]]\n[[box n=2]]", BOX, FAILS)
    assert rendered.text == "<b>1</b>\n[[fails]]\n<b>2</b>"
    [warning] = rendered.warnings
    assert (warning.document, warning.line, warning.macro, warning.kind) == ("a.md", 2, "fails", "error")
    assert "ValueError: <no> luck" in warning.message
    assert "m.py" in (warning.traceback or "")


async def test_a_preview_shows_what_is_wrong_in_its_place_escaped() -> None:
    rendered = await expanded("[[fails a='<i>']]\n[[nope]]", FAILS, errors_shown=True)
    assert "<no>" not in rendered.text
    assert "<i>" not in rendered.text
    assert '<span class="macro-error" role="alert" title="ValueError: &lt;no&gt; luck">' in rendered.text
    assert rendered.text.endswith("\n[[nope]]"), "an unknown tag stays as it is"


async def test_wrong_parameters_are_told_and_only_a_harmless_one_does_not_keep_from_calling() -> None:
    number = ParamInfo(name="n", type=ParamType.INT)
    typed = MacroHere("typed", lambda params, context: repr(params), [number])
    rendered = await expanded("[[typed n=x]]\n[[typed]]\n[[typed n=4 colour=red]]\n[[typed n='5']]", typed)
    assert rendered.text == "[[typed n=x]]\n[[typed]]\n{'n': 4}\n{'n': 5}"
    assert [(one.kind, one.line) for one in rendered.warnings] == [("parameter", 1), ("parameter", 2), ("parameter", 3)]


async def test_a_tag_that_cannot_be_read_stays_and_says_why() -> None:
    rendered = await expanded("[[box n=]] [[box n=1]] [[box", BOX)
    assert rendered.text.startswith("[[box n=]] <b>1</b> ")
    assert [(one.kind, one.line, one.column) for one in rendered.warnings] == [("syntax", 1, 0), ("syntax", 1, 23)]


async def test_a_macro_that_cannot_be_used_says_so_at_each_of_its_tags() -> None:
    rendered = await expanded("[[two]]", MacroHere("two", lambda p, c: "", problem="Several macros are called two."))
    assert (rendered.text, rendered.warnings[0].message) == ("[[two]]", "Several macros are called two.")


async def test_warnings_of_a_macro_are_passed_on() -> None:
    says = MacroHere("says", lambda params, context: {"html": "x", "warnings": ["odd"]})
    rendered = await expanded("[[says]]", says)
    assert (rendered.text, rendered.warnings[0].kind, rendered.warnings[0].message) == ("x", "warning", "odd")
    assert msgspec.to_builtins(rendered)["warnings"][0]["kind"] == "warning", "told in JSON, too"


async def test_a_macro_is_told_its_document_name_and_language() -> None:
    def tells(params: object, context: dict[str, object]) -> str:
        document = context["document"]
        assert isinstance(document, dict)
        return f"{context['macro']} {context['preview']} {document['path']} {document['meta']['title']}"

    rendered = await expanded("---\ntitle: Night\n---\n[[tells]]", MacroHere("tells", tells))
    assert rendered.text.endswith("tells False a.md Night")


async def test_texts_and_warnings_of_one_document_are_bounded() -> None:
    big = MacroHere("big", lambda params, context: "x" * (MAX_TEXT // 2))
    rendered = await expanded("[[big]] [[big]] [[big]]", big)
    assert len(rendered.text) == MAX_TEXT + len("  [[big]]")
    assert [one.kind for one in rendered.warnings] == ["error"]
    rendered = await expanded("[[nope]]" * (MAX_WARNINGS + 10))
    assert len(rendered.warnings) == MAX_WARNINGS + 1
    assert rendered.warnings[-1].message.startswith("And 10 more")


async def test_documents_whose_texts_find_no_room_together_are_left_for_later_and_their_texts_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expansion, "MAX_TOGETHER", 1000)
    monkeypatch.setattr(expansion, "MAX_TEXT", 600)
    big = MacroHere("big", lambda params, context: "x" * params["size"])
    executor = ExecutorHere({"big": big, "box": BOX}, in_flight=1)
    kept: list[CallOutcome] = []
    admitted = Room.admitted

    def admit(self: Room, document: int, outcome: CallOutcome) -> CallOutcome:
        kept.append(admitted(self, document, outcome))
        return kept[-1]

    monkeypatch.setattr(Room, "admitted", admit)
    texts = [
        "[[big size=500]] [[box n=1]] [[big size=500]]",
        "[[big size=300]]",
        # Of macros that are called side by side either may be ahead: boxes alone must leave room for the first two.
        *["[[big size=400]] [[box n=2]]", *["[[big size=400]]"] * 4] * 10,
    ]
    documents = [DocumentInput(path=f"{number}.md", text=text) for number, text in enumerate(texts)]
    caller = caller_of(executor)
    caller.start()
    try:
        made = await expand(documents, Macros([big.made(), BOX.made()]), caller)
    finally:
        await caller.close()
    assert [one.path for one in made] == ["0.md", "1.md"]
    assert made[0].text == "x" * 500 + " <b>1</b> [[big size=500]]"
    assert made[1].text == "x" * 300
    assert sum(len(one.text or "") for one in kept) <= 1000 + 600
    called = sum(len(chunk.params) for chunk in executor.chunks if chunk.macro.name == "big")
    assert called < len(texts), "what would be let go of is not called in the first place"


async def test_a_five_thousand_tags_are_called_in_few_chunks() -> None:
    executor = ExecutorHere({"box": BOX})
    rendered = await expanded("[[box n=7]]" * 5_000, BOX, executor=executor)
    assert rendered.text == "<b>7</b>" * 5_000
    assert len(executor.chunks) < 100


def test_chunks_are_cut_by_the_time_that_calls_take() -> None:
    pace = ChunkSize()
    assert pace.calls == FIRST
    pace.took(FIRST, 0.0001)
    assert pace.calls == FIRST * GROWTH
    pace.took(FIRST * GROWTH, FIRST * GROWTH * 0.001)
    assert pace.calls == 30
    pace.took(2, 0.0001)
    assert pace.calls == 30, "the end of a request says nothing of larger ones"
    pace.took(30, 300.0)
    assert pace.calls == 1
    for _ in range(20):
        pace.took(pace.calls, 0.05, 2_400_000)
    assert pace.calls == MOST, "a large document takes as long for a few calls as for many"


async def test_what_was_not_begun_when_a_chunk_was_stopped_is_called_again() -> None:
    def slow(params: dict[str, object], context: object) -> str:
        if params["n"] == 2:
            raise TimeIsOver
        return "ok"

    macro = MacroHere("slow", slow)
    rendered = await expanded("".join(f"[[slow n={n}]]" for n in range(5)), macro)
    assert rendered.text == "okok[[slow n=2]]okok"
    assert [one.message for one in rendered.warnings] == ["timeout: It took too long."]


async def test_a_macro_that_is_always_stopped_is_given_up() -> None:
    def loops(params: object, context: object) -> str:
        raise TimeIsOver

    executor = ExecutorHere({"loops": MacroHere("loops", loops)}, in_flight=1)
    rendered = await expanded("[[loops]]" * 50, executor.macros["loops"], executor=executor)
    assert len(executor.chunks) <= MOST_TIMEOUTS + 1
    assert len(rendered.warnings) == 50
    assert "not called again" in rendered.warnings[-1].message


async def test_calls_of_many_documents_are_grouped_by_macro_and_put_back() -> None:
    executor = ExecutorHere({"box": BOX, "echo": ECHO})
    caller = caller_of(executor)
    caller.start()
    documents = [DocumentInput(path=f"{n}.md", text=f"[[box n={n}]]-[[echo t=e{n}]]") for n in range(50)]
    rendered = await expand(documents, Macros([BOX.made(), ECHO.made()]), caller)
    await caller.close()
    assert [one.text for one in rendered] == [f"<b>{n}</b>-e{n}" for n in range(50)]
    assert len(executor.chunks) < 50
    for chunk in executor.chunks:
        assert len(chunk.of) == len(chunk.params)


async def test_calls_that_wait_when_the_executor_ends_are_told_so() -> None:
    executor = ExecutorHere({"box": BOX}, hold=asyncio.Event())
    caller = caller_of(executor)
    caller.start()
    going_on = asyncio.ensure_future(expand([DocumentInput(path="a", text="[[box]]")], Macros([BOX.made()]), caller))
    await eventually(lambda: bool(executor.chunks), 20.0)
    await caller.close()
    assert executor.hold is not None
    executor.hold.set()
    with pytest.raises(ServiceError, match="has ended"):
        await going_on
