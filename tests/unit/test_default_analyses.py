"""Default scripts on logs, threads, alarms, certificates, backups: what else people hand them, and hostile files."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import runpy
import sqlite3
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.worker.inputs import InputFile

ROOT = Path(__file__).parents[2]
DEFAULTS, SAMPLES = ROOT / "default_scripts/defaults", ROOT / "default_scripts/samples"
SCRIPTS = {
    "clock_drift": "clock_drift.log",
    "thread_dumps": "thread_dumps.log",
    "alarm_journal": "alarm_journal.csv",
    "cert_expiry": "gateway_certificates.pem",
    "backup_check": "plant3.gwbk",
    "log_digest": "wrapper.log",
}
"""With the sample that each is for."""

NOT_LONG = 15.0
"""Seconds; each of these calls takes far less than one, and quadratic work would take minutes."""


def handed(data: bytes | str, name: str = "handed") -> InputFile:
    """A file parameter as a run gets it."""
    content = data.encode() if isinstance(data, str) else data
    descriptor = os.memfd_create(name)
    os.write(descriptor, content)
    return InputFile(name, descriptor, len(content))


@cache
def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(DEFAULTS / f"{name}.py"))


def call(name: str, *files: bytes | str, **params: Any) -> Any:
    """What a script returns; it must be plain data."""
    begun = time.monotonic()
    result = script(name)["main"](*map(handed, files), **params)
    assert time.monotonic() - begun < NOT_LONG
    json.dumps(result, allow_nan=False)
    return result


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


NO_DATA = {
    "nothing": b"",
    "line ends": b"\n\r\n\r\n",
    "zeros": b"\0" * 300_000,
    "binary": bytes(range(256)) * 800,
    "no utf-8": b"\xff\xfe\xfd broken \xc3\x28" * 50,
    "one long line": b"x" * 2_000_000,
    "brackets": b"[" * 200_000,
    "json": b'{"threads": [1, null, {}, {"name": 3, "stacktrace": 7, "waitingFor": []}], "deadlocks": 5}',
    "escapes": b"\x1b]0;owned\x07\x1b[2J" * 100,
    "begin of a zip": b"PK\3\4" + b"\0" * 100,
    "end of a zip": b"PK\5\6" + b"\xff" * 18,
    "DER lengths": b"\x30\x84\xff\xff\xff\xff\x02\x01",
    "nested DER": b"\x30\x80" * 1_000,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 50,
    "SQLite": b"SQLite format 3\0" + b"\xff" * 4_080,
}


def refusal(name: str, *files: bytes | str, **params: Any) -> str:
    """The one sentence by which the script ends, as a failure."""
    with pytest.raises(SystemExit) as caught:
        call(name, *files, **params)
    assert isinstance(caught.value.code, str)
    assert "\n" not in caught.value.code
    return caught.value.code


def read_or_refused(name: str, data: bytes) -> Any:
    try:
        return call(name, data)
    except SystemExit as refused:
        return refused.code


IS_DATA = {
    ("thread_dumps", "json"),
    *[("csv_summary", name) for name in ("brackets", "json", "no utf-8", "nested DER")],
}
"""Odd, but of the kind that the script reads."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in [*SCRIPTS, "csv_summary"] for kind in NO_DATA if (name, kind) not in IS_DATA],
)
def test_a_file_of_another_kind_ends_the_script_with_a_sentence(name: str, kind: str) -> None:
    told = refusal(name, NO_DATA[kind])
    assert "here is no" in told or "is empty" in told or "names no column" in told or "is damaged" in told or (
        "cannot be read" in told or "no gateway backup" in told or "is no certificate" in told
    ) or "no CSV text" in told or "is broken" in told, told  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), sorted(IS_DATA))
