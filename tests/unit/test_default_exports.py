"""Default scripts that read exports, archives and databases: what else people hand them, and what is no such thing."""

from __future__ import annotations

import io
import json
import random
import runpy
import sqlite3
import sys
import tarfile
import zipfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DEFAULTS = Path(__file__).parents[2] / "default_scripts/defaults"


class Handed(io.BytesIO):
    """A file parameter, as far as these scripts use one."""

    name = "handed.bin"


@cache
def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(DEFAULTS / f"{name}.py"))


def call(name: str, *files: bytes | str, **params: Any) -> Any:
    handed = [Handed(data.encode() if isinstance(data, str) else data) for data in files]
    return script(name)["main"](*handed, **params)


def refusal(name: str, *files: bytes | str, **params: Any) -> str:
    """The one sentence by which the script ends."""
    with pytest.raises(SystemExit) as caught:
        call(name, *files, **params)
    assert isinstance(caught.value.code, str)
    assert "\n" not in caught.value.code
    return caught.value.code


def briefly(value: Any) -> str:
    """Return the name of a test case: some have megabytes."""
    return ascii(value)[:12]


ONE_TAG = '{"name": "A", "tagType": "AtomicTag", "valueSource": "memory", "dataType": "Int4"}'
NO_EXPORT = [
    b"",
    b"\xff\xfe\x00\x01 binary \x00" * 20,
    b"{}",
    b"[1, 2]",
    b'{"name": "A", "tags"',
    b"[" * 100_000,
    b'{"name": "A", "tags": [' * 150 + b"]}" * 150,
    b'{"tags": []}',
    b"<Tags/>",
    b"<Tags><Tag",
    b'<!DOCTYPE a [<!ENTITY b "b">]><Tags><Tag name="&b;"/></Tags>',
    '<!DOCTYPE a [<!ENTITY b "b">]><Tags><Tag name="&b;"/></Tags>'.encode("utf-16-le"),
    b"<Tags>" + b'<Tag name="A">' * 150 + b"</Tag>" * 150 + b"</Tags>",
    b"<Tags><Tag name='A'>" + b"<Property>" * 50_000 + b"</Property>" * 50_000 + b"</Tag></Tags>",
]


@pytest.mark.parametrize("data", NO_EXPORT, ids=briefly)
def test_what_is_no_tag_export_is_said_in_a_sentence(data: bytes) -> None:
    assert refusal("tag_lint", data).startswith("handed.bin is no tag export: ")
    assert refusal("tag_diff", ONE_TAG, data).startswith("handed.bin is no tag export: ")


def test_a_sentence_speaks_of_the_file_and_not_of_who_read_it() -> None:
    binary = bytes(range(256))
    assert refusal("tag_lint", binary) == "handed.bin is no tag export: it is neither JSON nor XML."
    assert ": line 2" in refusal("tag_lint", '{"tags": [\n{]')
    assert refusal("config_diff", binary, binary) == "handed.bin is no zip or tar archive, or a damaged one."


def test_both_scripts_read_tag_exports_in_the_same_way() -> None:
    """Each is one file that works by itself; what they share is kept the same."""
    shared = (
        "read_export",
        "read_json",
        "from_json",
        "flat",
        "read_xml",
        "from_xml",
        "xml_properties",
        "fitted",
        "shown",
    )
    diff, lint = ((DEFAULTS / f"{name}.py").read_text() for name in ("tag_diff", "tag_lint"))
    for name in shared:
        start = diff.index(f"def {name}(")
        assert diff[start : diff.index("\n\n\n", start)] in lint, name


