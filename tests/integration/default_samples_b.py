"""The sample data of the default scripts that read exports, archives and databases, made from what is true of it.

``python tests/integration/default_samples_b.py`` writes it to ``default_scripts/samples``. What a test knows of it
stands where it is put in: a tag without a unit is one that is written here without a unit.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Node = dict[str, Any]


def folder(name: str, *inner: Node) -> Node:
    return {"name": name, "tagType": "Folder", "tags": list(inner)}


def opc(name: str, address: str, kind: str = "Float4", **more: Any) -> Node:
    found = {
        "name": name,
        "tagType": "AtomicTag",
        "valueSource": "opc",
        "opcServer": "Ignition OPC UA Server",
        "opcItemPath": f"ns=1;s=[{address}",
        "dataType": kind,
    }
    return found | more


def analog(name: str, address: str, unit: str, low: float, high: float, **more: Any) -> Node:
    return opc(name, address, engUnit=unit, engLow=low, engHigh=high, **more)


def alarm(name: str, mode: str, setpoint: float, priority: str | None = "High") -> Node:
    found: Node = {"name": name, "mode": mode, "setpointA": setpoint}
    return found | ({"priority": priority} if priority else {})


MOTOR_TYPE = {
    "name": "Motor",
    "tagType": "UdtType",
    "parameters": {"number": {"dataType": "Integer"}},
    "tags": [
        {
            "name": member,
            "tagType": "AtomicTag",
            "valueSource": "opc",
            "opcServer": "Ignition OPC UA Server",
            "opcItemPath": {"bindType": "parameter", "binding": f"ns=1;s=[Line2-PLC]Motor{{number}}/{member}"},
            "dataType": kind,
        }
        | ({"engUnit": unit, "engLow": 0.0, "engHigh": 100.0} if unit else {})
        for member, kind, unit in (("Current", "Float4", "A"), ("Running", "Boolean", ""))
    ],
}


def motor(number: int) -> Node:
    return {
        "name": f"Motor{number}",
        "tagType": "UdtInstance",
        "typeId": "Motor",
        "parameters": {"number": {"dataType": "Integer", "value": number}},
        "tags": [{"name": member, "tagType": "AtomicTag"} for member in ("Current", "Running")],
    }


def tags_before() -> bytes:
    tank = folder(
        "Tank1",
        analog("Level", "Line2-PLC]40001", "%", 0.0, 100.0, alarms=[alarm("High level", "AboveValue", 90.0)]),
        analog("Temperature", "Line2-PLC]40003", "°C", 0.0, 120.0),
        opc("Valve", "Line2-PLC]00012", "Boolean"),
    )
    boiler = folder(
        "Boiler",
        analog("SteamPressure", "Boiler-PLC]40101", "bar", 0.0, 16.0),
        analog("FeedWater", "Boiler-PLC]40103", "l/min", 0.0, 400.0),
    )
    recipe = {"name": "Recipe", "tagType": "AtomicTag", "valueSource": "memory", "dataType": "String", "value": "A-12"}
    types = {"name": "_types_", "tagType": "Folder", "tags": [MOTOR_TYPE]}
    return export(types, folder("Line2", tank, motor(1), motor(2), recipe), boiler)


def tags_after() -> bytes:
    """The same plant a week later.

    Added: ``Line4`` with two tags, ``Line2/Motor3`` with two members. Removed: ``Line2/Tank1/Valve``. Moved:
    ``Boiler/FeedWater`` to ``Line2/FeedWater``. Changed: the limit of Level's alarm, unit and range of SteamPressure.
    The recipe has another value, keys and tags stand in another order, and limits are written without fractions:
    none of that counts.

    Against the rules of the lint: two tags read 40301; ``Flow`` has no unit and no range, ``Pressure 2!`` has a name
    with a sign and its range upside down; the alarm of Flow has no priority; ``Temperature`` is disabled.
    """
    level = analog("Level", "Line2-PLC]40001", "%", 0, 100, alarms=[alarm("High level", "AboveValue", 95.0)])
    temperature = analog("Temperature", "Line2-PLC]40003", "°C", 0, 120) | {"enabled": False}
    tank = folder("Tank1", dict(reversed(temperature.items())), level)
    recipe = {"value": "B-07", "dataType": "String", "valueSource": "memory", "tagType": "AtomicTag", "name": "Recipe"}
    feed_water = analog("FeedWater", "Boiler-PLC]40103", "l/min", 0.0, 400.0)
    boiler = folder("Boiler", analog("SteamPressure", "Boiler-PLC]40101", "kPa", 0.0, 1600.0))
    line4 = folder(
        "Line4",
        opc("Flow", "Line4-PLC]40301", alarms=[alarm("Low flow", "BelowValue", 5.0, priority=None)]),
        analog("Pressure 2!", "Line4-PLC]40301", "bar", 10.0, 0.0),
    )
    types = {"name": "_types_", "tagType": "Folder", "tags": [MOTOR_TYPE]}
    return export(boiler, line4, folder("Line2", recipe, motor(3), motor(2), motor(1), feed_water, tank), types)


def export(*nodes: Node) -> bytes:
    provider = {"name": "", "tagType": "Provider", "tags": nodes}
    return json.dumps(provider, indent=1, ensure_ascii=False).encode() + b"\n"


def packed(files: dict[str, str | bytes]) -> bytes:
    """Return a zip of these files, each at one fixed time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 20, 6, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def saved(by: str, at: str, *files: str) -> str:
    """Return the resource.json of these files, as it is after a save by one user at a time of November 2026."""
    attributes = {
        "lastModification": {"actor": by, "timestamp": f"2026-11-{at}:00Z"},
        "lastModificationSignature": hashlib.sha256(f"{by} {at}".encode()).hexdigest(),
    }
    return json.dumps({"scope": "G", "version": 1, "files": files, "attributes": attributes}, indent=2)


