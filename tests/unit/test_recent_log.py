"""The engine's latest log lines, and how the module's panels read them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.api.compat.logs import MOST, LogPage, LogParams, Logs
from engine.daemon import logs as daemon_logs
from engine.services.access import Actor, Role, ServiceError
from engine.services.recent_log import LINES, LONGEST, RecentLog, plain

ADA = Actor(name="ada", uid=1, role=Role.AUTHOR)


@pytest.fixture
def recent() -> RecentLog:
    return RecentLog()


@pytest.fixture
def logger(recent: RecentLog) -> Iterator[logging.Logger]:
    logger = logging.getLogger("engine.test")
    logger.addHandler(recent)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(recent)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def read(recent: RecentLog, **params: Any) -> LogPage:
    host: Any = SimpleNamespace(recent_log=recent)
    return Logs(host).logs(msgspec.convert(params, LogParams, strict=False), ADA)


def messages(recent: RecentLog, **params: Any) -> list[str]:
    return [entry.message for entry in read(recent, **params).entries]


def test_lines_come_newest_first_with_rising_ids(recent: RecentLog, logger: logging.Logger) -> None:
    logger.info("run %d began", 7)
    logger.warning("disk %s", "full")
    page = read(recent, filter="Python3")
    assert [(entry.id, entry.level, entry.logger, entry.message) for entry in page.entries] == [
        (2, "WARN", "engine.test", "disk full"),
        (1, "INFO", "engine.test", "run 7 began"),
    ]
    assert (page.success, page.count, page.total, page.has_more) == (True, 2, 2, False)
    sent = json.loads(msgspec.json.encode(page))
    assert {type(entry["timestamp"]) for entry in sent["entries"]} == {int}
    assert sent["hasMore"] is False


def test_pages_go_on_below_the_last_id(recent: RecentLog, logger: logging.Logger) -> None:
    for number in range(1, 251):
        logger.info("line %d", number)
    seen: list[int] = []
    page = read(recent)
    while True:
        seen += [entry.id for entry in page.entries]
        assert page.total == 250
        if not page.has_more:
            break
        page = read(recent, after=seen[-1])
    assert seen == list(range(250, 0, -1))


def test_lines_are_limited_and_the_oldest_go(recent: RecentLog, logger: logging.Logger) -> None:
    for number in range(LINES + 10):
        logger.info("line %d", number)
    assert read(recent).count == 100
    page = read(recent, lines="10000")
    assert (page.count, page.total, page.has_more) == (MOST, LINES, True)
    assert page.entries[0].id == LINES + 10
    assert read(recent, after="11").entries == []
    assert read(recent, after="0").total == read(recent, after="-1").total == LINES


def test_a_level_is_that_one_and_above(recent: RecentLog, logger: logging.Logger) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, logging.getLevelName(level))
    assert messages(recent, level="warn") == ["CRITICAL", "ERROR", "WARNING"]
    assert messages(recent, level="ERROR") == ["CRITICAL", "ERROR"]
    assert messages(recent, level="ALL") == messages(recent) == messages(recent, level="TRACE")
    assert {entry.level for entry in read(recent).entries} == {"DEBUG", "INFO", "WARN", "ERROR"}
    with pytest.raises(ServiceError, match=r"level must be DEBUG, INFO, WARN or ERROR\."):
        read(recent, level="loud")


def test_a_filter_is_in_the_logger_or_the_message_and_python3_means_all(
    recent: RecentLog, logger: logging.Logger
) -> None:
    logger.info("slot 2 failed")
    logger.info("other")
    assert messages(recent, filter="SLOT") == ["slot 2 failed"]
    assert messages(recent, filter="engine.") == ["other", "slot 2 failed"] == messages(recent, filter="Python3")
    assert messages(recent, filter="nothing") == []


def test_what_a_line_holds_is_plain_and_bounded(recent: RecentLog, logger: logging.Logger) -> None:
    logger.info("a\x1b[31mred\x07 \x9b \u202eabc\nnext\ttab \udc80")
    assert messages(recent) == ["a\\x1b[31mred\\x07 \\x9b \\u202eabc\nnext\ttab \\udc80"]
    logger.info("x" * 100_000)
    assert len(messages(recent)[0]) < LONGEST + 100
    assert "96000 characters left out" in messages(recent)[0]
    msgspec.json.encode(read(recent))


def test_a_traceback_is_part_of_its_line(recent: RecentLog, logger: logging.Logger) -> None:
    try:
        int("odd")
    except ValueError:
        logger.exception("it failed")
    [entry] = read(recent).entries
    assert entry.message.startswith("it failed\nTraceback (most recent call last):")
    assert entry.message.endswith("ValueError: invalid literal for int() with base 10: 'odd'")
    assert entry.level == "ERROR"


def test_control_characters_are_escaped_and_nothing_else() -> None:
    text = "Prüfung 测试 🙂 a\tb\nc"
    assert plain(text) == text
    assert plain("\r\x00\u2028") == "\\r\\x00\\u2028"


def test_viewers_may_not_read_what_the_log_says_of_others(recent: RecentLog) -> None:
    host: Any = SimpleNamespace(recent_log=recent)
    for role in (Role.VIEWER, Role.OPERATOR):
        with pytest.raises(ServiceError, match="needs the role author"):
            Logs(host).logs(LogParams(), Actor(name="vic", uid=2, role=role))


def test_the_daemons_log_keeps_its_latest_lines(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log = daemon_logs.configure(tmp_path / "engine.log", foreground=False)
    try:
        logging.getLogger("engine.daemon").info("serves")
        assert [line.message for line in log.recent.newest_first()] == ["serves"]
        assert (tmp_path / "engine.log").read_text().endswith("INFO engine.daemon: serves\n")
    finally:
        log.close()
        logging.captureWarnings(False)
