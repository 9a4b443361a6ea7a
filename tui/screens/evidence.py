"""Evidence of a run, written into a file of the user's by this process and with the user's own rights."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from textual.app import App

from engine.client.client import EngineClient
from engine.evidence_check import CheckedEvidence, NoEvidence, check
from engine.registry.evidence import EVIDENCE, EvidenceParams
from tui.screens.dialogs import AskScreen
from tui.screens.new_file import write_new


async def save_evidence(
    app: App[Any], client: EngineClient, run_id: int, tell: Callable[[str], object], *, gateway: str = ""
) -> None:
    """Ask for a file and write the evidence of a run there; nothing that exists is ever replaced.

    Args:
        app: Shows the question.
        client: To the engine that has the run.
        run_id: The run.
        tell: Told what happened, one sentence.
        gateway: The name of that engine's gateway, where several are meant.

    Raises:
        EngineError: The engine refuses.
        EngineUnreachable: There is no engine.
    """
    name = "-".join(filter(None, ("evidence", gateway, str(run_id)))) + ".json"
    path, problem = os.path.join(os.getcwd(), name), ""
    of_gateway = f" of {gateway}" if gateway else ""
    question = f"Write the evidence of run #{run_id}{of_gateway}, with what went in and out, into the file"
    while (answer := await app.push_screen_wait(AskScreen(question, path, problem))) is not None:
        path, taken = await asyncio.to_thread(_place, answer, name)
        if taken:
            problem = f"{path} is there already. Nothing is ever replaced; name another file."
            continue
        content = await client.call(EVIDENCE, EvidenceParams(run_id=run_id, name=name, inputs=True, output=True))
        try:
            checked = await asyncio.to_thread(_checked, content, run_id)
            await asyncio.to_thread(write_new, path, [content])
        except NoEvidence as error:
            tell(f"The engine's answer cannot be used: {error}")
            return
        except OSError as error:
            problem = f"{path} was not written: {error.strerror}."
        else:
            tell(" ".join([f"evidence of run {run_id} is in {path}, SHA-256 {checked.sha256}", *checked.problems]))
            return


def _checked(content: bytes, run_id: int) -> CheckedEvidence:
    """Look at the evidence of a run.

    Raises:
        NoEvidence: It is none, or is about another run.
    """
    checked = check(content)
    if not checked.problems and checked.evidence["run"]["id"] != run_id:
        raise NoEvidence(f"It is about another run than {run_id}.")
    return checked


def _place(answer: str, name: str) -> tuple[str, bool]:
    """Return the file that an answer names, in it if it is a folder, and whether something is there."""
    path = os.path.abspath(os.path.expanduser(answer))
    if os.path.isdir(path):
        path = os.path.join(path, name)
    return path, os.path.lexists(path)
