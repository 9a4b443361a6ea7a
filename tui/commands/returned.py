"""Files that a run left, written into a folder of the caller's and with the caller's rights.

The names come from a script by way of an engine: neither is trusted. Each is walked component by component below the
chosen folder, no symbolic link is followed, and nothing that exists is ever replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os

from engine.client import EngineClient, EngineError, EngineUnreachable
from engine.models import RunInfo
from tui.commands import exit_codes
from tui.commands.invocation import CommandError
from tui.commands.streams import Streams

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_INNER_FOLDER = _FOLDER | os.O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


async def write_files(client: EngineClient, info: RunInfo, out: str, streams: Streams) -> None:
    """Write every file of a run into the folder ``out``, made if it is missing.

    Raises:
        CommandError: One could not be written; the sentence names it and says which ones were written before.
    """
    folder = _open_out(out)
    written: list[str] = []
    try:
        for file in info.files:
            content = await client.run_file(info.id, file.name)
            try:
                _write(folder, file.name, content)
            except OSError as error:
                raise _failed(f"{file.name} of run {info.id} was not written", error, _told(out, written)) from None
            written.append(file.name)
    except EngineError as error:
        code = exit_codes.of_refusal(error.status, error.code)
        raise CommandError(error.message, hint=_told(out, written), exit_code=code, code=error.code) from None
    except EngineUnreachable as error:
        code = exit_codes.UNREACHABLE
        raise CommandError(error.message, hint=_told(out, written), exit_code=code, code="unreachable") from None
    finally:
        os.close(folder)
    if written:
        streams.say(_told(out, written))


def _open_out(out: str) -> int:
    """The folder itself is the caller's word: links on the way to it are theirs."""
    try:
        os.makedirs(out, exist_ok=True)
        return os.open(out, _FOLDER)
    except OSError as error:
        raise _failed(f"the folder {out} cannot be used", error, "No file was written.") from None


def _write(folder: int, name: str, content: bytes) -> None:
    """Write one file below ``folder``; what was begun and failed is removed.

    Raises:
        OSError: It exists, lies behind a symbolic link, or cannot be written.
    """
    *parents, last = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*parents, last)):
        raise OSError(errno.EINVAL, "the name would lead out of the folder")
    at = os.dup(folder)
    try:
        for part in parents:
            outer, at = at, _inner_folder(at, part)
            os.close(outer)
        _create(at, last, content)
    finally:
        os.close(at)


def _inner_folder(folder: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return os.open(name, _INNER_FOLDER, dir_fd=folder)


def _create(folder: int, name: str, content: bytes) -> None:
    fd = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
    try:
        with open(fd, "wb") as file:
            file.write(content)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise


def _failed(what: str, error: OSError, told: str) -> CommandError:
    """A place that is taken is a conflict: by the file itself, or by what is no folder on the way to it."""
    if error.errno == errno.EEXIST:
        return CommandError(f"{what}: it exists already", hint=told, exit_code=exit_codes.CONFLICT, code="exists")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        reason = "a file or a symbolic link is where its folder should be"
        return CommandError(f"{what}: {reason}", hint=told, exit_code=exit_codes.CONFLICT, code="exists")
    return CommandError(f"{what}: {error.strerror}", hint=told)


def _told(out: str, written: list[str]) -> str:
    """What was done so far, as a line."""
    return f"written to {out}: {', '.join(written)}" if written else "No file was written."