def test_what_is_odd_and_of_the_right_kind_is_read(name: str, kind: str) -> None:
    assert isinstance(call(name, NO_DATA[kind]), dict)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_sample_that_is_cut_anywhere_is_still_read_or_refused(name: str) -> None:
    data = sample(SCRIPTS[name])
    for part in range(1, 6):
        assert isinstance(read_or_refused(name, data[: len(data) * part // 6]), dict | str)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_sample_with_spoilt_bytes_is_still_read_or_refused(name: str) -> None:
    data = bytearray(sample(SCRIPTS[name]))
    for position in range(7, len(data), max(1, len(data) // 10)):
        spoilt = bytearray(data)
        spoilt[position : position + 3] = b"\xff\x00\x80"
        assert isinstance(read_or_refused(name, bytes(spoilt)), dict | str)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("params", [{"top": 0}, {"top": -3}, {"top": 10**9}], ids=["none", "less", "many"])
def test_any_number_of_rows_may_be_asked_for(name: str, params: dict[str, int]) -> None:
    if name != "cert_expiry":
        assert isinstance(call(name, sample(SCRIPTS[name]), **params), dict)


@pytest.mark.parametrize(("name", "file"), [*SCRIPTS.items(), ("csv_summary", "tag_history.csv")])
def test_it_is_a_program_as_well(name: str, file: str) -> None:
    command = [sys.executable, "-I", str(DEFAULTS / f"{name}.py"), str(SAMPLES / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 5


# -- logs --------------------------------------------------------------------------------------------------------------


def drift(stamp: str, ms: object) -> str:
    return f"INFO   | jvm 1    | {stamp} | W [ClockDriftDetector] [x]: Clock drift, degraded. actual deviation={ms}ms\n"


def test_lines_may_have_a_prefix_and_need_not_be_in_order() -> None:
    lines = [drift(f"2026/11/20 03:0{minute}:00", 1500) for minute in (5, 1, 3)]
    found = call("clock_drift", "".join(f"Nov 20 03:00:00 gw java[7]: {line}" for line in lines))
    assert (found["warnings"], found["from"], found["to"]) == (3, "2026/11/20 03:01:00", "2026/11/20 03:05:00")
    (episode,) = found["episodes"]
    assert (episode["from"], episode["to"], episode["warnings"]) == ("2026/11/20 03:01:00", "2026/11/20 03:05:00", 3)


def test_a_clock_that_was_set_back_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    found = call("clock_drift", drift("2026/11/20 03:00:00", -7200000))
    assert (found["set_back"], found["total_seconds"]) == (1, 0.0)
    assert "time synchronisation" in capsys.readouterr().out


def test_dates_that_are_none_and_enormous_numbers_count_for_nothing() -> None:
    log = drift("0001/01/01 00:00:00", 5) + drift("2026/99/99 99:99:99", 5) + drift("2026/11/20 03:00:00", "9" * 50)
    assert call("clock_drift", log, before=10**18, startup=-5)["warnings"] == 0


@pytest.mark.slow
def test_as_many_restarts_as_a_log_can_hold_take_no_time() -> None:
    launch = "STATUS | wrapper  | 2026/11/20 03:00:00 | Launching a JVM...\n"
    found = call("clock_drift", (launch + drift("2026/11/20 03:00:00", 1500)) * 8_000)
    assert (found["starts"], found["warnings"], len(found["restarts"])) == (8_000, 8_000, 30)


DIGEST = {"error": 10, "warn": 19, "info": 21}


@pytest.mark.parametrize(
    "made",
    [
        gzip.compress,
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"".join(b"gateway-1  | " + line for line in data.splitlines(keepends=True)),
    ],
    ids=["gzip", "utf-16", "container"],
)
def test_a_log_is_digested_however_it_comes(made: Callable[[bytes], bytes]) -> None:
    assert call("log_digest", made(sample("wrapper.log")), hours=0)["levels"] == DIGEST


def test_a_packed_log_is_read_up_to_where_it_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    found = call("log_digest", gzip.compress(sample("wrapper.log"))[:1500], hours=0)
    assert 0 < found["entries"] < 50
    assert capsys.readouterr().out.count("up to where it is broken") == 1


def test_a_packed_line_without_an_end_is_cut() -> None:
    line = "INFO   | jvm 1    | 2026/11/20 03:00:00 | W [a] [03:00:00]: late\n"
    data = line.encode() + b"-" * 5_000_000 + line.encode()
    assert call("log_digest", gzip.compress(data), hours=0)["levels"] == {"warn": 2}, "one line of five megabytes"


def test_a_file_that_begins_with_zeros_is_no_log_and_may_be_one_line() -> None:
    line = b"INFO   | jvm 1    | 2026/11/20 03:00:00 | W [a] [03:00:00]: late\n"
    assert "no line of a wrapper log" in refusal("log_digest", b"\0" * 5_000 + b"\n" + line)


def test_an_exported_log_and_one_of_another_java_program_are_digested(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "system_logs.idb")) as database:
        database.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE logging_event (event_id, timestmp, formatted_message, logger_name, level_string);
            CREATE TABLE logging_event_exception (event_id, i, trace_line);
            INSERT INTO logging_event VALUES (1, 1795000000000, 'late', 'tags', 'WARN'), (2, 'x', NULL, NULL, NULL);
            INSERT INTO logging_event_exception VALUES (1, 0, 'java.lang.Error: why');
        """)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = call("log_digest", (tmp_path / "system_logs.idb").read_bytes(), hours=0)
    assert [(row["level"], row["logger"], row["exceptions"]) for row in found["loggers"]] == [
        ("warn", "tags", {"java.lang.Error": 1})
    ]
    java = "2026-11-20 12:03:58,123 [main] WARN  a.b - slow - very\nx.y.OddException: no\n"
    found = call("log_digest", java + "2026-11-20T12:04:00Z ERROR c.d: gone\n")
    assert [(row["level"], row["logger"], row["message"]) for row in found["loggers"]] == [
        ("error", "c.d", "gone"),
        ("warn", "a.b", "slow - very"),
    ]


# -- thread dumps ------------------------------------------------------------------------------------------------------

PAGE = """Ignition v8.1.43 (b2024080813)

Deadlocked threads: 3, 4
Daemon Thread [worker-1] id=3, (BLOCKED)
    owns monitor: java.lang.Object@1
    waiting for: java.lang.Object@2 (owned by 4)
    com.example.A.run(A.java:1)
Thread [worker-2] id=4, (BLOCKED) (native)
    owns monitor: java.lang.Object@2
    waiting for: java.lang.Object@1 (owned by 3)
    com.example.B.run(B.java:1)
"""
BY_SCRIPT = """Ignition version: 8.1.43 (b2024080813)

"main"
     CPU: 12.50%
     java.lang.Thread.State: RUNNABLE
     com.example.Main.run(Main.java:1)

"main"
     CPU: 0.00%
     java.lang.Thread.State: WAITING
     com.example.Main.wait(Main.java:2)

"""


def test_the_gateways_two_texts_are_thread_dumps() -> None:
    found = call("thread_dumps", PAGE)
    assert (found["states"], found["deadlocks"][0]["threads"]) == ([{"BLOCKED": 2}], ["worker-1", "worker-2"])
    found = call("thread_dumps", BY_SCRIPT, BY_SCRIPT)
    assert found["states"] == [{"RUNNABLE": 1, "WAITING": 1}] * 2
    assert (found["busiest"][0]["cpu_percent"], found["stuck_threads"]) == (12.5, 2)


def test_dumps_in_several_files_are_one_series(capsys: pytest.CaptureFixture[str]) -> None:
    first, *later = sample("thread_dumps.log").decode().split("Full thread dump")[1:]
    whole = call("thread_dumps", sample("thread_dumps.log"))
    parts = call("thread_dumps", *(f"Full thread dump{part}" for part in (first, *later)))
    assert parts == whole
    assert "Stuck in all 3 dumps: 6 threads." in capsys.readouterr().out


def test_a_dump_in_a_wrapper_log_and_one_of_windows_are_read() -> None:
    text = sample("thread_dumps.log").decode()
    whole = call("thread_dumps", text)
    in_log = "".join(f"INFO   | jvm 1    | 2026/11/20 12:03:10 | {line}\n" for line in text.splitlines())
    assert call("thread_dumps", in_log) == whole
    assert call("thread_dumps", text.replace("\n", "\r\n").encode("utf-16")) == whole


def test_who_waits_in_object_wait_holds_nothing() -> None:
    dump = """Full thread dump
"a" #1 prio=5 tid=0x1
   java.lang.Thread.State: WAITING (on object monitor)
\t- waiting on <0x10> (a java.lang.Object)
\tat com.example.A.run(A.java:1)
\t- locked <0x10> (a java.lang.Object)

"b" #2 prio=5 tid=0x2
   java.lang.Thread.State: BLOCKED (on object monitor)
\tat com.example.B.run(B.java:1)
\t- waiting to lock <0x10> (a java.lang.Object)
"""
    found = call("thread_dumps", dump)
    assert (found["deadlocks"], found["locks"]) == ([], [])


def test_a_circle_of_five_thousand_threads_is_found() -> None:
    count = 5_000
    threads = [
        {
            "id": n,
            "name": f"t-{n}",
            "state": "BLOCKED",
            "stacktrace": ["a.B.c(B.java:1)"],
            "waitingFor": {"lock": f"l{n}", "owner": (n + 1) % count},
        }
        for n in range(count)
    ]
    found = call("thread_dumps", json.dumps({"threads": threads}))
    assert len(found["deadlocks"][0]["threads"]) == count


# -- alarms ------------------------------------------------------------------------------------------------------------


def journal(*rows: str, header: str = "Event Time,Source,State,Priority") -> str:
    return "\n".join([header, *rows, ""])


@pytest.mark.parametrize(
    ("time", "begin"),
    [
        ("2026-11-20 06:00:00", "2026-11-20 06:00:00"),
        ("2026-11-20T06:00:00.123456789+01:00", "2026-11-20 05:00:00"),
        ("2026/11/20 06:00", "2026-11-20 06:00:00"),
        ("11/20/2026 6:00:00 PM", "2026-11-20 18:00:00"),
        ("20.11.2026 06:00:00", "2026-11-20 06:00:00"),
        ("4/5/2026 12:00:00 AM", "2026-04-05 00:00:00"),
        ("Fri Nov 20 06:00:00 CET 2026", "2026-11-20 06:00:00"),
        ("1795154400000", "2026-11-20 06:00:00"),
        ("1795154400", "2026-11-20 06:00:00"),
    ],
)
def test_a_journal_may_have_times_of_any_form(time: str, begin: str) -> None:
    assert call("alarm_journal", journal(f"{time},a,Active,High"))["from"] == begin


def test_the_order_of_day_and_month_is_seen_or_told() -> None:
    assert (
        call("alarm_journal", journal("4/5/2026 06:00:00,a,0,1", "13/5/2026 06:00:00,a,1,1"))["from"][:10]
        == "2026-05-04"
    )
    assert call("alarm_journal", journal("4/5/2026 06:00:00,a,0,1"), dates="day first")["from"][:10] == "2026-05-04"


def test_rows_that_are_no_events_are_counted_and_left_out() -> None:
    found = call("alarm_journal", journal("yesterday,a,0,1", "2026-11-20 06:00:00,,0,1", "2026-11-20 06:00:00,a,9,1",
                                          "short", "2026-11-20 06:00:00,a,0,1"))  # fmt: skip
    assert (found["events"], found["skipped"], found["activations"]) == (1, 4, 1)


def test_columns_are_found_by_name_whatever_separates_them() -> None:
    for separator in ";\t|":
        text = journal(
            "x~2026-11-20 06:00:00~Line 1~Active~CRITICAL", header="id~EVENT_TIME~Display Path~Event State~priority"
        )
        found = call("alarm_journal", text.replace("~", separator))
        assert found["priorities"] == {"critical": 1}
        assert found["most_frequent"][0]["alarm"] == "Line 1"


def test_a_journal_with_the_newest_first_tells_the_same() -> None:
    header, *rows = sample("alarm_journal.csv").decode().splitlines()
    found = call("alarm_journal", "\n".join([header, *reversed(rows)]).encode("utf-16"))
    assert found == call("alarm_journal", sample("alarm_journal.csv"))


def test_what_is_of_one_second_is_read_in_the_order_of_the_file() -> None:
    rows = "2026-11-20 06:00:09,b,Active,1", "2026-11-20 06:00:00,a,Clear,1", "2026-11-20 06:00:00,a,Active,1"
    assert call("alarm_journal", journal(*rows))["active_at_the_end"] == 1
    assert call("alarm_journal", journal(*reversed(rows)))["active_at_the_end"] == 1


def test_a_cell_without_an_end_is_refused_with_its_line() -> None:
    told = refusal("alarm_journal", journal("2026-11-20 06:00:00,a,0,1", '2026-11-20 06:00:00,"' + "b" * 200_000))
    assert told.startswith("Line 3 and what follows is no CSV text: ")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("clock_drift", "INFO   | wrapper  | 2026/11/20 12:00:00 | fine\n"),
        ("log_digest", "INFO   | wrapper  | 2026/11/20 12:00:00 | fine\n"),
        ("alarm_journal", "eventtime,source,eventtype\n2026-11-20 06:00:00,a,Clear\n"),
        ("csv_summary", "tag,value\n"),
        ("thread_dumps", b'{"threads": [{"name": "main", "state": "RUNNABLE", "stacktrace": []}]}'),
    ],
)
def test_a_file_with_nothing_to_report_is_no_failure(name: str, data: bytes | str) -> None:
    assert isinstance(call(name, data), dict)


def test_a_later_dump_that_is_none_is_named() -> None:
    with pytest.raises(SystemExit, match=r"^There is no thread dump in later\.$"):
        script("thread_dumps")["main"](handed(sample("thread_dumps.log")), second=handed(b"no dump", "later"))


@pytest.mark.slow
def test_an_alarm_that_comes_a_thirty_thousand_times_in_a_second() -> None:
    found = call("alarm_journal", journal(*["2026-11-20 06:00:00,a,0,1"] * 30_000))
    assert (found["chattering"][0]["in_a_minute"], found["rating"]) == (30_000, "unacceptable")


# -- certificates ------------------------------------------------------------------------------------------------------


def test_der_certificates_may_stand_one_behind_the_other() -> None:
    found = call("cert_expiry", sample("old_gateway.der") * 3, today="2026-11-20")
    assert [each["key"] for each in found["certificates"]] == ["RSA 1024"] * 3
    text = base64.encodebytes(sample("old_gateway.der")).decode().replace("\n", "\r\n")
    pem = f"some words\r\n-----BEGIN CERTIFICATE-----\r\n{text}-----END CERTIFICATE-----\r\nmore"
    assert call("cert_expiry", pem, today="2026-11-20")["certificates"] == found["certificates"][:1]


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x83" + size.to_bytes(3, "big")) + content


def test_certificates_in_pkcs_7_are_read() -> None:
    signed_data = bytes.fromhex("06092a864886f70d010702")
    inner = der(0x02, b"\1") + der(0x31, b"") + der(0x30, signed_data) + der(0xA0, sample("old_gateway.der") * 2)
    found = call("cert_expiry", der(0x30, signed_data + der(0xA0, der(0x30, inner))), today="2026-11-20")
    assert [each["subject"] for each in found["certificates"]] == ["CN=old-gateway, O=Example Plant"] * 2


def test_an_issuer_of_the_same_name_with_another_key_is_another_one() -> None:
    leaf, _, issuing = sample("gateway_certificates.pem").split(b"-----END CERTIFICATE-----\n")[:3]
    other = bytearray(base64.b64decode(b"".join(issuing.split(b"\n")[1:])))
    at = other.index(bytes.fromhex("551d0e0416 0414")) + 7  # subjectKeyIdentifier
    other[at] ^= 0xFF
    text = base64.encodebytes(bytes(other))
    chains = [
        call("cert_expiry", leaf + b"-----END CERTIFICATE-----\n" + each + b"-----END CERTIFICATE-----\n")["chain"]
        for each in (issuing, b"-----BEGIN CERTIFICATE-----\n" + text)
    ]
    assert [each["kind"] for each in chains] == ["chain", "a collection, no single chain"]
    assert chains[0]["missing"] == "CN=Example Plant Root CA, O=Example Plant"


def test_a_private_key_and_keystores_are_named_and_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
    told = refusal("cert_expiry", key)
    assert told.startswith("There is no certificate in this file. There is a private key in this file: ")
    assert "AAAA" not in told
    assert "Java keystore" in refusal("cert_expiry", b"\xfe\xed\xfe\xed\0\0\0\2")
    assert "keystore" in refusal("cert_expiry", der(0x30, der(0x02, b"\3") + der(0x30, b"")))
    assert "private key" in call("cert_expiry", key.encode() + sample("gateway_certificates.pem"))["notes"][0]
    assert "AAAA" not in capsys.readouterr().out


def test_a_name_in_a_certificate_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    data = sample("old_gateway.der").replace(b"old-gateway", b"\x1b[2Jgateway")
    assert call("cert_expiry", data)["certificates"][0]["subject"].startswith("CN=?[2Jgateway")
    assert "\x1b" not in capsys.readouterr().out


def test_a_date_that_is_none_is_refused() -> None:
    assert "today has to be a date" in refusal("cert_expiry", sample("old_gateway.der"), today="tomorrow")


@pytest.mark.slow
def test_a_hundred_thousand_blocks_and_parts_take_no_time() -> None:
    block = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    assert "There are 1,998 more of this kind." in refusal("cert_expiry", block * 50_000)
    assert "more parts" in refusal("cert_expiry", der(0x30, b"\x05\0" * 1_000_000))
    assert "no certificate" in refusal("cert_expiry", b"-----BEGIN CERTIFICATE-----\n" * 100_000)


# -- backups -----------------------------------------------------------------------------------------------------------


def archive(files: dict[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return made.getvalue()


def test_a_backup_of_a_newer_gateway_has_its_configuration_in_files() -> None:
    found = call("backup_check", archive({
        "backupinfo.xml": "<info><version>8.3.1 (b2025)</version><edition>edge</edition></info>",
        "projects/A/project.json": '{"title": "A", "enabled": true}',
        "config/resources/core/ignition/database-connection/historian/resource.json": "{}",
        "config/resources/core/ignition/database-connection/historian/config.json": "{}",
        "config/resources/core/com.inductiveautomation.opcua/device/PLC/resource.json": "{}",
    }))  # fmt: skip
    assert found["configuration"] == {"ignition/database-connection": 1, "com.inductiveautomation.opcua/device": 1}
    assert (found["version"], found["edition"], found["intact"]) == ("8.3.1 (b2025)", "edge", True)
    assert found["problems"] == []


def test_one_wrong_byte_in_a_file_is_found() -> None:
    data = bytearray(
        archive(
            {"backupinfo.xml": "<i><version>8.1</version></i>", "projects/A/project.json": "{}"}, zipfile.ZIP_STORED
        )
    )
    at = data.index(b"8.1")
    data[at] = ord("7")
    found = call("backup_check", bytes(data))
    assert not found["intact"]
    assert found["problems"][0].startswith("backupinfo.xml is broken")


def test_a_database_that_is_none_is_said_to_be_one() -> None:
    whole = archive({
        "backupinfo.xml": "<i><version>8.1</version></i>",
        "db_backup_sqlite.idb": b"SQLite format 3\0" + b"\1" * 5_000,
        "other.idb": "words",
        "projects/A/project.json": "[]",
    })  # fmt: skip
    found = call("backup_check", whole)
    assert [each["readable"] for each in found["databases"]] == [False, False]
    assert found["databases"][1]["problem"] == "it is no SQLite database"
    assert any("no project.json" in problem for problem in found["problems"])
    assert any("no configuration" in problem for problem in found["problems"])


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "config.idb")) as database:
        database.execute("CREATE TABLE tags (name)")
    damaged = bytearray((tmp_path / "config.idb").read_bytes())
    damaged[36:40] = b"\0\0\0\7"  # free pages that are not there
    (found,) = call("backup_check", archive({"db_backup_sqlite.idb": bytes(damaged)}))["databases"]
    assert not found["readable"]
    assert found["problem"].startswith("it is damaged")


def test_a_zip_bomb_is_not_unpacked() -> None:
    """A small file of many entries that all stand at one place, as the overlapping kind does."""
    data = archive({"a": b"\0" * 1_000_000})
    end = data.rindex(b"PK\5\6")
    begin = data.index(b"PK\1\2")
    entry = bytearray(data[begin:end])
    struct.pack_into("<I", entry, 24, 0xFFFFFF00)
    count = 5_000
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, count * len(entry), begin, 0)
    found = call("backup_check", data[:begin] + bytes(entry) * count + tail)
    assert found["files"] == count
    assert any("was not unpacked" in problem for problem in found["problems"])
    assert not found["intact"]


def test_names_that_lead_out_of_the_folder_and_come_twice_are_told_of() -> None:
    names = ("../../etc/cron.d/x", "/etc/passwd", "C:/x", "a\x1b[2J", "b\x1b[2J")
    data = archive(dict.fromkeys(names, b"")).replace(b"b\x1b", b"a\x1b")
    problems = call("backup_check", data)["problems"]
    assert "Paths that lead out of the folder: 3" in problems[0]
    assert "more than once: 1" in problems[1]
    assert not any("\x1b" in problem for problem in problems)


def test_an_encrypted_file_is_called_so() -> None:
    data = bytearray(archive({"secret.txt": "x"}, zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    assert "secret.txt is encrypted." in call("backup_check", bytes(data))["problems"]


def test_what_an_xml_file_declares_is_not_done() -> None:
    lol = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "' + "&a;" * 1_000 + '">]><x><version>&b;</version></x>'
    assert call("backup_check", archive({"backupinfo.xml": lol}))["version"] == "&b;"


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_table_that_windows_saved_is_read_and_fits_on_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["a column with a long name, and\ta tab", f"{'long ' * 20},2", f"{'word ' * 20},12345678.5"]
    found = call("csv_summary", "\n".join(rows).encode("utf-16"), delimiter="comma")
    assert (found["rows"], found["columns"][1]["max"]) == (2, 12345678.5)
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())
