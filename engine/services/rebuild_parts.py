"""What a rebuild of everything looks through besides the index: what is kept about scripts, against the files.

Nothing of it is derived, so nothing of it is made anew; what does not fit is told. Whatever else comes to depend on the
files is one more part.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from engine.models import RebuildPart, ScriptProblem
from store.approvals import Approvals
from store.errors import StoreError
from store.files import ScriptFiles
from store.reconcile import Progress, Reconciler
from store.versions import Versions


class Part(Protocol):
    """Something that can be looked through. It changes nothing before its end."""

    async def look(self, progress: Progress) -> RebuildPart:
        """Look through all of it. What ``progress`` raises ends the work."""


class HistoryPart:
    """The versions of scripts: are the bytes of every one there, and what they were?"""

    def __init__(self, files: ScriptFiles, versions: Versions) -> None:
        self._files = files
        self._versions = versions

    async def look(self, progress: Progress) -> RebuildPart:
        kept = await self._versions.all()
        return await asyncio.to_thread(self._look, kept, progress)

    def _look(self, kept: list[tuple[str, str]], progress: Progress) -> RebuildPart:
        problems = []
        for number, (sha256, script) in enumerate(kept):
            progress("history", number)
            try:
                self._files.kept(sha256)
            except StoreError as error:
                problems.append(ScriptProblem(path=script, problem=error.sentence))
        return RebuildPart(name="history", checked=len(kept), problems=problems)


class ApprovalPart:
    """The approvals in force: is the text that each is for still the script's text?"""

    def __init__(self, approvals: Approvals, reconciler: Reconciler) -> None:
        self._approvals = approvals
        self._reconciler = reconciler

    async def look(self, progress: Progress) -> RebuildPart:
        approved = await self._approvals.approved()
        now = {row.path: row.sha256 for row in await self._reconciler.scripts()}
        problems = []
        for number, (script, sha256) in enumerate(sorted(approved.items())):
            progress("approvals", number)
            if script not in now:
                problems.append(ScriptProblem(path=script, problem="It is approved, and is not there any more."))
            elif now[script] != sha256:
                problems.append(ScriptProblem(path=script, problem="Its text is not the approved one any more."))
        return RebuildPart(name="approvals", checked=len(approved), problems=problems)
