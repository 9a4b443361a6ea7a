"""The assistant over a real socket: what it answers, every way in which it does not, its budget, and its record."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from assistant_server import (
    KEY,
    AssistantServer,
    Behaviour,
    assistant_server,
    completion,
    drops,
    fails,
    floods,
    hangs,
    raw,
    says,
    trickles,
)

from engine import Engine
from engine.config import AssistantSection, ConfigError, Settings
from engine.models.assistant import AskRequest, ClassifyRequest, ExplainRequest, ProposeRequest, SummarizeRequest
from engine.models.permissions import Access, ApproveRequest, Grant
from engine.models.scripts import SaveRequest
from engine.models.secrets import SecretValue
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.assistant import chat
from engine.services.assistant.chat import BadServer, ChatClient, Message, Server, server_at
from engine.services.assistant.service import Asker, AssistantService
from store.state.assistant_use import Budget

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = [Message("user", "Hello")]
FRUIT = "pomegranate"
"""Stands in every prompt: no record may have it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[AssistantServer]:
    async with assistant_server() as made:
        yield made


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(
    server: AssistantServer, key_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Engine]:
    section = AssistantSection(url=server.url, model=server.model, key_file=str(key_file), timeout=20.0)
    place = tmp_path_factory.mktemp("assistant") / "plant"
    async with Engine.open(place, pool_size=1, settings=replace(Settings(), assistant=section)) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: AssistantServer, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChatClient]:
    monkeypatch.setattr(chat, "FIRST_DELAY", 0.001)
    made = ChatClient(server_at(server.url, server.model, key_file=str(key_file), timeout=20.0))
    yield made
    await made.close()


async def test_no_script_may_be_granted_the_key(engine: Engine, key_file: Path) -> None:
    text = f"# /// script\n# [tool.gatewright.permissions]\n# read = ['{key_file.parent}/']\n# ///\n"
    await engine.scripts.save("wants_key.py", SaveRequest(text=text), engine.owner)
    [asked] = (await engine.permissions.review("wants_key.py", engine.owner)).asked
    assert "a key of this engine" in (asked.problem or "")


async def refusal(client: ChatClient) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await client.complete(HELLO)
    assert KEY not in f"{caught.value} {caught.value.hint}"
    assert str(caught.value).isprintable()
    return caught.value


async def until_asked(server: AssistantServer) -> None:
    async with asyncio.timeout(20):
        await server.was_asked.wait()


async def test_an_answer_is_its_text_and_whether_it_is_all(client: ChatClient, server: AssistantServer) -> None:
    server.will(says("Grüß Gott \x1b[31m\n"), says("cut", finish="length"))
    answer = await client.complete([Message("system", "Be brief."), *HELLO], 50)
    assert (answer.text, answer.complete, answer.model, answer.tries) == (
        "Grüß Gott \x1b[31m\n",
        True,
        "small-1-2026",
        1,
    )
    assert not (await client.complete(HELLO)).complete
    first, second = server.asked
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert first.body == {"model": "small-1", "messages": messages, "max_tokens": 50}
    assert second.body == {"model": "small-1", "messages": messages[1:]}
    assert "cookie" not in first.headers
    assert server.connections == 1, "the connection is used again"


PASSING: dict[str, Behaviour] = {
    "429": fails(429, "Rate limit reached"),
    "429 with a time": fails(429, "Rate limit reached", "Retry-After: 0"),
    "500": fails(500, "The server had an error"),
    "503": raw(503, b"<html>Service Unavailable</html>"),
    "529": fails(529, "Overloaded"),
    "dropped": drops,
    "truncated": raw(200, completion("half of it")[:40], length=1000),
    "truncated head": raw(500, b"", length=10),
}


@pytest.mark.parametrize("how", PASSING)
async def test_what_passes_is_tried_again_and_not_for_ever(
    client: ChatClient, server: AssistantServer, how: str
) -> None:
    server.will(PASSING[how], PASSING[how], says("At last."))
    answer = await client.complete(HELLO)
    assert (answer.text, answer.tries) == ("At last.", 3)
    server.will(PASSING[how])
    error = await refusal(client)
    assert error.code in ("assistant_busy", "assistant_failed", "assistant_unreachable")
    assert len(server.asked) == chat.TRIES


