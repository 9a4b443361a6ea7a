"""Wheels made again of what is installed: the files that RECORD names, as it names them, and nothing else.

The format is that of the packaging guide's "Binary distribution format" (PEP 427) and "Recording installed projects"
(PEP 376, PEP 627). What an installer adds is left out: compiled files, generated scripts, its own notes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from importlib import metadata
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tui.commands.errors import CommandError

_OF_THE_INSTALLER = frozenset(
    {"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
)
_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""What a zip file has for no time: the same files make the same wheel."""


def needed(name: str) -> list[Distribution]:
    """Return a distribution and, one after the other, all that it needs on this host.

    Raises:
        CommandError: One of them is not installed.
    """
    found: dict[str, Distribution] = {}
    asked: list[tuple[str, str]] = [(name, "")]
    done = set()
    while asked:
        one = asked.pop(0)
        if one in done:
            continue
        done.add(one)
        name, extra = one
        try:
            distribution = found.setdefault(canonicalize_name(name), metadata.distribution(name))
        except metadata.PackageNotFoundError:
            raise CommandError(f"{name} is not installed here, and Gatewright needs it") from None
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                asked += [(requirement.name, each) for each in ("", *sorted(requirement.extras))]
    return list(found.values())


def make_wheel(distribution: Distribution, folder: Path) -> Path:
    """Make the wheel that ``distribution`` was installed from, in ``folder``; return its path.

    Raises:
        CommandError: It was not installed from one, or its files are not what they were then.
    """
    name = f"{distribution.metadata['Name']} {distribution.version}"
    if json.loads(distribution.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        raise CommandError(
            f"{name} is installed as a link to its source, so there is no wheel to be made of it",
            hint="Install it from a wheel first: pip wheel SOURCE, then pip install in a new virtual environment.",
        )
    about = distribution.read_text("WHEEL")
    home = next((path.parent for path, _ in _recorded(distribution) if path.name == "WHEEL"), None)
    if about is None or home is None:
        raise CommandError(f"{name} was not installed from a wheel, so none can be made of it")
    stem = home.name.removesuffix(".dist-info")
    wheel = folder / f"{stem}-{_tags(about)}.whl"
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(wheel, "x", zipfile.ZIP_DEFLATED) as archive:
        for place, file, expected in _files(distribution, stem):
            data = _content(file, place, expected, name)
            info = zipfile.ZipInfo(place, _BEGINNING)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | (0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)) << 16
            archive.writestr(info, data)
            rows.writerow([place, f"sha256={_digest(data)}", len(data)])
        rows.writerow([f"{home}/RECORD", "", ""])
        info = zipfile.ZipInfo(f"{home}/RECORD", _BEGINNING)
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        archive.writestr(info, record.getvalue())
    return wheel


def _tags(about: str) -> str:
    """The tags of a wheel's file name, compressed (PEP 425), and its build number ahead of them."""
    lines = [line.partition(":") for line in about.splitlines()]
    tags = [value.strip().split("-") for key, _, value in lines if key == "Tag"]
    build = [value.strip() for key, _, value in lines if key == "Build"]
    return "-".join([*build, *(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))])


def _recorded(distribution: Distribution) -> list[tuple[PurePosixPath, str]]:
    """Return the files that RECORD names, each with its hash as it stands there.

    ``Distribution.files`` leaves out since Python 3.12 what has gone since, and the wheel would lack it.
    """
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    return [(PurePosixPath(row[0]), row[1] if len(row) > 1 else "") for row in rows if row]


def _files(distribution: Distribution, stem: str) -> Iterator[tuple[str, Path, str]]:
    """Return the place in the wheel of each file that came from it, the file, and its hash as installed."""
    generated = {entry.name for entry in distribution.entry_points if entry.group in ("console_scripts", "gui_scripts")}
    # lib/pythonX.Y/site-packages: its own, where it is not the one of this program.
    prefix = Path(os.path.normpath(str(distribution.locate_file("")))).parents[2]
    for path, recorded in _recorded(distribution):
        own = path.parent.name.endswith(".dist-info") and path.name in _OF_THE_INSTALLER
        if own or path.suffix == ".pyc" or "__pycache__" in path.parts:
            continue
        file = Path(os.path.normpath(str(distribution.locate_file(path))))
        if ".." not in path.parts:
            yield str(path), file, recorded
            continue
        try:
            kind, *rest = file.relative_to(prefix).parts
        except ValueError:
            raise CommandError(f"{file} belongs to {stem} and lies outside of the virtual environment") from None
        if kind == "bin" and rest and rest[-1] in generated:
            continue
        place = PurePosixPath("scripts", *rest) if kind == "bin" else PurePosixPath("data", kind, *rest)
        yield f"{stem}.data/{place}", file, recorded


def _content(file: Path, place: str, expected: str, name: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} of {name} cannot be read: {error.strerror}") from None
    if expected.startswith("sha256=") and expected != f"sha256={_digest(data)}":
        raise CommandError(
            f"{file} is not what it was when {name} was installed",
            hint="Install it again, then make the bundle.",
        )
    if ".data/scripts/" in place and data.startswith(b"#!") and b"python" in data.partition(b"\n")[0]:
        return b"#!python\n" + data.partition(b"\n")[2]  # each installer writes the interpreter's path there
    return data


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