XML_7_9 = """<Tags MajorVersion="1" MinorVersion="9">
 <Tag name="Line1" path="" type="Folder"/>
 <Tag name="Temp" path="Line1" type="OPC">
  <Property name="Value">LIMIT</Property>
  <Property name="DataType">4</Property>
  <Property name="OPCItemPath">[PLC]N7:0</Property>
  <Property name="Enabled">false</Property>
  <Alarms><Alarm name="High"><Property name="setpointA">LIMIT</Property></Alarm></Alarms>
 </Tag>
</Tags>"""
XML_8 = """<Tags MinVersion="8.0.0" locale="en_US">\r
 <Tag name="Line1" type="Folder">\r
  <Tags>\r
   <Tag name="Temp" type="AtomicTag">\r
    <Property name="value">LIMIT</Property>\r
    <Property name="dataType">Float4</Property>\r
    <Property name="enabled">false</Property>\r
    <Property name="opcItemPath" boundValueType="parameter">ns=1;s=[PLC]{n}</Property>\r
    <CompoundProperty name="alarms">\r
     <PropertySet>\r
      <Property name="setpointA">LIMIT</Property>\r
      <Property name="name">High</Property>\r
     </PropertySet>\r
    </CompoundProperty>\r
   </Tag>\r
  </Tags>\r
 </Tag>\r
</Tags>"""


@pytest.mark.parametrize("text", [XML_7_9, XML_8])
def test_xml_exports_of_both_forms(text: str) -> None:
    found = call("tag_lint", text)
    assert found["rules"] == {"alarm_priority": 1, "no_unit": 1, "no_range": 1, "disabled": 1}
    assert {(each["path"], each["detail"]) for each in found["list"]} == {("Line1/Temp", ""), ("Line1/Temp", "High")}
    found = call("tag_diff", text.replace("LIMIT", "5"), text.replace("LIMIT", "6"))
    (changed,) = found["changed_paths"]
    name = "Alarms/High/setpointA" if text is XML_7_9 else "alarms/High/setpointA"
    assert changed["properties"] == [{"name": name, "old": "5", "new": "6"}]
    assert found["ignored"] == 1, "the value"


def tags(*nodes: dict[str, Any]) -> str:
    return json.dumps({"tags": nodes})


def test_true_is_not_1_and_100_is_100_0() -> None:
    one, other = {"name": "A", "a": True, "b": 100}, {"name": "A", "a": 1, "b": 100.0}
    (changed,) = call("tag_diff", tags(one), tags(other))["changed_paths"]
    assert [each["name"] for each in changed["properties"]] == ["a"]


def test_a_moved_tag_is_one_that_can_be_no_other() -> None:
    twin = {"tagType": "AtomicTag", "opcItemPath": "x", "dataType": "Int4"}
    places = [tags({"name": "A", **twin}, {"name": "B", **twin}), tags({"name": "C", **twin}, {"name": "B", **twin})]
    assert call("tag_diff", *places)["moved_paths"] == [{"from": "A", "to": "C"}]
    places = [tags({"name": "A", **twin}, {"name": "B", **twin}), tags({"name": "C", **twin}, {"name": "D", **twin})]
    found = call("tag_diff", *places)
    assert (found["moved"], found["added"], found["removed"]) == (0, 2, 2)


def test_two_tags_of_one_path_are_not_lost() -> None:
    text = tags({"name": "A", "tagType": "AtomicTag", "a": 1}, {"name": "A", "tagType": "AtomicTag", "a": 2})
    assert call("tag_lint", text)["rules"] == {"duplicate_path": 1}
    assert call("tag_diff", text, tags({"name": "A", "tagType": "AtomicTag", "a": 1}))["removed"] == 1


def test_an_address_in_two_types_is_none_that_is_read_twice() -> None:
    tag = {"name": "A", "tagType": "AtomicTag", "opcItemPath": "x", "engUnit": "A", "engLow": 0, "engHigh": 9}
    types = [{"name": name, "tagType": "UdtType", "tags": [tag]} for name in ("T", "U")]
    assert call("tag_lint", tags(*types))["rules"] == {}
    assert call("tag_lint", tags(*types, tag, tag | {"name": "B"}))["rules"] == {"duplicate_opc": 2}


def test_a_rule_that_is_unknown_and_a_pattern_that_is_none_are_refused() -> None:
    assert "There is no rule no_units. The rules are " in refusal("tag_lint", ONE_TAG, skip=["no_units"])
    assert "names is no regular expression" in refusal("tag_lint", ONE_TAG, names="[")