LASTING: dict[str, tuple[Behaviour, str, str]] = {
    "no JSON": (raw(200, b"<html>Welcome to the proxy</html>"), "assistant_answer", "not what a chat server answers"),
    "broken JSON": (raw(200, completion("x")[:-7]), "assistant_answer", "not what a chat server answers"),
    "other JSON": (raw(200, b'{"choices": [{"text": "old"}]}'), "assistant_answer", "not what a chat server"),
    "no choice": (raw(200, b'{"choices": []}'), "assistant_answer", "not what a chat server answers"),
    "not UTF-8": (raw(200, b'{"choices": [{"message": {"content": "\xff"}}]}'), "assistant_answer", "not what a"),
    "nested": (raw(200, b"[" * 500_000), "assistant_answer", "not what a chat server answers"),
    "no text": (says(None), "assistant_answer", "there is no text in it"),
    "blanks": (says(" \n"), "assistant_answer", "there is no text in it"),
    "huge": (raw(200, completion("x" * (3 << 20))), "assistant_answer", "more than 2 MiB"),
    "endless": (floods, "assistant_answer", "more than 2 MiB"),
    "compressed": (raw(200, b"\x1f\x8b\x08", "Content-Encoding: gzip"), "assistant_answer", "compressed"),
    "redirect": (raw(307, b"", "Location: http://127.0.0.1:1/v1"), "assistant_redirect", "which gets nothing"),
    "moved": (raw(301, b"", "Location: /v2/chat/completions"), "assistant_redirect", "another address (status 301)"),
    "400": (fails(400, "max_tokens is too large: 7.\x1b[31m\n\tUse less."), "assistant_refused", "less"),
    "long": (fails(422, "word " * 1000), "assistant_refused", "word word"),
    "not found": (fails(404, "no such model"), "assistant_refused", "(404, no such model)"),
    "403": (fails(403, f"Key {KEY} is not for this."), "assistant_key", "Key *** is not for this"),
    "a string": (raw(400, b'{"error": "model not loaded"}'), "assistant_refused", "model not loaded"),
}


@pytest.mark.parametrize("how", LASTING)
async def test_what_does_not_pass_is_told_at_once(client: ChatClient, server: AssistantServer, how: str) -> None:
    behaviour, code, said = LASTING[how]
    server.will(behaviour)
    error = await refusal(client)
    assert (error.code, len(server.asked)) == (code, 1)
    assert said in error.message
    assert len(error.message) < 500


async def test_a_server_that_asks_to_wait_long_is_not_waited_for(client: ChatClient, server: AssistantServer) -> None:
    for value, least in (("120", 120.0), (email.utils.formatdate(time.time() + 90, usegmt=True), 60.0)):
        server.will(fails(429, "Quota exceeded", f"Retry-After: {value}"))
        error = await refusal(client)
        assert (error.code, error.status, len(server.asked)) == ("assistant_busy", 429, 1)
        assert least <= (error.retry_after or 0) <= 120
    server.will(fails(429, "Slow down", "Retry-After: soon"), says("Done."))
    assert (await client.complete(HELLO)).text == "Done."


async def test_a_wait_is_never_shorter_than_the_server_asks_for() -> None:
    assert chat._delay(0, 3.0) == 3.0
    assert chat.FIRST_DELAY <= chat._delay(0, None) <= chat.FIRST_DELAY * 1.5
    assert chat.FIRST_DELAY * 4 <= chat._delay(2, 0.0) <= chat.FIRST_DELAY * 6


@pytest.mark.parametrize("behaviour", [hangs, trickles])
async def test_a_slow_server_is_given_up_and_its_connection_closed(
    client: ChatClient, server: AssistantServer, behaviour: Behaviour
) -> None:
    server.will(behaviour)
    client.server = replace(client.server, timeout=0.3)
    error = await refusal(client)
    assert (error.code, error.status) == ("assistant_timeout", 504)
    assert "did not answer within 0.3 s" in error.message
    await asyncio.wait_for(server.closed.wait(), 20)


