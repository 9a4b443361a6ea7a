"""The engine's log: rotated, and never a reason to fail."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.daemon import logs
from engine.daemon.logs import EngineLog, StderrLog


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.engine_log")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def test_a_full_disk_costs_lines_and_is_reported(tmp_path: Path, logger: logging.Logger) -> None:
    path = tmp_path / "engine.log"
    path.symlink_to("/dev/full")
    log = EngineLog(path)
    logger.addHandler(log)
    assert log.problem is None
    logger.info("lost")
    assert log.problem == f"A line of the log was lost ({path}): No space left on device."
    for _ in range(4):
        logger.info("x" * 100_000)
    assert log.problem == f"5 lines of the log were lost ({path}): No space left on device."
    path.unlink()
    logger.info("there is room again")
    assert path.read_text().endswith("there is room again\n")
    assert "lost" not in path.read_text()


def test_a_folder_that_is_gone_costs_lines(tmp_path: Path, logger: logging.Logger) -> None:
    log = EngineLog(tmp_path / "gone" / "engine.log")
    logger.addHandler(log)
    logger.info("lost")
    assert log.problem is not None
    assert "No such file" in log.problem


def test_it_keeps_five_files(tmp_path: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 1000)
    logger.addHandler(EngineLog(tmp_path / "engine.log"))
    for number in range(200):
        logger.info("line %d %s", number, "x" * 50)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["engine.log", *(f"engine.log.{n}" for n in range(1, 5))]
    assert all(file.stat().st_size <= 1000 for file in files)


def test_a_flood_of_one_kind_leaves_room_for_others(tmp_path: Path, logger: logging.Logger) -> None:
    log = EngineLog(tmp_path / "engine.log")
    logger.addHandler(log)
    for number in range(500):
        logger.warning("refused a request from %s", number)
    logger.warning("something else")
    logger.error("refused a request from %s", "an error is always told")
    lines = (tmp_path / "engine.log").read_text().splitlines()
    assert len(lines) == logs.A_MINUTE + 2
    assert len(list(log.recent.newest_first())) == logs.A_MINUTE + 2, "what clients read of it is not flooded either"


def test_what_was_kept_back_is_counted(tmp_path: Path, logger: logging.Logger) -> None:
    gate = logs.FloodGate()
    record = logging.LogRecord("engine.api", logging.WARNING, "", 0, "refused %s", ("x",), None)
    passed = [gate.filter(record) for _ in range(logs.A_MINUTE + 7)]
    assert passed.count(False) == 7
    record.created += logs.MINUTE
    assert gate.filter(record)
    assert record.getMessage() == "refused x (7 more like this one in the minute before were not logged)"


def test_stderr_that_is_not_read_holds_nothing_up(tmp_path: Path, logger: logging.Logger) -> None:
    reader, writer = os.pipe()
    logger.addHandler(StderrLog(writer))
    for number in range(2 * logs.STDERR_LINES):
        logger.info("line %d %s", number, "x" * 200)  # without a thread this call would not return
    began = time.monotonic()
    logger.handlers[0].flush()
    assert time.monotonic() - began < 10 * logs.FAREWELL
    text = b""
    while b" line 500 x" not in text:
        text += os.read(reader, 1 << 16)
    logger.info("the last")
    while not text.endswith(b"the last\n"):
        text += os.read(reader, 1 << 16)
    os.close(reader)
    assert b"lines were not written: stderr was not read)" in text
    assert b" line 0 x" in text


def test_one_gate_holds_for_the_file_and_stderr(tmp_path: Path) -> None:
    program = (
        "import logging, pathlib, sys; from engine.daemon import logs;"
        "logs.configure(pathlib.Path(sys.argv[1]), foreground=True);"
        "[logging.getLogger('engine.api').warning('refused %d', n) for n in range(500)];"
        "logging.getLogger('engine.api').info('the last')"
    )
    path = tmp_path / "engine.log"
    done = subprocess.run([sys.executable, "-c", program, path], stderr=subprocess.PIPE, timeout=60, check=True)
    assert done.stderr.decode() == path.read_text()
    assert done.stderr.count(b"refused") == logs.A_MINUTE
    assert done.stderr.endswith(b"the last\n")


def test_a_process_ends_while_its_stderr_is_full(tmp_path: Path) -> None:
    program = (
        "import logging, pathlib, sys; from engine.daemon import logs;"
        "logs.configure(pathlib.Path(sys.argv[1]), foreground=True);"
        "[logging.error('%s', 'x' * 1000) for n in range(500)]"
    )
    reader, writer = os.pipe()
    try:
        subprocess.run([sys.executable, "-c", program, tmp_path / "log"], stderr=writer, timeout=60, check=True)
    finally:
        os.close(reader)
        os.close(writer)


def test_the_journal_gets_a_priority_for_each_line_and_no_time(logger: logging.Logger) -> None:
    reading, writing = os.pipe()
    handler = StderrLog(writing, journal=True)
    logger.addHandler(handler)
    logger.info("it starts\nand goes on")
    logger.warning("")
    logger.error("it ends")
    handler.flush()
    os.close(writing)
    with open(reading, encoding="utf-8") as written:
        name = logger.name
        assert written.read() == f"<6>{name}: it starts\n<6>and goes on\n<4>{name}: \n<3>{name}: it ends\n"


def test_the_journal_is_known_by_the_device_and_inode_of_stderr() -> None:
    info = os.fstat(2)
    assert logs.reads_stderr({"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
    assert not logs.reads_stderr({"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino + 1}"})
    assert not logs.reads_stderr({})