def test_many_differences_are_counted_and_not_all_listed(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31m" + "x" * 300
    found = call("tag_diff", ONE_TAG, tags(*({"name": f"{name}{n}", "tagType": "AtomicTag"} for n in range(5000))))
    assert (found["added"], len(found["added_paths"]), found["more"]) == (5000, 100, 4900)
    output = capsys.readouterr().out
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80


BY_HAND = [
    ("tag_diff", "tags_before.json", "tags_after.json"),
    ("tag_lint", "tags_after.json"),
    ("config_diff", "config_before.zip", "config_after.zip"),
    ("historian_gaps", "historian.csv"),
    ("historian_gaps", "historian.db"),
    ("disk_health", "df.log"),
    ("disk_health", "gateway.db"),
    ("project_inventory", "project.zip"),
]


@pytest.mark.parametrize("call", BY_HAND, ids=lambda call: call[0])
def test_plain_python_runs_them_too(
    call: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *samples = call
    monkeypatch.setattr(sys, "argv", [name, *(str(DEFAULTS.parent / "samples" / each) for each in samples)])
    runpy.run_path(str(DEFAULTS / f"{name}.py"), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) > 5


def zipped(files: dict[str, bytes], **options: Any) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)  # the same bytes at any time
    return made.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        archive.addfile(link := tarfile.TarInfo("link"), None)
        link.type = tarfile.SYMTYPE
    return made.getvalue()


GOOD = zipped({"a/x.txt": b"1\n", "a/.git/config": b"1\n"})


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", GOOD[:60], b"\x1f\x8b" * 50, b"\0" * 5000, zipped({})], ids=briefly
)
def test_what_is_no_archive_is_said_in_a_sentence(data: bytes) -> None:
    assert refusal("config_diff", GOOD, data).startswith("handed.bin is no ")


def test_trees_are_compared_whatever_they_are_packed_in() -> None:
    zip_, tar = zipped({"cfg/a.txt": b"1\n", "cfg/b/.c": b"2\n"}), tarred({"./b/.c": b"2\r\n", "./a.txt": b"1\n"})
    found = call("config_diff", zip_, tar)
    assert (found["same"], found["noise_files"], found["added"], found["removed"]) == (1, ["b/.c"], 1, 0), (
        "a link's file"
    )
    found = call("config_diff", zipped({"a/x": b"1"}), zipped({"a/x": b"1", "b/y": b"1"}))
    assert (found["same"], found["added_files"]) == (1, ["b/y"]), "the folder that all is in is no wrapping here"


def test_what_cannot_be_read_in_an_archive_is_named() -> None:
    content = b"the very text of this file"
    damaged = zipped({"a": content, "b": b"2"}).replace(content, content[::-1])
    found = call("config_diff", damaged, zipped({"a": content, "b": b"2"}))
    assert (found["unreadable_files"], found["same"], found["changed"]) == (["a"], 1, 0)


def test_an_archive_that_unpacks_to_very_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"a": b"\0" * (3 << 20)}, compression=zipfile.ZIP_DEFLATED)
    tar = tarred({"a": b"1", "ignored.log": b"\0" * (3 << 20)})
    monkeypatch.setitem(script("config_diff")["main"].__globals__, "MOST_UNPACKED", 2 << 20)
    for data in (bomb, tar):
        assert refusal("config_diff", GOOD, data) == "handed.bin unpacks to more than 0 GiB."


@pytest.mark.parametrize(
    ("name", "old", "new", "kind"),
    [
        ("a.json", b'{"a": [1, 2]}', b'{"a": [2, 1]}', "text"),
        ("a.json", b"{broken", b"{broken ", None),
        ("a.json", b"[" * 9000, b"[" * 9001, "text"),
        ("a.xml", b"<a b='1' c='2'/>", b'<a c="2"   b="1"></a>', None),
        ("a.xml", b"<a>1</a>", b"<a>2</a>", "text"),
        ("a.xml", b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "text"),
        ("a.xml", b"<!DOCTYPE a><a b='1' c='2'/>", b"<!DOCTYPE a><a c='2' b='1'/>", "text"),
        ("a.txt", "Füllstand".encode("latin-1"), "Füllstand".encode(), None),
        ("a.txt", b"1\n2\n", b"2\n1\n", "text"),
        ("a.txt", b"x\n" * 3000 + b"1\n2\n", b"x\n" * 3000 + b"2\n1\n", "order"),
        ("a.txt", b"x" * (2 << 20), b"y" * (2 << 20), "large"),
        ("a.properties", b"a=1\nb=2\n", b"b=2\na=3\n", "text"),
        ("a.txt", b"at 2026-11-20 06:00:00.123", b"at 2026-11-21T07:00Z", None),
    ],
    ids=briefly,
)
def test_what_counts_as_a_change(name: str, old: bytes, new: bytes, kind: str | None) -> None:
    found = call("config_diff", zipped({name: old}), zipped({name: new}))
    assert [each["kind"] for each in found["changed_files"]] == ([kind] if kind else [])
    assert found["noise"] == (0 if kind else 1)