async def test_a_cancelled_caller_ends_the_request(client: ChatClient, server: AssistantServer) -> None:
    server.will(hangs)
    asking = asyncio.create_task(client.complete(HELLO))
    await until_asked(server)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(server.closed.wait(), 20)
    server.will(says("Well."))
    assert (await client.complete(HELLO)).text == "Well.", "the client works on"


async def test_nothing_listens_there(client: ChatClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client.server = replace(client.server, url=f"http://127.0.0.1:{port}/v1")
    error = await refusal(client)
    assert error.code == "assistant_unreachable"
    assert f"127.0.0.1:{port}" in error.message


async def test_a_wrong_key_is_told_without_it_and_a_new_one_counts_at_once(
    server: AssistantServer, tmp_path: Path
) -> None:
    server.will(says("Yes."))
    file = tmp_path / "key"
    client = ChatClient(server_at(server.url, server.model, key_file=str(file), timeout=20.0))
    assert "No such file" in (await refusal(client)).message
    for text, mode, said in (
        ("sk-wrong-1", 0o600, "refuses the key (401, Incorrect API key provided: ***."),
        (KEY, 0o640, "other accounts may use its key file"),
        ("", 0o600, "holds no key"),
        ("two words", 0o600, "holds no key"),
        ("schlüssel", 0o600, "holds no key"),
        ("k" * 5000, 0o600, "holds no key"),
    ):
        file.write_text(text)
        file.chmod(mode)
        error = await refusal(client)
        assert error.code == "assistant_key"
        assert said in error.message
        assert not text or text not in error.message
    file.write_text(KEY)
    assert (await client.complete(HELLO)).text == "Yes."
    await client.close()


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("ftp://host/v1", {}, "url must be like"),
        ("http://", {}, "url must be like"),
        ("http://host:99999/v1", {}, "url must be like"),
        ("http://ho st/v1", {}, "url must be like"),
        ("http://user:pw@host/v1", {}, "a key belongs into key_file"),
        ("https://host/v1?key=1", {}, "a key belongs into key_file"),
        ("https://host/v1", {"model": ""}, "model must name"),
        ("https://host/v1", {"key_file": "key"}, "must be an absolute path"),
        ("http://192.0.2.1/v1", {"key_file": "/key"}, "others could read the key"),
    ],
)
async def test_a_server_that_cannot_be_is_refused(url: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadServer, match=said):
        server_at(url, **{"model": "m", **more})


async def test_an_engine_does_not_start_with_such_a_server(tmp_path: Path) -> None:
    settings = replace(Settings(), assistant=AssistantSection(url="nowhere", model="m"))
    with pytest.raises(ConfigError, match=r"\[assistant\] in the settings cannot be used: url must be like"):
        async with Engine.open(tmp_path / "plant", pool_size=1, settings=settings):
            pass


async def test_it_is_off_until_a_server_is_named(engine: Engine) -> None:
    service = AssistantService(None, engine.state.assistant_use, Budget(1, 1, 1), engine.audit)
    with pytest.raises(ServiceError, match="There is no assistant in this project") as off:
        await service.ask(AskRequest(prompt=FRUIT), engine.owner, "rest")
    assert (off.value.code, off.value.status) == ("assistant_off", 503)
    assert "url and model under [assistant]" in (off.value.hint or "")
    assert not (await service.info()).on


async def test_texts_are_summarized_and_classified(engine: Engine, server: AssistantServer) -> None:
    server.will(says("Short."), says('"Pump Fault".'), says("none of them"))
    answer = await engine.assistant.summarize(
        SummarizeRequest(text=FRUIT, words=20, language="de"), engine.owner, "rest"
    )
    assert answer.text == "Short."
    system, user = server.asked[0].body["messages"]
    assert user == {"role": "user", "content": FRUIT}, "the text is all of the user's message"
    assert "in de, in at most 20 words" in system["content"]
    request = ClassifyRequest(text=FRUIT, labels=["valve", "pump fault"])
    assert (await engine.assistant.classify(request, engine.owner, "rest")).label == "pump fault"
    with pytest.raises(ServiceError, match="chose none of the labels, but answered 'none of them'"):
        await engine.assistant.classify(request, engine.owner, "rest")
    with pytest.raises(ServiceError, match="Two labels are the same"):
        await engine.assistant.classify(ClassifyRequest(text="x", labels=["A  b", "a B"]), engine.owner, "rest")
    assert len(server.asked) == 3


