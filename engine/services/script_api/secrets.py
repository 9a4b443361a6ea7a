"""Secrets for runs: the value goes to the run of a script that is approved to use it, and to no other surface."""

from __future__ import annotations

from engine.models.base import Model
from engine.models.permissions import Access, Grant
from engine.models.secrets import SecretValue
from engine.services.access import FROM_RUNS, ServiceError
from engine.services.audit import AuditService
from engine.services.runs.service import RunService
from engine.services.script_api.dispatcher import CallingRun, RunOperation
from engine.services.secrets import SecretService


class SecretAsked(Model, frozen=True):
    name: str


class RunSecrets:
    """What runs ask for as ``secrets.get``."""

    def __init__(self, secrets: SecretService, runs: RunService, audit: AuditService) -> None:
        self._secrets = secrets
        self._runs = runs
        self._audit = audit

    @property
    def operation(self) -> RunOperation:
        return RunOperation(kinds=("utility",), params=SecretAsked, method=self.get)

    async def get(self, run: CallingRun, asked: SecretAsked) -> SecretValue:
        """Return a secret that the run was granted when it began, hidden from then on in all that it writes.

        Raises:
            ServiceError: ``not_granted``, ``no_secret``.
        """
        if Grant(access=Access.SECRET, path=asked.name) not in run.info.grants:
            raise _not_granted(run, asked.name)
        value = await self._secrets.value(asked.name)
        if self._runs.hide(run.info.id, asked.name, value):
            self._audit.tell(run.actor, FROM_RUNS, "secret_use", asked.name, run=f"#{run.info.id} {run.info.name}")
        return SecretValue(value=value)


def _not_granted(run: CallingRun, name: str) -> ServiceError:
    if not run.script:
        sentence = "Only a saved script can use secrets, and this run is of code that is none."
        hint = "Save it as a script whose header asks for the secret, and have an administrator approve it."
        return ServiceError("not_granted", sentence, hint=hint, status=403)
    return ServiceError(
        "not_granted",
        f"{run.script} does not ask for the secret {name[:64]!r} in its header.",
        hint=f'Add secrets = ["{name[:64]}"] under [tool.gatewright.permissions]; an administrator approves that.',
        status=403,
    )
