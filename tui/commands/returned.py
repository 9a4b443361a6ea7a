"""``--out``, ``--save-buffer`` and their like of ``runs``: what a run left, with what was done in a line and a code."""

from __future__ import annotations

from collections.abc import Mapping

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.models.runs import RunFile, RunInfo
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.streams import Streams
from tui.runs.returned_files import NotWritten, save_buffer, save_files
from tui.text.formats import size
from tui.text.sanitise import sanitise_line


async def write_files(client: EngineClient, info: RunInfo, out: str, streams: Streams) -> None:
    """Write every file of a run into the folder ``out``, made if it is missing.

    Raises:
        CommandError: One could not be written; the sentence names it and says which ones were written before.
    """
    done: list[RunFile] = []
    try:
        await save_files(client, info, out, begun=lambda _: None, written=done.append)
    except NotWritten as error:
        raise _not_written(error, _told(out, done)) from None
    except EngineError as error:
        code = exit_codes.of_refusal(error.status, error.code)
        raise CommandError(error.message, hint=_told(out, done), exit_code=code, code=error.code) from None
    except EngineUnreachable as error:
        code = exit_codes.UNREACHABLE
        raise CommandError(error.message, hint=_told(out, done), exit_code=code, code="unreachable") from None
    if done:
        streams.notify(_told(out, done))


async def write_buffers(client: EngineClient, run_id: int, paths: Mapping[str, str], streams: Streams) -> None:
    """Write buffers of a run to files; ``paths`` by name.

    Raises:
        CommandError: One could not be written; the sentence names it and says which ones were written before.
    """
    done: list[str] = []
    for name, path in paths.items():
        told = f"written: {', '.join(done)}" if done else "No buffer was written."
        try:
            written = await save_buffer(client, run_id, name, path)
        except NotWritten as error:
            raise _not_written(error, told) from None
        except EngineError as error:
            code = exit_codes.of_refusal(error.status, error.code)
            raise CommandError(error.message, hint=error.hint, exit_code=code, code=error.code) from None
        except EngineUnreachable as error:
            code = exit_codes.UNREACHABLE
            raise CommandError(error.message, hint=told, exit_code=code, code="unreachable") from None
        done.append(f"{path} ({size(written)})")
    if done:
        streams.notify(f"written: {', '.join(done)}")


def _not_written(error: NotWritten, told: str) -> CommandError:
    """A place that is taken is a conflict: by the file itself, or by what is no folder on the way to it."""
    if error.taken:
        return CommandError(sanitise_line(str(error)), hint=told, exit_code=exit_codes.CONFLICT, code="exists")
    return CommandError(sanitise_line(str(error)), hint=told)


def _told(out: str, done: list[RunFile]) -> str:
    """What was done so far, as a line."""
    names = ", ".join(sanitise_line(file.name) for file in done)
    return f"written to {out}: {names}" if names else "No file was written."
