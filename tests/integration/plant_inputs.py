"""What the scripts of ``plant_scripts`` read: each function fills a folder with the input of one."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

BEGIN = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


def wrapper_logs(folder: Path) -> None:
    lines = []
    for number in range(120):
        at = BEGIN + timedelta(minutes=7 * number)
        level = "IWE"[(number % 7 == 0) + (number % 11 == 0)]
        logger = ("tags.history", "opc.client", "web.server")[number % 3]
        text = f"Slow store-and-forward, {number} ms" if level == "W" else f"Request {number} handled"
        lines.append(f"{level} [{logger:<20}] [{at:%Y/%m/%d %H:%M:%S}]: {text}")
        if level == "E":
            lines += ["java.net.SocketTimeoutException: timed out", "\tat com.example.Driver.read(Driver.java:80)"]
    with gzip.open(folder / "wrapper.log.1.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(["-- begun before the first entry", *lines[:60]]) + "\n")
    (folder / "wrapper.log").write_bytes("\n".join(lines[60:]).encode() + b"\n\xff\xfe broken bytes\n")


def export(folder: Path) -> None:
    view = {
        "root": {"children": [{"type": "embedded", "path": "views/motor"}, {"type": "embedded", "path": "views/gone"}]}
    }
    windows = (
        '\ufeff<project><window name="Main"><component class="ui.Label"/><component class="ui.Button"/>'
        '<component class="ui.Label"/></window><window name="Popup"/></project>'
    )
    with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("views/overview/view.json", json.dumps(view))
        archive.writestr("views/motor/view.json", "{}")
        archive.writestr("views/torn/view.json", '{"root": ')
        archive.writestr("windows/all.xml", windows)
        archive.writestr("windows/bad.xml", "<window>")
        archive.writestr("../outside.json", "{}")
        archive.writestr("readme.txt", "hello")


def samples(folder: Path) -> None:
    rows = ["tag,unit,time,value,quality"]
    for number in range(150):
        at = BEGIN + timedelta(minutes=number + (20 if number > 90 else 0))
        rows.append(f"tank1/level,%,{at.isoformat()},{50 + number % 17},{192 if number % 10 else 24}")
        rows.append(f"tank2/level,%,{at.isoformat()},12.5,192")
    (folder / "logger.csv").write_text("\n".join(rows) + "\n")


def configurations(folder: Path) -> None:
    for name, heap, port, note in (
        ("gateway-a", "1024m", 8088, "first\nsecond\n"),
        ("gateway-b", "2g", 8089, "first\n2nd\n"),
    ):
        place = folder / name / "data"
        place.mkdir(parents=True)
        (place / "gateway.conf").write_text(
            f"java.1=-Xms{heap}\njava.2=-Xmx{heap}\nport={port}\nadmin.password={name}\n"
        )
        (place / "site.ini").write_text("[alarms]\nHigh = 90\n[mail]\nhost = mail.plant.example\n")
        (place / "notes.txt").write_text(note)
        (place / "old.bak").write_text(name)
    (folder / "gateway-b" / "new.ini").write_text("[a]\nb = 1\n")


def tags(folder: Path) -> None:
    motor = {
        "name": "Motor 1",
        "tagType": "Folder",
        "tags": [{"name": "Speed", "tagType": "AtomicTag", "dataType": "Float8"}],
    }
    bad = {"name": "bad.name?", "tagType": "AtomicTag"}
    (folder / "tags.json").write_text(json.dumps({"name": "default", "tags": [motor, bad]}))


def two_exports(folder: Path) -> None:
    def tag(name: str, **settings: object) -> dict[str, object]:
        return {"name": name, "tagType": "AtomicTag", **settings}

    before = [tag("Level", high=90), tag("Te\u0301mp", opc="ns=1;s=T"), tag("Old", x=1), tag("Alone", y=[1, 2])]
    after = [
        tag("Level", high=95, unit="%"),
        tag("T\u00e9mp", opc="ns=1;s=T"),
        {"name": "Line", "tagType": "Folder", "tags": [tag("Alone", y=[1, 2])]},
        tag("New", x=2),
    ]
    for name, found in (("before.json", before), ("after.json", after)):
        (folder / name).write_text(json.dumps({"name": "default", "tags": found}), encoding="utf-8")


def nothing(_: Path) -> None:
    """For those that read nothing."""


INPUTS: dict[str, Callable[[Path], None]] = {
    "log_digest": wrapper_logs,
    "shift_report": nothing,
    "project_export": export,
    "historian": samples,
    "config_compare": configurations,
    "tag_tool": tags,
    "poll_devices": nothing,
    "batch_log": nothing,
    "energy_pipeline": nothing,
    "tag_diff": two_exports,
}