DATABASE_XML = (
    '<datasource name="historian" {}><url>jdbc:mariadb://10.20.1.5/history</url><pool max="{}"/></datasource>'
)


def config_before() -> bytes:
    return packed(
        {
            "gw-01-2026-11-19/gateway.properties": "#Thu Nov 19 06:00:00 CET 2026\r\nport=8088\r\nname=Plant-3\r\n",
            "gw-01-2026-11-19/databases/historian.xml": DATABASE_XML.format('driver="MariaDB" id="1"', 8),
            "gw-01-2026-11-19/opcua/line2.json": json.dumps({"host": "10.20.2.11", "timeout": 2000, "retries": 3}),
            "gw-01-2026-11-19/opcua/line3.json": json.dumps({"host": "10.20.2.12", "timeout": 2000}),
            "gw-01-2026-11-19/views/overview/resource.json": saved("mkessler", "12T09:14", "session.txt"),
            "gw-01-2026-11-19/views/overview/session.txt": "7c9e6679-7425-40de-944b-e07fc1f90ae7\n",
            "gw-01-2026-11-19/scripts/shift.py": "LIMIT = 55.0\n\n\ndef totals():\n    return LIMIT\n",
            "gw-01-2026-11-19/images/logo.png": b"\x89PNG\r\n\x1a\n\0\0 old",
            "gw-01-2026-11-19/notes/todo.txt": "check pump 3\n",
            "gw-01-2026-11-19/wrapper.log": "INFO   | jvm 1    | up\n",
        }
    )


def config_after() -> bytes:
    """The same gateway a day later.

    Changed: the timeout of line 2, a line of the script, the logo. Removed: line 3. Added: line 4. Moved: the notes.
    Saved again without a change: the properties, the data source, the view's resource and session. The log is ignored.
    """
    return packed(
        {
            "gw-01-2026-11-20/databases/historian.xml": DATABASE_XML.format('id="1" driver="MariaDB"', 8),
            "gw-01-2026-11-20/gateway.properties": "#Fri Nov 20 06:00:00 CET 2026\nname=Plant-3\nport=8088\n",
            "gw-01-2026-11-20/images/logo.png": b"\x89PNG\r\n\x1a\n\0\0 new",
            "gw-01-2026-11-20/opcua/line2.json": json.dumps({"timeout": 5000, "retries": 3, "host": "10.20.2.11"}),
            "gw-01-2026-11-20/opcua/line4.json": json.dumps({"host": "10.20.2.14", "timeout": 1000}),
            "gw-01-2026-11-20/scripts/shift.py": "LIMIT = 52.5\n\n\ndef totals():\n    return LIMIT\n",
            "gw-01-2026-11-20/views/overview/resource.json": saved("ada", "20T05:58", "session.txt"),
            "gw-01-2026-11-20/views/overview/session.txt": "16fd2706-8baf-433b-82eb-8c7fada847da\n",
            "gw-01-2026-11-20/archive/todo-2026.txt": "check pump 3\n",
            "gw-01-2026-11-20/wrapper.log": "INFO   | jvm 1    | up again\n",
        }
    )