def rows(*lines: str) -> str:
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        rows("Timestamp;TagPath;Value;Quality", *(f"20.11.2026 06:0{n}:00;A;1,{n};Good" for n in (0, 1, 2, 7))),
        rows("t_stamp\ttag\tvalue", *(f"2026-11-20T06:0{n}:00Z\tA\t{n}" for n in (7, 2, 1, 0))),
        rows(
            "time,A", *(f"2026/11/20 06:0{n}:00,{n}.5" for n in (0, 1, 2)), "2026/11/20 06:03:00,", "2026/11/20 06:07,7"
        ),
        "\ufeff" + rows('"Date","Tag Name","Value"', *(f'"11/20/2026 06:0{n}:00 AM","A","{n}"' for n in (0, 1, 2, 7))),
        rows("t_stamp,tagid,intvalue,floatvalue", *(f"{1795154400000 + n * 60000},A,,{n}.5" for n in (0, 1, 2, 7))),
        rows("t_stamp,tag,value", *(f"2026-11-20T0{8 - n % 2}:0{n}:00+0{2 - n % 2}:00,A,{n}" for n in (0, 1, 2, 7))),
        rows("ts,name,val", *(f"{1795154400 + n * 60},A,{n}\r" for n in (0, 1, 2, 7))),
    ],
    ids=briefly,
)
def test_historian_tables_of_every_form(text: str) -> None:
    found = call("historian_gaps", text)
    assert (found["tags"], found["samples"], found["skipped"], found["bad"]) == (1, 4, 0, 0)
    (gap,) = found["gap_list"]
    assert gap == {"tag": "A", "from": "2026-11-20 06:02:00", "to": "2026-11-20 06:07:00", "seconds": 300.0}


def test_flat_lines_end_where_values_are_missing_or_bad() -> None:
    def line(minute: int, value: object, quality: str = "Good") -> str:
        return f"{1_795_154_400 + minute * 60},A,{value},{quality}"

    flat = [line(minute, 5.5) for minute in range(90)]
    head = "time,tag,value,quality"
    (found,) = call("historian_gaps", rows(head, *flat))["flat_list"]
    assert (found["seconds"], found["value"]) == (89 * 60, 5.5)
    assert not call("historian_gaps", rows(head, *flat), flat=0)["flat_list"]
    assert not call("historian_gaps", rows(head, *flat[:45], *flat[50:]))["flat_list"], "a gap"
    assert not call("historian_gaps", rows(head, *flat[:45], line(45, "", "Bad"), *flat[46:]))["flat_list"]
    assert not call("historian_gaps", rows(head, *(line(minute, 1) for minute in range(90))))["flat_list"], "a switch"
    assert not call("historian_gaps", rows(head, *(line(minute, "on") for minute in range(90))))["flat_list"], "a text"


@pytest.mark.parametrize(
    ("quality", "good"),
    [
        ("Good", 1),
        ("Good_Unspecified", 1),
        ("192", 1),
        ("216", 1),
        ("", 1),
        ("Bad_Stale", 0),
        ("0", 0),
        ("500", 0),
        ("516", 0),
    ],
)
def test_good_quality(quality: str, good: int) -> None:
    assert call("historian_gaps", rows("time,tag,value,quality", f"1795154400,A,1,{quality}"))["bad"] == 1 - good