async def test_a_budget_is_kept_across_engines_and_nothing_is_sent_beyond_it(
    engine: Engine, server: AssistantServer
) -> None:
    server.will(says("x" * 50))
    use = engine.state.assistant_use
    services: list[AssistantService] = []

    def made(*budget: int) -> AssistantService:
        parts = server_at(server.url, server.model, key_file=str(engine.assistant._chat.server.key_file))  # type: ignore[union-attr]
        services.append(AssistantService(parts, use, Budget(*budget), engine.audit))
        return services[-1]

    async def ask(service: AssistantService, script: str, size: int = 10) -> None:
        await service.ask_as(AskRequest(prompt="p" * size), Asker(engine.owner, "script", script))

    day = time.strftime("%Y-%m-%d", time.localtime())
    before = await use.of_day(day)
    first, second = (made(3, before.requests + 5, 1 << 20) for _ in range(2))
    for service in (first, second, first):
        await ask(service, "a.py")
    with pytest.raises(ServiceError, match=r"a\.py has asked the assistant 3 times today") as spent:
        await ask(made(3, 1000, 1 << 20), "a.py")
    assert (spent.value.code, spent.value.status) == ("assistant_budget", 429)
    results = await asyncio.gather(*(ask(first, f"b{n}.py") for n in range(6)), return_exceptions=True)
    assert sum(result is None for result in results) == 2, "at once, too"
    assert {str(result) for result in results if result} == {
        f"The assistant was asked {before.requests + 5} times today, which is the most for all together."
    }
    now = await use.of_day(day)
    assert (now.requests, now.sent - before.sent, now.received - before.received) == (before.requests + 5, 50, 250)
    assert len(server.asked) == 5
    left = 40
    with pytest.raises(ServiceError, match="would be more than"):
        await ask(made(100, 1000, now.sent + now.received + left), "c.py", left + 1)
    await ask(made(100, 1000, now.sent + now.received + left), "c.py", left)
    assert (await use.of_day("2001-01-01")).requests == 0
    for service in services:
        await service.close()


async def test_the_record_has_sizes_and_hashes_and_no_text(engine: Engine, server: AssistantServer) -> None:
    server.will(says(f"The {FRUIT} it is."), fails(400, f"no {FRUIT}"))
    request = AskRequest(prompt=f"Which fruit? {FRUIT}")
    await engine.assistant.ask(request, engine.owner, "rest")
    with pytest.raises(ServiceError):
        await engine.assistant.ask(request, engine.owner, "rest")
    records = [r for r in (await engine.audit.list(engine.owner, limit=20)).records if r.action == "assistant_ask"]
    failed, done = (record.detail for record in records[:2])
    assert (done["outcome"], done["sent"], done["received"]) == ("ok", 24, 22)
    assert len(str(done["sent_sha256"])) == len(str(done["received_sha256"])) == 64
    assert failed["outcome"] == "assistant_refused"
    assert failed["sent_sha256"] == done["sent_sha256"]
    await engine.audit.flush()
    root = engine.project.root
    told = [
        path
        for path in (root / ".gatewright").rglob("*")
        if path.is_file()
        and "envs" not in path.parts
        and (FRUIT.encode() in (data := path.read_bytes()) or KEY.encode() in data)
    ]
    assert told == []


HEADER = "# /// script\n# [tool.gatewright.permissions]\n# {asks}\n# ///\nimport gatewright\n"
ASK = """
def asked(function, *args):
    try:
        return function(*args)
    except gatewright.Error as error:
        return [error.code, str(error)]
"""