def historian_csv() -> bytes:
    """Four tags for six hours, a sample every two minutes.

    ``Level`` has none from 08:00 to 08:40, ``SteamPressure`` stands at 8.1 from 09:00 to 11:00, ``Current`` is bad from
    10:00 to 10:30. ``Running`` is 1 all the time, as it should be.
    """
    lines = ["t_stamp,tag,value,quality"]
    for step in range(181):
        at = datetime(2026, 11, 20, 6) + timedelta(minutes=2 * step)  # noqa: DTZ001 - as exports are
        clock = at.hour * 60 + at.minute
        wave = math.sin(step / 9)
        if not 8 * 60 < clock < 8 * 60 + 40:
            lines.append(f"{at},Line2/Tank1/Level,{60 + 8 * wave + step / 100:.2f},Good")
        pressure = 8.1 if 9 * 60 <= clock <= 11 * 60 else 8.3 + wave / 3 + step / 1000
        lines.append(f"{at},Boiler/SteamPressure,{pressure:.3f},Good")
        bad = 10 * 60 <= clock <= 10 * 60 + 30
        lines.append(
            f"{at},Line4/Motor/Current,{'' if bad else f'{12 + wave:.3f}'},{'Bad_NotConnected' if bad else 'Good'}"
        )
        lines.append(f"{at},Line4/Motor/Running,1,Good")
    return "\n".join(lines).encode() + b"\n"


def finished(connection: sqlite3.Connection) -> bytes:
    """Close a database in memory and return what its file would hold."""
    with closing(connection):
        connection.commit()
        return connection.serialize()


def historian_db() -> bytes:
    """Two tags for eight hours over the end of a month, every five minutes, as an Ignition historian keeps them.

    ``level`` has no sample between 22:00 and 23:30, six of ``current`` are stale (500).
    """
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """
        PRAGMA page_size = 1024;
        CREATE TABLE sqlth_te(id INTEGER PRIMARY KEY, tagpath TEXT, scid INTEGER, datatype INTEGER);
        INSERT INTO sqlth_te VALUES (7, 'line2/tank1/level', 1, 1), (8, 'line4/motor/current', 1, 1);
        """
    )
    for month in (11, 12):
        connection.execute(
            f"CREATE TABLE sqlt_data_1_2026_{month}(tagid INTEGER, intvalue INTEGER, floatvalue REAL, stringvalue TEXT,"
            " datevalue INTEGER, dataintegrity INTEGER, t_stamp INTEGER, PRIMARY KEY (tagid, t_stamp)) WITHOUT ROWID"
        )
    for step in range(97):
        at = datetime(2026, 11, 30, 20, tzinfo=UTC) + timedelta(minutes=5 * step)
        table = (
            f"INSERT INTO sqlt_data_1_2026_{at.month}(tagid, floatvalue, dataintegrity, t_stamp) VALUES (?, ?, ?, ?)"
        )
        stamp = int(at.timestamp()) * 1000
        if not 24 < step < 42:
            connection.execute(table, (7, round(60 + 8 * math.sin(step / 7) + step / 100, 2), 192, stamp))
        connection.execute(
            table, (8, round(12 + math.cos(step / 7) + step / 1000, 3), 500 if 60 <= step < 66 else 192, stamp)
        )
    return finished(connection)


def df_log() -> bytes:
    """Return what df wrote on five nights.

    ``/`` stays at 40 %. ``/var/lib/ignition`` (100 GiB) grows by 2 GiB a day, from 84 to 92 GiB in use: the other 8 GiB
    last for four days. ``/backup`` has few bytes in use, and 95 % of its inodes on the last night.
    """
    lines = []
    for night in range(5):
        used = 84 + 2 * night
        lines += [
            f"2026-11-{16 + night}T03:00:00+01:00",
            "Filesystem                     1024-blocks      Used Available Capacity Mounted on",
            "udev                               4016424         0   4016424       0% /dev",
            "/dev/sda2                         52428800  20971520  31457280      40% /",
            "tmpfs                              8062140         0   8062140       0% /dev/shm",
            "/dev/mapper/vg_ignition-lv_a_rather_long_name",
            f"{' ':32}  104857600 {used << 20:9} {(100 - used) << 20:9}      {used}% /var/lib/ignition",
            "/dev/loop3                           65536     65536         0     100% /snap/core20/2434",
            "backup:/export                   209715200  20971520 188743680      10% /backup",
        ]
    lines += [
        "Filesystem       Inodes  IUsed   IFree IUse% Mounted on",
        "/dev/sda2       3276800 163840 3112960    5% /",
        "backup:/export   100000  95000    5000   95% /backup",
    ]
    return "\n".join(lines).encode() + b"\n"