def test_rows_without_a_time_are_counted() -> None:
    found = call("historian_gaps", rows("time,tag,value", "never,A,1", "1795154400,A,1", "1e999,A,1", "1e300,A", ",,"))
    assert (found["samples"], found["skipped"]) == (2, 3)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "has no column for the time"),
        (b"\xff\xfe\x00" * 50, "has no column for the time"),
        (b"a,b\n1,2\n", "has no column for the time"),
        (b"time,tag,value\n", "has no samples in it"),
        (b'time,tag,value\n1795154400,A,"' + b"x" * 200_000, "cannot be read as CSV"),
        (b"SQLite format 3\0" + b"\xff" * 2000, "cannot be read as a database"),
        (b"SQLite format 3\0", "cannot be read as a database"),
    ],
    ids=briefly,
)
def test_what_is_no_history_is_said_in_a_sentence(data: bytes, problem: str) -> None:
    assert problem in refusal("historian_gaps", data)


def database(script: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    connection.commit()
    data = connection.serialize()
    connection.close()
    return data


def test_other_databases_than_those_of_a_historian() -> None:
    data = database(
        """CREATE TABLE "odd ""name"(ts TEXT, name TEXT, value REAL, quality TEXT);
        INSERT INTO "odd ""name" VALUES ('2026-11-20 06:00', 'A', 1.5, 'Good'), ('2026-11-20 06:01', 'A', NULL, NULL);
        CREATE TABLE other(a, b);"""
    )
    found = call("historian_gaps", data)
    assert (found["samples"], found["bad"]) == (2, 1)
    assert "no table with columns" in refusal("historian_gaps", database("CREATE TABLE other(a, b)"))


DF_H = """Dateisystem    Typ      Groesse Benutzt Verf. Verw% Eingehaengt auf
tmpfs          tmpfs      1,6G    2,4M  1,6G    1% /run
/dev/sda2      ext4        50G     20G   30G   40% /
//nas/plant a  cifs       1,0T    512G  512G   50% /mnt/plant data
"""
DF_512 = "Filesystem 512-blocks Used Available Capacity Mounted on\n/dev/sda2 104857600 41943040 62914560 40% /\n"
DF_M = "Filesystem 1M-blocks Used Available Use% Mounted on\n/dev/sda2 51200M 20480M 30720M 40% /\n"
DF_NO_ROOM = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/sda2 100 100 0 100% /\nsysfs - - - - /sys\n"


@pytest.mark.parametrize("text", [DF_H, DF_512, DF_M])
def test_df_of_every_form(text: str) -> None:
    disks = {disk["mount"]: disk for disk in call("disk_health", text)["disks"]}
    root = disks["/"]
    assert (root["size"] >> 30, root["used"] >> 30, root["free"] >> 30, root["share"]) == (50, 20, 30, 40.0)
    assert root["growth"] is None
    assert disks.keys() == ({"/", "/mnt/plant data"} if text is DF_H else {"/"})


def test_a_full_disk_is_critical() -> None:
    found = call("disk_health", DF_NO_ROOM)
    assert [(disk["mount"], disk["level"]) for disk in found["disks"]] == [("/", "critical")]


def test_times_as_date_writes_them_are_read_and_wrong_ones_are_not() -> None:
    times = ["Fri Nov 20 06:00:00 CET 2026", "Sat Nov 21 06:00:00 AM CET 2026", "Sun Foo 99 06:00:00 CET 2026"]
    text = "".join(f"{at}\n{DF_512.replace('41943040', str(41943040 + day * 2048))}" for day, at in enumerate(times))
    (disk,) = call("disk_health", text)["disks"]
    assert disk["growth"] > 0
    text = "".join(
        f"{at}\n{DF_512.replace('41943040', str(41943040 + day * 2048))}" for day, at in enumerate(times[:2])
    )
    (disk,) = call("disk_health", text)["disks"]
    assert disk["growth"] == 1 << 20


@pytest.mark.parametrize("data", [b"", b"\xff\0" * 99, b"no df at all, 100 %\n", b"% % %\n" * 99], ids=briefly)
def test_what_is_no_df_is_said_in_a_sentence(data: bytes) -> None:
    assert refusal("disk_health", data) == "handed.bin has no line of df in it."


@pytest.mark.parametrize("data", [b"", b"PK", b"SQLite format 3\0"], ids=briefly)
def test_what_is_no_database_is_said_in_a_sentence(data: bytes) -> None:
    assert refusal("disk_health", database=Handed(data)) == "handed.bin is no SQLite database."


def test_damaged_databases_are_found_damaged() -> None:
    data = database("CREATE TABLE a(b); CREATE INDEX c ON a(b);" + "INSERT INTO a VALUES (randomblob(3000));" * 9)
    assert call("disk_health", database=Handed(data))["findings"] == []
    cut = call("disk_health", database=Handed(data[: len(data) // 2]))
    assert any("is cut off" in each for each in cut["findings"])
    assert cut["database"]["problems"]
    hurt = bytearray(data)
    hurt[len(data) // 2 : len(data) // 2 + 600] = b"\xa5" * 600
    found = call("disk_health", database=Handed(bytes(hurt)), check="full")
    assert found["database"]["problems"]
    assert any("is damaged" in each for each in found["findings"])
    zeros = call("disk_health", database=Handed(data[:16] + b"\0" * 4096))
    assert zeros["database"]["problems"]


def test_what_only_the_wal_has_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("PRAGMA journal_mode = WAL")
        live.execute("PRAGMA wal_autocheckpoint = 0")
        live.execute("CREATE TABLE a(b)")
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        live.executemany("INSERT INTO a VALUES (?)", [(n,) for n in range(20)])
        data, wal = path.read_bytes(), path.with_name("live.db-wal").read_bytes()
        live.execute("PRAGMA wal_checkpoint(PASSIVE)")
        live.execute("INSERT INTO a VALUES (20)")
        later, next_turn = path.read_bytes(), path.with_name("live.db-wal").read_bytes()
    alone = call("disk_health", database=Handed(data))
    assert (alone["database"]["journal"], alone["database"]["tables"][0]["rows"]) == ("wal", 0)
    assert any("without its -wal file" in each for each in alone["findings"])
    found = call("disk_health", database=Handed(data), wal=Handed(wal))["database"]
    assert found["tables"][0]["rows"] == 20
    assert (found["wal"]["frames"], found["wal"]["committed"], found["problems"]) == (20, 20, [])
    torn = call("disk_health", database=Handed(data), wal=Handed(wal[:-100]))["database"]
    assert (torn["wal"]["frames"], torn["tables"][0]["rows"]) == (19, 19)
    assert len(next_turn) == len(wal), "frames of the turn before are still in it"
    found = call("disk_health", database=Handed(later), wal=Handed(next_turn))["database"]
    assert (found["wal"]["frames"], found["tables"][0]["rows"]) == (1, 21)
    other = call("disk_health", database=Handed(data), wal=Handed(b"\xa5" * 500))["database"]
    assert (other["wal"]["frames"], other["tables"][0]["rows"]) == (0, 0)


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", GOOD[:60], GOOD, zipped({}), zipped({"a/b/project.json": b"{}"})], ids=briefly
)
def test_what_is_no_project_export_is_said_in_a_sentence(data: bytes) -> None:
    assert refusal("project_inventory", data).startswith("handed.bin is no project export: ")


def test_projects_of_one_export_are_kept_apart() -> None:
    views = "com.inductiveautomation.perspective/views"
    data = zipped(
        {
            "a/project.json": b'\xef\xbb\xbf{"title": "A", "enabled": false}',
            "b/project.json": b'{"title": "B", "parent": "a"}',
            "a/ignition/global-props/resource.json": b'{"files": ["data.bin"]}',
            "a/ignition/global-props/data.bin": b"12345",
            f"b/{views}/V/view.json": b'{"type": "ia.display.view", "props": {"path": "W"}}',
            f"b/{views}/V/resource.json": b'{"files": ["view.json"]}',
            "readme.txt": b"",
        }
    )
    found = call("project_inventory", data)
    one, other = sorted(found["projects"], key=lambda each: each["name"])
    assert (one["name"], one["enabled"], one["resources"], one["problems"]) == ("a", False, 1, [])
    assert (other["parent"], other["missing_views"]) == ("a", []), "W may be its parent's"
    assert found["outside"] == ["readme.txt"]
    alone = zipped(
        {"project.json": b"{}", **{name[2:]: archived(data, name) for name in names_of(data) if name[0] == "b"}}
    )
    assert call("project_inventory", alone.replace(b'"parent": "a"', b'"parent": "" '))["projects"][0]["missing_views"]


def names_of(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [name for name in archive.namelist() if "project.json" not in name]


def archived(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


def test_odd_resources_are_problems_and_no_end() -> None:
    content = b"what cannot be read"
    data = zipped(
        {
            "project.json": b"[]",
            "m/t/broken/resource.json": b"{",
            "m/t/deep/resource.json": b"[" * 20_000,
            "m/t/odd/resource.json": b'{"files": 5, "attributes": {"lastModification": 7}}',
            "m/t/odd/extra\x1b[31m.txt": content,
            "com.inductiveautomation.perspective/page-config/config.json": b'{"pages": [1]}',
        }
    ).replace(content, content[::-1])
    (found,) = call("project_inventory", data)["projects"]
    problems = {(each["path"], each["problem"]) for each in found["problems"]}
    assert ("m/t/broken", "resource.json is no JSON") in problems
    assert ("m/t/deep", "resource.json is no JSON") in problems
    assert ("m/t/odd/extra\x1b[31m.txt", "cannot be read") in problems
    assert ("m/t/odd", "extra [31m.txt is no file of it") in problems
    assert found["orphans"] == ["com.inductiveautomation.perspective/page-config/config.json"]


def test_scripts_named_as_7_9_did_are_mentioned_and_quotes_are_read_as_ignition_writes_them() -> None:
    files = {"project.json": b"{}"}
    for path, name, text in [
        ("ignition/script-python/util", "code.py", "def f(): pass"),
        ("ignition/script-python/other", "code.py", "def f(): return other.f()"),
        ("ignition/named-query/A/B", "query.sql", "SELECT 1"),
        ("ignition/event-scripts", "data.bin.py", r"project.util.f(); q(\u0027A/B\u0027)"),
    ]:
        files[f"{path}/{name}"] = text.encode()
        files[f"{path}/resource.json"] = json.dumps({"files": [name]}).encode()
    (found,) = call("project_inventory", zipped(files))["projects"]
    assert found["unmentioned"] == {"project scripts": ["other"]}


def test_an_export_that_unpacks_to_very_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"project.json": b"{}", "a": b"\0" * (3 << 20)}, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setitem(script("project_inventory")["main"].__globals__, "MOST_UNPACKED", 2 << 20)
    assert refusal("project_inventory", bomb) == "handed.bin unpacks to more than 0 GiB."


def test_the_tour_names_every_other_default_script(capsys: pytest.CaptureFixture[str]) -> None:
    there = {path.stem for path in DEFAULTS.glob("*.py")} - {"tour"}
    assert sorted(name for names in script("tour")["USEFUL"].values() for name in names) == sorted(there)
    call("tour", pause=0)
    output = capsys.readouterr().out
    assert all(f" {name}" in output for name in there)
    assert max(map(len, output.splitlines())) <= 80


FILES_OF = {
    "tag_diff": ["tags_before.json", "tags_after.json"],
    "tag_lint": ["tags_after.json"],
    "config_diff": ["config_before.zip", "config_after.zip"],
    "historian_gaps": ["historian.db"],
    "disk_health": ["df.log"],
    "project_inventory": ["project.zip"],
}
ODD = [
    b"null",
    b"[]",
    b'"',
    b"-1e999",
    b"\xff" * 4,
    b"\0" * 4,
    b"NaN",
    b"9" * 400,
    b"9" * 5000,
    b"\x1b[31m",
    b"\xc3\x28",
]


@pytest.mark.parametrize("name", FILES_OF)
def test_whatever_is_in_a_file_it_is_read_or_refused_in_a_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Samples with something odd put in or left out at places that are the same in every run."""
    chance = random.Random(name)
    datas = [(DEFAULTS.parent / "samples" / each).read_bytes() for each in FILES_OF[name]]
    sentences = []
    for odd in ODD * 3:
        files = []
        for data in datas:
            at, end = chance.randrange(len(data)), chance.choice([0, 0, 1, 40])
            files.append(data[:at] + odd + data[at + end :])
        try:
            json.dumps(call(name, *files), allow_nan=False)
        except SystemExit as refused:
            sentences.append(str(refused.code))
    assert all(sentence.isprintable() and len(sentence) > 20 for sentence in sentences), sentences
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 80
        assert line.isprintable()