async def run(engine: Engine, body: str, asks: str = "assistant = true", *, approve: bool = True) -> Any:
    path = "own/asks.py"
    try:
        base: str | None = (await engine.scripts.load(path)).info.sha256
    except ServiceError:
        base = None
    text = HEADER.format(asks=asks) + ASK + body
    await engine.scripts.save(path, SaveRequest(text=text, base_sha256=base), engine.owner)
    if approve:
        review = await engine.permissions.review(path, engine.owner)
        grants = [Grant(access=one.access, path=one.canonical or "") for one in review.asked]
        await engine.permissions.approve(path, ApproveRequest(sha256=review.sha256, grants=grants), engine.owner)
    done = await engine.call_script(path)
    assert done.error is None, done.error
    return done.value


async def test_a_script_that_is_granted_it_asks_in_restricted(engine: Engine, server: AssistantServer) -> None:
    server.will(says("Blue."), says("Short."), says("b"))
    value = await run(
        engine,
        "a = gatewright.assistant\n"
        "result = [a.ask('Colour?', instructions='One word.'), a.summarize('long'), a.classify('t', ['a', 'b'])]",
    )
    assert value == ["Blue.", "Short.", "b"]
    assert server.asked[0].prompt == "Colour?"
    record = (await engine.audit.list(engine.owner, limit=50)).records
    asked = next(one for one in record if one.action == "assistant_ask" and one.source == "script")
    assert asked.subject == "own/asks.py"
    assert str(asked.detail["by"]).endswith("own/asks.py")


async def test_a_failed_run_is_explained_without_what_it_was_given(engine: Engine, server: AssistantServer) -> None:
    server.will(says("Line 3 divides by zero."))
    failed = await engine.execute("print('begin')\nx = len(params['recipe']) * 0\n1 / x", params={"recipe": FRUIT})
    answer = await engine.advice.explain(ExplainRequest(run_id=failed.id), engine.owner, "cli")
    assert answer.text == "Line 3 divides by zero."
    sent = server.asked[0].prompt
    for part in ("ZeroDivisionError", "1 / x", "begin", "Traceback"):
        assert part in sent
    assert FRUIT not in sent
    fine = await engine.execute("result = 1")
    with pytest.raises(ServiceError, match=f"Run {fine.id} has not failed"):
        await engine.advice.explain(ExplainRequest(run_id=fine.id), engine.owner, "cli")
    operator = Actor("token:o", NO_ACCOUNT, Role.OPERATOR, token="0" * 12)
    with pytest.raises(ServiceError, match="may not see other people's runs"):
        await engine.advice.explain(ExplainRequest(run_id=failed.id), operator, "cli")
    with pytest.raises(ServiceError, match="needs the role author"):
        await engine.advice.propose(ProposeRequest(text="x", wish="y", run_id=failed.id), operator, "cli")
    assert len(server.asked) == 1


TEXT = "# a script\nx = 1\n"


@pytest.mark.parametrize(
    ("answer", "proposed"),
    [
        ("```python\n# a script\nx = 2\n```", "# a script\nx = 2\n"),
        ("Sure!\r\n\r\n```python\r\n# a script\r\nx = 2\r\n```\r\nIt is `2` now.", "# a script\nx = 2\n"),
        ("~~~\n# a script\nx = 2\n\n\n~~~", "# a script\nx = 2\n"),
        ("````\n# a script\nx = '```'\n````", "# a script\nx = '```'\n"),
        ("```\npip\n```\n```python\n# a script\nx = 2  # much longer\n```", "# a script\nx = 2  # much longer\n"),
        ("x = 2", None),
        ("```python\nx = 2", None),
        ("```python\n\n```", None),
        ("```\nx = 2\n```\n```\nx = 3\n```", None),
    ],
)
async def test_a_proposal_is_the_one_script_in_an_answer_and_its_difference(
    engine: Engine, server: AssistantServer, answer: str, proposed: str | None
) -> None:
    server.will(says(answer))
    request = ProposeRequest(text=TEXT, wish="Make it two.", path="a.py")
    if proposed is None:
        with pytest.raises(ServiceError, match="there is not one script in it"):
            await engine.advice.propose(request, engine.owner, "cli")
        return
    change = await engine.advice.propose(request, engine.owner, "cli")
    assert change.text == proposed
    assert "-x = 1" in change.diff
    assert server.asked[0].prompt == f"The wish: Make it two.\n\nThe script:\n{TEXT}"


