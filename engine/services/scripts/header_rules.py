"""What this host and these settings make of a script's header: one judgement for check, change, approval and run."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from engine.sandbox.permissions import KEY_OF, BadPermissions, asked, never_granted
from engine.sandbox.protected import ProtectedPaths
from engine.services.packages.script_environments import ScriptEnvironments
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.limits import DECLARABLE, RunCeilings, above_ceiling
from store.frontmatter.keys import KINDS
from store.frontmatter.known_keys import OWN
from store.frontmatter.read import Frontmatter, quoted, unknown_sentence
from store.frontmatter.toml_spans import Path


class HeaderProblem(NamedTuple):
    """One thing that is wrong with a header.

    Attributes:
        key: Where it stands in the header's document.
        sentence: As whoever is refused by it is told.
        refused: A run or an approval is; else it is only told of.
    """

    key: Path
    sentence: str
    refused: bool = True


class HeaderRules:
    """Its methods block: they look at installed packages and protected places.

    Args:
        dependencies: What is installed for scripts, and for which Python.
        ceilings: What limits may be.
        protection: Tells what must never be granted.
        environments: Tells which packages are approved.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        ceilings: RunCeilings,
        protection: Callable[[], ProtectedPaths],
        environments: ScriptEnvironments | None = None,
    ) -> None:
        self._environments = environments
        self._dependencies = dependencies
        self._ceilings = ceilings
        self._protection = protection

    def problems(self, front: Frontmatter) -> Iterator[HeaderProblem]:
        """Judge what a script says about itself, beside the form of what it says (``Frontmatter.problem``)."""
        if (sentence := self._dependencies.python_problem(front.requires_python)) is not None:
            yield HeaderProblem(("requires-python",), sentence)
        limits = {key: value for key in DECLARABLE if (value := getattr(front.limits, key)) is not None}
        if (above := above_ceiling(self._ceilings, limits)) is not None:
            yield HeaderProblem((*OWN, "limits", above.key), f"{above.sentence} {above.hint}")
        yield from self._permissions(front)
        wrong = front.problem_key == ("dependencies",)  # which is told as such
        if not wrong and (sentence := self._lacking(front)) is not None:
            yield HeaderProblem(("dependencies",), sentence, refused=False)
        for found in front.unknown:
            yield HeaderProblem(found.path, unknown_sentence(found), refused=False)
        if front.kind not in KINDS:
            sentence = f"The kind {quoted(front.kind)} is unknown here: it is kept, and treated as {KINDS[0]}."
            near = difflib.get_close_matches(front.kind.lower(), KINDS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {' and '.join(KINDS)}."
            yield HeaderProblem((*OWN, "kind"), f"{sentence} {hint}", refused=False)

    def opened(self, front: Frontmatter) -> tuple[str, ...] | None:
        """Return the import names of packages that were approved for a script; None: that cannot be told yet."""
        return () if self._environments is None else self._environments.opened_by(front)

    def _lacking(self, front: Frontmatter) -> str | None:
        if front.environment:
            return None
        if self._environments is None:
            return self._dependencies.note(front.dependencies)
        if not self._environments.waits(front):
            return None
        sentence = self._dependencies.note(front.dependencies) or "Its packages are not installed for its Python here."
        return f"{sentence} An administrator can approve them for this script: gatewright scripts approve"

    def _permissions(self, front: Frontmatter) -> Iterator[HeaderProblem]:
        if not front.permissions:
            return
        table = (*OWN, "permissions")
        try:
            grants = asked(front.permissions)
        except BadPermissions as error:
            yield HeaderProblem(table, str(error))
            return
        protected = self._protection()
        for grant in grants:
            if (sentence := never_granted(grant, protected)) is not None:
                yield HeaderProblem((*table, KEY_OF[grant.access]), sentence)
