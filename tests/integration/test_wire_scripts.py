"""Scripts by name, as Designers and the web console keep them: folders are attributes, a rename takes three calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from wire_client import API, WireClient
from wire_kit import Wired, wired

HEADER = '# /// script\n# [tool.gatewright]\n# title = "Tank levels"\n# tags = ["night"]\n# ///\n\n'
FIELDS = {
    "id": str, "name": str, "description": str, "author": str, "createdDate": str, "lastModified": str,
    "folderPath": str, "version": str,
}  # fmt: skip


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    with wired(tmp_path_factory.mktemp("wire") / "plant") as found:
        yield found


@pytest.fixture(scope="module")
def wire(plant: Wired) -> WireClient:
    return plant.by["unix"]


@pytest.mark.parametrize("caller", ["unix", "author"])
def test_a_designer_works_through_a_day(plant: Wired, caller: str) -> None:
    session = plant.by[caller].session()
    designer = plant.by[caller].with_token(session["api_token"])
    saved = designer.save(
        "Pump hours", "result = 1", description="Counts", author="Ann", folderPath="Pumps", version="1.2"
    )
    assert saved["success"] is True
    assert "code" not in saved["script"]
    listed = designer.list()["Pump hours"]
    for name, kind in FIELDS.items():
        assert type(listed[name]) is kind, (name, listed)
    assert (listed["description"], listed["author"], listed["version"]) == ("Counts", "Ann", "1.2")
    assert (listed["folderPath"], listed["id"]) == ("Pumps", "pump_hours")
    loaded = designer.load("Pump hours")["script"]
    assert loaded["code"].endswith("result = 1")
    assert loaded["code"] == (plant.root / "scripts/Pumps/pump_hours.py").read_text()
    # the same name in another folder is a move
    moved = designer.save("Pump hours", loaded["code"], folderPath="Pumps/Old", description="Counts", author="Ann")
    assert moved["script"]["folderPath"] == "Pumps/Old"
    assert plant.files("Pumps") == ["Pumps/Old/pump_hours.py"]
    # a rename is load, delete, save
    text = designer.load("Pump hours")["script"]["code"]
    assert designer.delete("Pump hours") == {"success": True, "message": "Script deleted successfully"}
    renamed = designer.save("Pump time", text, folderPath="Pumps/Old", description="Counts", author="Ann")
    assert renamed["script"]["name"] == "Pump time"
    assert renamed["script"]["description"] == "Counts"
    assert plant.files("Pumps") == ["Pumps/Old/pump_time.py"]
    assert "Pump hours" not in designer.list()
    assert plant.versions("Pumps/Old/pump_time.py")[0]["reason"] == "renamed"
    answer = designer.run("/call-script", {"scriptPath": "Pumps/Old/Pump time", "args": [], "kwargs": {}})
    assert answer["result"] == "1"
    assert designer.exec("result = 1 + 1")["result"] == "2"
    assert designer.delete_by_post("Pump time")["success"] is True
    gone = designer.delete_by_post("Pump time")
    assert (gone["success"], gone["message"]) == (False, "Script not found: Pump time")
    assert designer.load("Pump time")["error"] == "Script not found: Pump time"


def test_the_web_console_saves_name_and_code_alone_and_loses_nothing(plant: Wired, wire: WireClient) -> None:
    wire.save("Tank levels", HEADER + "result = 1\n", folderPath="Tanks", description="Levels", author="Bo")
    text = (plant.root / "scripts/Tanks/tank_levels.py").read_text()
    assert 'tags = ["night"]' in text
    wire.save("Tank levels", "result = 2\n")
    script = wire.load("Tank levels")["script"]
    assert (script["folderPath"], script["description"], script["author"]) == ("Tanks", "Levels", "Bo")
    assert script["code"] == text.replace("result = 1", "result = 2")
    wire.save("Tank levels", "result = 3\n", description=None, folderPath=None, author=None, version=None)
    assert wire.list()["Tank levels"]["folderPath"] == "Tanks"
    wire.save("Tank levels", "result = 4\n", description="Other")
    script = wire.list()["Tank levels"]
    assert (script["folderPath"], script["description"]) == ("", "Other")
    wire.save("Tank levels", "", folderPath="")
    assert wire.load("Tank levels")["script"]["code"].rstrip().endswith("# ///")
    assert len(plant.versions("tank_levels.py")) == 5
    wire.delete("Tank levels")


def test_a_header_that_comes_along_replaces_the_one_that_is_there(wire: WireClient) -> None:
    wire.save("Header", HEADER.replace("Tank levels", "Header") + "x = 1\n", description="First", author="Ann")
    other = '# /// script\n# [tool.gatewright]\n# title = "Another"\n# description = "Edited"\n# ///\n\nx = 2\n'
    wire.save("Header", other, description="First", author="Ann")
    script = wire.load("Header")["script"]
    assert (script["name"], script["description"]) == ("Header", "Edited")
    assert 'title = "Header"' in script["code"]
    assert "tags" not in script["code"]
    wire.save("Header", "x = 3\n", description="", folderPath="")
    script = wire.load("Header")["script"]
    assert script["description"] == ""
    wire.delete("Header")


def test_a_header_that_cannot_take_the_name_is_refused_and_nothing_is_written(wire: WireClient) -> None:
    text = wire.save("Head-er", "x = 1\n") and wire.load("Head-er")["script"]["code"]
    refused = wire.save("Head-er", "# /// script\n# [tool.gatewright\n# ///\n\nx = 4\n")
    assert (refused["success"], refused["code"]) == (False, "bad_header")
    assert "line 2" in refused["error"]
    assert wire.load("Head-er")["script"]["code"] == text
    wire.delete("Head-er")


def test_a_text_is_kept_as_it_is_where_its_name_says_all(plant: Wired, wire: WireClient) -> None:
    text = "#!/usr/bin/env python3\r\n# -*- coding: utf-8 -*-\r\nresult = 'Größe'\r\n"
    wire.save("Crlf", text, description="", author="Unknown", version="1.0", folderPath="")
    assert (plant.root / "scripts/crlf.py").read_bytes() == text.encode()
    assert wire.load("Crlf")["script"]["code"] == text
    wire.save("CRLF lines", text)
    code = wire.load("CRLF lines")["script"]["code"]
    assert code.startswith("#!/usr/bin/env python3\r\n# -*- coding: utf-8 -*-\r\n# /// script\r\n")
    assert "\n" not in code.replace("\r\n", "")
    wire.delete("Crlf")
    wire.delete("CRLF lines")


def test_the_history_survives_a_rename_in_three_steps(plant: Wired, wire: WireClient) -> None:
    for number in range(3):
        wire.save("First name", f"x = {number}\n", folderPath="Renamed")
    before = [version["sha256"] for version in plant.versions("Renamed/first_name.py")]
    text = wire.load("First name")["script"]["code"]
    wire.delete("First name")
    wire.save("Second name", text.replace("\n", "\r\n"), folderPath="Renamed")
    history = plant.versions("Renamed/second_name.py")
    assert [version["sha256"] for version in history][1:] == before
    assert (history[0]["reason"], history[0]["new_path"]) == ("renamed", "Renamed/second_name.py")
    assert wire.raw("GET", "/api/v1/scripts/history/Renamed/first_name.py")[0] == 404
    # another text is another script
    wire.delete("Second name")
    wire.save("Third name", "y = 1\n", folderPath="Renamed")
    assert plant.versions("Renamed/third_name.py") == []
    assert len(plant.versions("Renamed/second_name.py")) == len(history) + 1
    wire.delete("Third name")


NAMES = [
    "a+b c", "100 % done", "A : B", "x?y#z", "..", "a\\b", "con", "lib", "Größe 5 µm", "日本語",
    "\U0001f600", "'; DROP TABLE x; --", "<b>bold", "." * 20, "a" * 200, "%2B", "név " + "ö" * 150, "a&b=c;d",
    "script.pyw", "-x",
]  # fmt: skip


def test_whatever_a_name_is_it_is_kept_exactly_and_found_again(plant: Wired, wire: WireClient) -> None:
    before = plant.files()
    for number, name in enumerate(NAMES):
        saved = wire.save(name, f"result = {number}\n", folderPath="Names")
        assert saved["success"] is True, (name, saved)
        assert saved["script"]["name"] == name
    listed = wire.list()
    for number, name in enumerate(NAMES):
        assert listed[name]["folderPath"] == "Names"
        assert f"result = {number}\n" in wire.load(name)["script"]["code"]
        assert wire.run("/call-script", {"scriptPath": f"Names/{name}"})["value"] == number, name
    assert len(plant.files("Names")) == len(NAMES)
    for number, name in enumerate(NAMES):
        assert (wire.delete if number % 2 else wire.delete_by_post)(name)["success"] is True
    assert plant.files() == before


@pytest.mark.parametrize(
    "name", [
        "", "   ", "\x00", "a\x1b[2Jb", "a\nb", "a" * 300, "a  b", "a\u202eb", "a\ud800b", "A/B", "../../etc/passwd",
        "script.py",
    ],
)  # fmt: skip
def test_what_cannot_be_a_name_is_refused_in_a_sentence(plant: Wired, wire: WireClient, name: str) -> None:
    before = plant.files()
    answer = wire.save(name, "x = 1\n")
    assert answer["success"] is False
    assert answer["error"]
    assert answer["error"].isprintable()
    assert plant.files() == before


@pytest.mark.parametrize("folder", ["..", "a/../../b", "a\\b", "x\x00", "." * 3, "a/" * 9, "f" * 300, "x.py", "a\nb"])
def test_what_cannot_be_a_folder_is_refused_in_a_sentence(plant: Wired, wire: WireClient, folder: str) -> None:
    before = plant.files()
    answer = wire.save("Folder test", "x = 1\n", folderPath=folder)
    assert answer["success"] is False
    assert answer["error"].isprintable()
    assert plant.files() == before


def test_slashes_around_a_folder_and_another_case_are_the_same_folder(wire: WireClient) -> None:
    wire.save("One", "x = 1\n", folderPath="/Case Folder//Sub/")
    assert wire.save("Two", "x = 2\n", folderPath="case folder")["script"]["folderPath"] == "Case Folder"
    assert wire.save("One", "x = 1\n", folderPath="CASE FOLDER/sub")["script"]["folderPath"] == "Case Folder/Sub"
    wire.delete("One")
    wire.delete("Two")


def test_a_name_in_another_case_or_as_an_id_is_the_same_script(plant: Wired, wire: WireClient) -> None:
    before = len(plant.files())
    wire.save("Line Speed", "x = 1\n", folderPath="Lines")
    for name in ("line speed", "LINE SPEED", "line_speed", "Lines/line_speed.py", "Lines/line_speed"):
        assert wire.save(name, "x = 2\n")["success"] is True
    assert len(plant.files()) == before + 1
    assert wire.list()["LINE SPEED"]["folderPath"] == "Lines"
    assert wire.delete("line_speed")["success"] is True
    assert len(plant.files()) == before


def test_two_scripts_with_one_title_are_told_apart_by_path(plant: Wired, wire: WireClient) -> None:
    text = '# /// script\n# [tool.gatewright]\n# title = "Twin"\n# ///\n\nresult = "{0}"\n'
    for name in ("one", "two"):
        (plant.root / "scripts" / f"{name}.py").write_text(text.format(name))
    listed = wire.list()
    assert "Twin" not in listed
    assert {"one.py", "two.py"} <= listed.keys()
    for answer in (
        wire.load("Twin"), wire.save("twin", "x = 1\n"), wire.delete("Twin"),
        wire.run("/call-script", {"scriptPath": "Twin"}),
    ):  # fmt: skip
        assert (answer["success"], answer["code"]) == (False, "ambiguous")
        assert "one.py and two.py" in answer["error"]
    assert wire.run("/call-script", {"scriptPath": "one"})["result"] == "one"
    wire.save("two.py", 'result = "changed"\n')
    assert 'title = "Twin"' in wire.load("two.py")["script"]["code"]
    wire.delete("two.py")
    assert wire.load("Twin")["script"]["path"] == "one.py"
    wire.delete("Twin")


def test_saves_of_one_new_name_at_once_make_one_script(plant: Wired, wire: WireClient) -> None:
    before = len(plant.files())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: wire.save("At once", f"x = {n}\n", folderPath=f"F{n % 3}"), range(8)))
    assert all(answer["success"] for answer in answers), answers
    assert len(plant.files()) == before + 1
    path = wire.load("At once")["script"]["path"]
    kept = {version["sha256"] for version in plant.versions(path)}
    assert len(kept) == 7
    wire.delete("At once")


def test_a_base_hash_that_is_not_the_last_one_is_a_conflict(wire: WireClient) -> None:
    first = wire.save("Base", "x = 1\n")["script"]["sha256"]
    second = wire.save("Base", "x = 2\n", baseSha256=first)["script"]["sha256"]
    refused = wire.save("Base", "x = 3\n", baseSha256=first)
    assert (refused["success"], refused["code"]) == (False, "conflict")
    assert wire.load("Base")["script"]["sha256"] == second
    wire.delete("Base")
    assert wire.save("Base", "x = 4\n", baseSha256=second)["code"] == "conflict"


def test_names_in_the_path_are_decoded_as_written(wire: WireClient) -> None:
    wire.save("a+b c", "x = 1\n")
    for spelled in ("a%2Bb+c", "a%2bb%20c", "a%2Bb%20c", "%61%2Bb+c"):
        assert wire.get(f"/scripts/load/{spelled}")["success"] is True, spelled
    assert wire.get("/scripts/load/a+b+c")["success"] is False
    status, _, text = wire.raw("GET", f"{API}/scripts/load/%ff%fe")
    assert (status, json.loads(text)["success"]) == (200, False)
    wire.delete("a+b c")


def test_available_scripts_are_those_that_run(plant: Wired, wire: WireClient) -> None:
    wire.save("Runs", "result = 5\n", folderPath="Avail")
    wire.save("Off", "# /// script\n# [tool.gatewright]\n# enabled = false\n# ///\n\nresult = 6\n", folderPath="Avail")
    answer = wire.get("/scripts/available")
    found = {script["name"]: script for script in answer["scripts"]}
    assert answer["count"] == len(answer["scripts"])
    assert set(found["Runs"]) == {"name", "description", "path", "author", "version", "lastModified"}
    assert "Off" not in found
    assert wire.run("/call-script", {"scriptPath": found["Runs"]["path"]})["result"] == "5"
    wire.delete("Runs")
    wire.delete("Off")


def test_a_file_that_is_no_text_says_so(plant: Wired, wire: WireClient) -> None:
    file: Path = plant.root / "scripts/latin.py"
    file.write_bytes(b"x = '\xe9'\n")
    assert "UTF-8" in wire.load("Latin")["error"]
    file.unlink()