def gateway_db(rows: int = 450, deleted: int = 250) -> bytes:
    """Return a small store of alarm events, of which ``deleted`` were thrown away: pages are free since."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """
        PRAGMA page_size = 1024;
        CREATE TABLE alarm_events(id INTEGER PRIMARY KEY, source TEXT, priority INTEGER, eventtime INTEGER);
        CREATE INDEX alarm_time ON alarm_events(eventtime);
        CREATE TABLE audit_events(id INTEGER PRIMARY KEY, actor TEXT, action TEXT);
        INSERT INTO audit_events VALUES (1, 'mkessler', 'login'), (2, 'ada', 'project saved');
        """
    )
    events = (
        (n, f"prov:default:/tag:Line2/Motor{n % 7}/Fault", n % 4, 1_795_154_400_000 + n * 1000) for n in range(rows)
    )
    connection.executemany("INSERT INTO alarm_events VALUES (?, ?, ?, ?)", events)
    connection.execute("DELETE FROM alarm_events WHERE id < ?", (deleted,))
    return finished(connection)


def gateway_earlier_db() -> bytes:
    """The same a while before: 120 events, all still there."""
    return gateway_db(120, 0)


def project_zip() -> bytes:
    """The export of a project with four views, two scripts and two named queries.

    ``Overview`` embeds ``Templates/Motor``, calls ``util.tags`` and shows the query ``Downtime/ByShift``. Nothing
    mentions the view ``Old/Pump``, the query ``Downtime/Unused`` and the script ``draft``. The page ``/alarms`` shows a
    view that is not there, ``Overview`` names a thumbnail that is not there, and ``notes.txt`` is of no resource.
    """
    perspective, ignition = "com.inductiveautomation.perspective", "ignition"
    motor = {"type": "ia.display.view", "props": {"path": "Templates/Motor"}}
    script = "\\tlevel \u003d util.tags.read(\u0027[default]Line2/Tank1/Level\u0027)"
    overview = {
        "root": {
            "type": "ia.container.coord",
            "children": [motor, {"type": "ia.display.table", "propConfig": {"queryPath": "Downtime/ByShift"}}],
            "scripts": [{"name": "onStartup", "script": "SCRIPT"}],
        }
    }
    pages = {"/": {"viewPath": "Overview"}, "/trends": {"viewPath": "Trends"}, "/alarms": {"viewPath": "Alarms/List"}}
    files: dict[str, str | bytes] = {
        "project.json": json.dumps({"title": "Plant 3", "parent": "", "enabled": True, "inheritable": False}),
        "notes.txt": "left over\n",
        f"{perspective}/page-config/config.json": json.dumps({"pages": pages}),
        f"{perspective}/page-config/resource.json": saved("mkessler", "03T10:00", "config.json"),
        f"{perspective}/views/Overview/view.json": json.dumps(overview, indent=1).replace("SCRIPT", script),
        f"{perspective}/views/Overview/resource.json": saved("ada", "20T05:58", "view.json", "thumbnail.png"),
        f"{ignition}/script-python/util/tags/code.py": "def read(path):\n\treturn system.tag.readBlocking([path])[0]\n",
        f"{ignition}/script-python/util/tags/resource.json": saved("mkessler", "02T09:00", "code.py"),
        f"{ignition}/script-python/draft/code.py": "# util.tags will do\n",
        f"{ignition}/script-python/draft/resource.json": saved("ada", "01T08:00", "code.py"),
    }
    for view in ("Templates/Motor", "Old/Pump", "Trends"):
        files[f"{perspective}/views/{view}/view.json"] = '{"root": {"type": "ia.container.flex"}}'
        files[f"{perspective}/views/{view}/resource.json"] = saved("mkessler", "03T10:00", "view.json")
    for query in ("ByShift", "Unused"):
        files[f"{ignition}/named-query/Downtime/{query}/query.sql"] = "SELECT cause, minutes FROM downtime\n"
        files[f"{ignition}/named-query/Downtime/{query}/resource.json"] = saved("mkessler", "04T11:00", "query.sql")
    return packed(files)


SAMPLES: dict[str, Callable[[], bytes]] = {"tags_before.json": tags_before, "tags_after.json": tags_after}
SAMPLES |= {"config_before.zip": config_before, "config_after.zip": config_after}
SAMPLES |= {"historian.csv": historian_csv, "historian.db": historian_db}
SAMPLES |= {"df.log": df_log, "gateway.db": gateway_db, "gateway_earlier.db": gateway_earlier_db}
SAMPLES |= {"project.zip": project_zip}


def content_of(data: bytes) -> Any:
    """Return what counts of a sample: how it is packed differs from one zlib or SQLite to the next."""
    if data.startswith(b"SQLite"):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(data)
            return list(connection.iterdump())
    if data[:2] != b"PK":
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


if __name__ == "__main__":
    for name, made in SAMPLES.items():
        (Path(__file__).parents[2] / "default_scripts/samples" / name).write_bytes(made())
