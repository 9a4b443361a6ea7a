"""Default scripts on exports, archives and databases: each runs on its sample data, whose truth is known.

RESTRICTED, in the default preset, without any approval. ``default_samples_b.py`` says what is true of the samples.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from default_samples_b import SAMPLES, content_of

from default_scripts import bundle
from engine import Engine
from engine.library import Run
from engine.models.permissions import ApproveRequest, Grant
from engine.models.runs import Outcome, RunKind, RunRequest
from engine.models.scripts import SaveRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("truths") / "plant", pool_size=1) as engine:
        yield engine


async def run(engine: Engine, script: str, params: dict[str, Any] | None = None, **samples: str) -> Run:
    """Run a default script on files of ``documents/samples``, by the names of its parameters."""
    files = {}
    for param, name in samples.items():
        writer = engine.buffers.create(name, engine.owner)
        writer.write((engine.project.documents / "samples" / name).read_bytes())
        files[param] = writer.finish().id
    request = RunRequest(kind=RunKind.SCRIPT, script=f"defaults/{script}", params=params or {}, files=files)
    done = await engine.run(request)
    assert (done.outcome, done.stderr) == (Outcome.OK, ""), done.traceback
    assert not done.grants
    assert done.note is None, "its result is plain data"
    assert max(map(len, done.stdout.splitlines())) <= 80
    return done


@pytest.mark.parametrize("name", SAMPLES)
async def test_the_samples_are_what_they_are_said_to_be(name: str) -> None:
    assert content_of(bundle()[f"documents/samples/{name}"]) == content_of(SAMPLES[name]())


async def test_what_became_of_the_tags_in_a_week(engine: Engine) -> None:
    done = await run(engine, "tag_diff", old="tags_before.json", new="tags_after.json")
    found = done.value
    assert found["tags"] == {"old": 12, "new": 15}
    assert {key: found[key] for key in ("added", "removed", "moved", "changed", "ignored", "more")} == {
        "added": 4, "removed": 1, "moved": 1, "changed": 3, "ignored": 1, "more": 0,
    }  # fmt: skip
    assert found["added_paths"] == [
        {"path": "Line2/Motor3", "type": "UdtInstance", "tags": 2},
        {"path": "Line4", "type": "Folder", "tags": 2},
    ]
    assert found["removed_paths"] == [{"path": "Line2/Tank1/Valve", "type": "AtomicTag", "tags": 1}]
    assert found["moved_paths"] == [{"from": "Boiler/FeedWater", "to": "Line2/FeedWater"}]
    assert {each["path"]: each["properties"] for each in found["changed_paths"]} == {
        "Boiler/SteamPressure": [
            {"name": "engHigh", "old": 16.0, "new": 1600.0},
            {"name": "engUnit", "old": "bar", "new": "kPa"},
        ],
        "Line2/Tank1/Level": [{"name": "alarms/High level/setpointA", "old": 90.0, "new": 95.0}],
        "Line2/Tank1/Temperature": [{"name": "enabled", "old": None, "new": False}],
    }
    assert "~ Boiler/SteamPressure\n    engHigh: 16.0 -> 1600.0\n" in done.stdout


async def test_what_is_wrong_with_the_tags(engine: Engine) -> None:
    done = await run(engine, "tag_lint", export="tags_after.json")
    assert (done.value["tags"], done.value["findings"], done.value["more"]) == (15, 8, 0)
    assert {(each["rule"], each["path"], each["detail"]) for each in done.value["list"]} == {
        ("duplicate_opc", "Line4/Flow", "ns=1;s=[Line4-PLC]40301"),
        ("duplicate_opc", "Line4/Pressure 2!", "ns=1;s=[Line4-PLC]40301"),
        ("bad_range", "Line4/Pressure 2!", "10 to 0"),
        ("alarm_priority", "Line4/Flow", "Low flow"),
        ("no_unit", "Line4/Flow", ""),
        ("no_range", "Line4/Flow", ""),
        ("disabled", "Line2/Tank1/Temperature", ""),
        ("name", "Line4/Pressure 2!", ""),
    }
    params = {"skip": ["no_unit", "no_range"], "depth": 1, "names": r"[A-Z]\w*", "top": 1}
    done = await run(engine, "tag_lint", params, export="tags_after.json")
    assert "no_unit" not in done.value["rules"]
    assert done.value["rules"]["depth"] == 4, "two of the type, two of the tank"
    assert done.value["rules"]["name"] == 2, "_types_ and Pressure 2!"
    assert done.value["more"] == done.value["findings"] - len(done.value["list"]) == 5


async def test_what_changed_in_the_configuration_and_what_is_noise(engine: Engine) -> None:
    done = await run(engine, "config_diff", old="config_before.zip", new="config_after.zip")
    found = done.value
    assert (found["added_files"], found["removed_files"]) == (["opcua/line4.json"], ["opcua/line3.json"])
    assert found["moved_files"] == [{"from": "notes/todo.txt", "to": "archive/todo-2026.txt"}]
    assert [(each["path"], each["kind"], each["lines"]) for each in found["changed_files"]] == [
        ("images/logo.png", "binary", []),
        ("opcua/line2.json", "text", ['-  "timeout": 2000', '+  "timeout": 5000']),
        ("scripts/shift.py", "text", ["- LIMIT = 55.0", "+ LIMIT = 52.5"]),
    ]
    assert found["noise_files"] == [
        "databases/historian.xml",
        "gateway.properties",
        "views/overview/resource.json",
        "views/overview/session.txt",
    ]
    assert (found["same"], found["unreadable"]) == (0, 0)


async def test_where_the_historian_has_gaps_in_csv(engine: Engine) -> None:
    found = (await run(engine, "historian_gaps", data="historian.csv")).value
    assert (found["samples"], found["skipped"], found["tags"]) == (4 * 181 - 19, 0, 4)
    assert found["gap_list"] == [
        {"tag": "Line2/Tank1/Level", "from": "2026-11-20 08:00:00", "to": "2026-11-20 08:40:00", "seconds": 2400.0}
    ]
    assert found["flat_list"] == [
        {
            "tag": "Boiler/SteamPressure",
            "from": "2026-11-20 09:00:00",
            "to": "2026-11-20 11:00:00",
            "seconds": 7200.0,
            "value": 8.1,
        }
    ]
    tags = {each["tag"]: each for each in found["tag_list"]}
    assert {each["interval"] for each in tags.values()} == {120.0}
    level, current = tags["Line2/Tank1/Level"], tags["Line4/Motor/Current"]
    assert (level["missing_share"], level["bad"]) == (round(2280 / 21600, 4), 0)
    assert (current["bad"], current["bad_share"]) == (16, round(16 / 181, 4))


async def test_where_the_historian_has_gaps_in_sqlite(engine: Engine) -> None:
    found = (await run(engine, "historian_gaps", {"tag": "LINE"}, data="historian.db")).value
    tags = {each["tag"]: each for each in found["tag_list"]}
    assert {name: (each["samples"], each["gaps"], each["bad"]) for name, each in tags.items()} == {
        "line2/tank1/level": (80, 1, 0),
        "line4/motor/current": (97, 0, 6),
    }
    assert found["gap_list"] == [
        {"tag": "line2/tank1/level", "from": "2026-11-30 22:00:00", "to": "2026-11-30 23:30:00", "seconds": 5400.0}
    ]
    assert found["flat_lines"] == 0
    assert tags["line4/motor/current"]["to"] == "2026-12-01 04:00:00"


GIB = 1 << 30


async def test_how_full_the_disks_are_and_when_they_will_be(engine: Engine) -> None:
    found = (await run(engine, "disk_health", df="df.log")).value
    disks = {disk["mount"]: disk for disk in found["disks"]}
    assert {mount: (disk["share"], disk["inodes"], disk["level"]) for mount, disk in disks.items()} == {
        "/": (40.0, 5.0, "ok"),
        "/var/lib/ignition": (92.0, None, "critical"),
        "/backup": (10.0, 95.0, "critical"),
    }
    plant = disks["/var/lib/ignition"]
    assert (plant["size"], plant["free"], plant["growth"], plant["full_in_days"]) == (100 * GIB, 8 * GIB, 2 * GIB, 4.0)
    assert disks["/"]["growth"] == 0
    assert sorted(found["findings"]) == [
        "/var/lib/ignition is full in 4 days if it goes on like this",
        "critical: /backup has 95 % of its inodes in use",
        "critical: /var/lib/ignition has 92 % of its space in use",
    ]
    calm = (await run(engine, "disk_health", {"warn": 96, "critical": 99}, df="df.log")).value
    assert {disk["level"] for disk in calm["disks"]} == {"ok"}


async def test_what_a_database_holds_and_how_it_grew(engine: Engine) -> None:
    done = await run(engine, "disk_health", {"check": "full"}, database="gateway.db", earlier="gateway_earlier.db")
    found = done.value["database"]
    assert (found["problems"], found["journal"], found["page_size"], found["wal"]) == ([], "delete", 1024, None)
    assert found["free_pages"] > 5
    assert (
        found["size"] == found["pages"] * 1024 == found["grown"] + len(bundle()["documents/samples/gateway_earlier.db"])
    )
    rows = {each["name"]: (each["rows"], each["new_rows"]) for each in found["tables"]}
    assert rows == {"alarm_events": (200, 80), "audit_events": (2, 0)}
    assert "gateway.db: " in done.stdout
    assert done.stdout.endswith("\nnothing to worry about\n")


async def test_a_folder_is_measured_with_an_approval_and_not_without(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/large.bin").write_bytes(b"x" * 5000)
    (tmp_path / "small.bin").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "round").symlink_to(".")
    params = {"folder": str(tmp_path)}
    text = bundle()["scripts/defaults/disk_health.py"].decode()
    asks = f'# [tool.gatewright.permissions]\n# read = ["{tmp_path}"]\n# [tool.gatewright.params.df]\n'
    own = SaveRequest(text=text.replace("# [tool.gatewright.params.df]\n", asks))
    await engine.scripts.save("own/disks.py", own, engine.owner)
    seen = await engine.permissions.review("own/disks.py", engine.owner)
    request = ApproveRequest(sha256=seen.sha256, grants=[Grant(one.access, one.canonical or "") for one in seen.asked])
    await engine.permissions.approve("own/disks.py", request, engine.owner)
    found = (await engine.call_script("own/disks", params=params)).value["folder"]
    assert (found["files"], found["bytes"], found["unread"], found["written_in_a_day"]) == (2, 5100, 0, 5100)
    assert found["largest"][0] == {"path": f"{tmp_path}/inner/large.bin", "bytes": 5000}
    assert found["disk"]["size"] > 0
    refused = await engine.call_script("defaults/disk_health", params=params)
    assert (refused.outcome, refused.exit_status) == (Outcome.SCRIPT_ERROR, 1)
    assert refused.stderr.startswith(f"This script may not read {tmp_path}"[:60])
    assert "read = [...]" in refused.stderr
    nothing = await engine.call_script("defaults/disk_health")
    assert nothing.stderr.startswith("Hand over what df wrote (df)")


async def test_what_is_in_a_project(engine: Engine) -> None:
    done = await run(engine, "project_inventory", export="project.zip")
    (found,) = done.value["projects"]
    assert done.value["outside"] == []
    assert (found["title"], found["parent"], found["enabled"], found["resources"], found["files"]) == (
        "Plant 3", "", True, 9, 20,
    )  # fmt: skip
    assert found["bytes"] == sum(len(data) for data in content_of(SAMPLES["project.zip"]()).values())
    assert {each["label"]: each["count"] for each in found["types"]} == {
        "Perspective views": 4,
        "named queries": 2,
        "project scripts": 2,
        "page configuration": 1,
    }
    overview = "com.inductiveautomation.perspective/views/Overview"
    assert found["largest"][0]["path"] == overview
    assert found["latest"][0] == {"path": overview, "by": "ada", "time": "2026-11-20T05:58:00Z"}
    assert found["script_lines"] == 3
    assert found["unmentioned"] == {
        "Perspective views": ["Old/Pump"],
        "named queries": ["Downtime/Unused"],
        "project scripts": ["draft"],
    }
    assert found["missing_views"] == [{"from": "page /alarms", "view": "Alarms/List"}]
    assert found["orphans"] == ["notes.txt"]
    assert found["problems"] == [{"path": overview, "problem": "thumbnail.png is missing"}]


@pytest.mark.parametrize(("script", "param"), [("historian_gaps", "data"), ("disk_health", "database")])
async def test_a_database_that_does_not_fit_is_refused_in_a_sentence(engine: Engine, script: str, param: str) -> None:
    text = bundle()[f"scripts/defaults/{script}.py"].decode().replace('"256 MiB"', '"1 MiB"')
    writer = engine.buffers.create("large.db", engine.owner)
    writer.write(bundle()["documents/samples/historian.db"] + bytes(2 << 20))
    files = {param: writer.finish().id}
    done = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="own/large.py", code=text, files=files))
    assert done.outcome == Outcome.SCRIPT_ERROR
    assert done.stderr == "large.db does not fit in the scratch folder: raise limits.scratch in a copy.\n"