async def test_a_proposal_that_was_cut_off_or_changes_nothing_is_told_as_that(
    engine: Engine, server: AssistantServer
) -> None:
    server.will(says(f"```\n{TEXT}```", finish="length"), says(f"```\n{TEXT}```"), says(f"```\n{TEXT}```"))
    with pytest.raises(ServiceError, match="it is not complete"):
        await engine.advice.propose(ProposeRequest(text=TEXT, wish="x"), engine.owner, "cli")
    change = await engine.advice.propose(ProposeRequest(text=TEXT, wish="x"), engine.owner, "cli")
    assert (change.text, change.diff) == (TEXT, "")
    windows = TEXT.replace("\n", "\r\n")
    assert (await engine.advice.propose(ProposeRequest(text=windows, wish="x"), engine.owner, "cli")).text == windows
    with pytest.raises(ServiceError, match="more than 100,000 characters"):
        await engine.advice.propose(ProposeRequest(text="x" * 100_001, wish="x"), engine.owner, "cli")


async def test_nobody_else_is_let_to_it(engine: Engine, server: AssistantServer) -> None:
    server.will(says("Never."))
    body = "result = asked(gatewright.assistant.ask, 'x')"
    await engine.scripts.save("own/new.py", SaveRequest(text=HEADER.format(asks="assistant = true")), engine.owner)
    with pytest.raises(ServiceError, match="asks for the assistant, and no administrator has approved") as refused:
        await engine.call_script("own/new.py")
    assert refused.value.code == "needs_approval"
    value = await run(engine, body, "assistant = false", approve=False)
    assert value[0] == "not_granted"
    assert "Add assistant = true" in value[1]
    code = await engine.execute(f"import gatewright\n{ASK}\n{body}")
    assert code.value[0] == "not_granted"
    assert server.asked == []


async def test_a_secret_does_not_leave_the_host_in_a_question(engine: Engine, server: AssistantServer) -> None:
    server.will(says("Never."))
    await engine.secrets.set("plc", SecretValue(value="heliotrope-1"), engine.owner, "cli")
    body = "s = gatewright.secrets.get('plc')\nresult = asked(gatewright.assistant.ask, 'Is ' + s + ' strong?')"
    value = await run(engine, body, 'assistant = true\n# secrets = ["plc"]')
    assert value[0] == "tells_secret"
    assert server.asked == []


async def test_what_an_administrator_approves_says_where_texts_go(engine: Engine, server: AssistantServer) -> None:
    server.will(says("x"))
    await run(engine, "result = 1")
    [asked] = (await engine.permissions.review("own/asks.py", engine.owner)).asked
    assert (asked.access, asked.path) == (Access.ASK, "assistant")
    assert f"127.0.0.1:{server.port}" in (asked.note or "")
    [listed] = [one for one in (await engine.scripts.list()).scripts if one.path == "own/asks.py"]
    assert (listed.problem, [grant.path for grant in listed.permissions]) == (None, ["assistant"])


async def test_a_run_that_is_cancelled_ends_its_question(engine: Engine, server: AssistantServer) -> None:
    server.will(hangs)
    running = asyncio.create_task(run(engine, "result = gatewright.assistant.ask('x')"))
    await until_asked(server)
    server.closed.clear()
    [active] = [one for one in (await engine.runs.list(engine.owner)).runs if one.outcome is None]
    await engine.runs.cancel(active.id, engine.owner)
    await asyncio.wait_for(server.closed.wait(), 20)
    with pytest.raises(AssertionError):
        await running
    server.will(says("x"))


@pytest.mark.slow
async def test_an_engine_that_asks_nothing_does_not_load_the_http_client() -> None:
    code = "import sys, engine.compose; print(sorted({'httpx2', 'httpcore2', 'h11'} & set(sys.modules)))"
    asked = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    loaded = (await asked.communicate())[0].decode()
    assert (asked.returncode, loaded) == (0, "[]\n")
    assert Server("http://127.0.0.1", "m").place == "127.0.0.1"
