"""``bundle``: Gatewright itself with all that it needs, in one file, for hosts without a network."""

from __future__ import annotations

import hashlib
import io
import platform
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from engine.models.base import VERSION
from tui.commands.arguments import host_files
from tui.commands.errors import CommandError
from tui.commands.invocation import Invocation, common_options
from tui.commands.new_files import give_name, part_of, place_for
from tui.text.formats import size

if TYPE_CHECKING:
    from typing import BinaryIO

INSTALLER = """\
#!/bin/sh
# Install Gatewright {version}, or upgrade to it, without a network:  sh install.sh [FOLDER]
# FOLDER gets a virtual environment of its own; else ~/.local/share/gatewright. PYTHON names the interpreter.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${{1:-"$HOME/.local/share/gatewright"}}
python=${{PYTHON:-python{python}}}
case "$(uname -s)-$(uname -m)" in
    Linux-{machine}) ;;
    *) echo "These packages are for Linux on {machine}." >&2; exit 1 ;;
esac
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != {numbers})'; then
    echo "These packages are for Python {python}: name it by PYTHON=/path/to/python{python}" >&2
    exit 1
fi
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --quiet \\
    --no-index --find-links "$here/wheels" --require-hashes --requirement "$here/requirements.txt"
link="$HOME/.local/bin/gatewright"
mkdir -p "$HOME/.local/bin"
if [ -L "$link" ] || [ ! -e "$link" ]; then ln -sf "$folder/bin/gatewright" "$link"; fi
"$folder/bin/gatewright" --version
echo "Try it: $folder/bin/gatewright doctor"
"""

TEXT = """\
Gatewright {version} for Python {python} on Linux {machine}, with all packages that it needs. They worked
on a host with {libc}; a much older host may refuse some of them.

Install it, or upgrade to it, in one line:

    sh install.sh

The same by other tools:

    uv tool install --offline --no-index --find-links wheels --python {python} gatewright
    PIP_NO_INDEX=1 PIP_FIND_LINKS="$PWD/wheels" pipx install gatewright

The last one needs a pipx that has installed something before: at its first use it fetches a pip of its own.

requirements.txt has the SHA-256 of each package. Afterwards: gatewright doctor
"""


class Bundled(TypedDict):
    """What was made."""

    file: str
    version: str
    python: str
    platform: str
    wheels: list[str]
    size: int


@click.command("bundle")
@click.argument("out", metavar="OUT", shell_complete=host_files)
@common_options
@click.pass_obj
def bundle(invocation: Invocation, out: str) -> None:
    """Put Gatewright, as it is installed here, and all packages that it needs into the new file OUT.

    A host of the same kind, with the same version of Python, installs it from there without a network. If OUT is a
    folder, the file in it is named after version and platform.

    \b
    Examples:
      gatewright bundle /media/stick
      gatewright bundle gatewright.tar
    """
    try:
        made = _made(Path(out))
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}") from None
    invocation.show(made, _print)


def _made(out: Path) -> Bundled:
    from tui.commands.wheels import make_wheel, needed

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    kind = f"cp{python.replace('.', '')}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    folder = f"gatewright-{VERSION}-{kind}"
    place = place_for(out, f"{folder}.tar")
    with part_of(place) as (part, file), tempfile.TemporaryDirectory(dir=place.parent, prefix=".wheels-") as work:
        distributions = needed("gatewright")
        wheels = [make_wheel(each, Path(work)) for each in distributions]
        pins = [
            f"{each.metadata['Name']}=={each.version} --hash=sha256:{_digest(wheel)}\n"
            for each, wheel in zip(distributions, wheels, strict=True)
        ]
        facts = {
            "version": VERSION,
            "python": python,
            "numbers": f"({python.replace('.', ', ')})",
            "machine": platform.machine(),
            "libc": " ".join(filter(None, platform.libc_ver())) or "another C library than glibc",
        }
        texts = {"requirements.txt": "".join(sorted(pins)), "INSTALL.txt": TEXT.format(**facts)}
        _write(file, folder, wheels, {**texts, "install.sh": INSTALLER.format(**facts)})
        total = file.tell()
        give_name(part, place)
    names = sorted(wheel.name for wheel in wheels)
    return Bundled(file=str(place), version=VERSION, python=python, platform=kind, wheels=names, size=total)


def _write(file: BinaryIO, folder: str, wheels: list[Path], texts: dict[str, str]) -> None:
    """Write the archive; its files belong to whoever takes it apart."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mode = 0o644
        return info

    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, text in texts.items():
            info = plain(tarfile.TarInfo(f"{folder}/{name}"))
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for wheel in wheels:
            archive.add(wheel, f"{folder}/wheels/{wheel.name}", filter=plain)
    file.flush()


def _digest(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _print(invocation: Invocation, made: Bundled) -> None:
    invocation.streams.out.line(made["file"])
    folder = f"gatewright-{made['version']}-{made['platform']}"
    invocation.streams.notify(
        f"{len(made['wheels'])} packages, {size(made['size'])}, for Python {made['python']} on hosts like this one",
        f"There: tar -xf FILE && sh {folder}/install.sh",
    )
