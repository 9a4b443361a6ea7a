"""Default scripts that read exports, archives and databases: what else people hand them, and what is no such thing."""

from __future__ import annotations

import io
import json
import runpy
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


@pytest.mark.parametrize("data", NO_EXPORT)
def test_what_is_no_tag_export_is_said_in_a_sentence(data: bytes) -> None:
    assert refusal("tag_lint", data).startswith("handed.bin is no tag export: ")
    assert refusal("tag_diff", ONE_TAG, data).startswith("handed.bin is no tag export: ")


def test_both_scripts_read_tag_exports_in_the_same_way() -> None:
    """Each is one file that works by itself; what they share is kept the same."""
    shared = ("read_export", "read_json", "from_json", "flat", "read_xml", "from_xml", "xml_properties", "fitted", "shown")
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
