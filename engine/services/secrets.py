"""Secrets: set, listed and deleted by administrators, and handed to runs that are granted them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from engine.models.permissions import Access, Grant
from engine.models.secrets import SECRET_NAME, SecretInfo, SecretList, SecretValue
from engine.registry.secrets import SECRETS_DELETE, SECRETS_LIST, SECRETS_SET
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck
from engine.services.operations import implements
from store.errors import StoreError
from store.secrets import Secret, Secrets, SecretsFile

LEAST = 4
"""Characters of a value: shorter ones cannot be told from other text in what a run writes."""

MAX_VALUE = 16 << 10
"""Bytes of a value: a certificate with its key, or what a service account has for one."""

MAX_SECRETS = 256

_NAME = re.compile(SECRET_NAME)

UsedBy = Callable[[], Awaitable[dict[str, list[str]]]]


class SecretService:
    """Implemented on ``store.secrets``.

    Args:
        file: Where they are.
        used_by: Tells which scripts are approved to use a secret, by its name.
    """

    def __init__(self, file: SecretsFile, space: SpaceCheck, audit: AuditService, used_by: UsedBy) -> None:
        self._file = file
        self._space = space
        self._audit = audit
        self._used_by = used_by

    async def load(self) -> None:
        """Have the audit know what it must not hold; a file that cannot be read is told of on use."""
        with suppress(ServiceError):
            await self._all()

    @implements(SECRETS_LIST)
    async def list(self, actor: Actor) -> SecretList:  # noqa: ARG002 - its role is checked
        """List every secret by name, without its value."""
        found, used = await self._all(), await self._used_by()
        return SecretList(secrets=[_info(name, one, used.get(name, [])) for name, one in sorted(found.items())])

    @implements(SECRETS_SET)
    async def set(self, name: str, request: SecretValue, actor: Actor, source: str) -> SecretInfo:
        """Give a secret a value, durably; runs that begin later get it.

        Raises:
            ServiceError: ``bad_secret`` when the name or value cannot be one, ``too_many``, ``not_recorded``. It has
                the value that it had.
        """
        if not is_name(name):
            raise ServiceError(
                "bad_secret",
                "A secret's name has at most 64 letters, digits and _ . -, and begins with a letter or _.",
                hint="For example historian_password.",
                status=422,
            )
        secret = Secret(_checked(request.value), time.time(), actor.name)
        self._audit.know_secrets([secret.value])

        def change(found: Secrets) -> Secrets:
            if name not in found and len(found) >= MAX_SECRETS:
                hint = "Delete some: gatewright secrets list."
                raise ServiceError("too_many", f"There are {MAX_SECRETS} secrets already.", hint=hint, status=409)
            return {**found, name: secret}

        await self._change(change, f"The secret {name} was not set")
        self._audit.tell(actor, source, "secret_set", name)
        return _info(name, secret, (await self._used_by()).get(name, []))

    @implements(SECRETS_DELETE)
    async def delete(self, name: str, actor: Actor, source: str) -> SecretInfo:
        """Delete a secret for good; raises ``no_secret``. Runs that have its value already go on with it."""
        deleted: list[Secret] = []

        def change(found: Secrets) -> Secrets:
            if name not in found:
                raise no_secret(name)
            deleted.append(found.pop(name))
            return found

        await self._change(change, f"The secret {name[:64]} was not deleted")
        self._audit.tell(actor, source, "secret_delete", name)
        return _info(name, deleted[0], (await self._used_by()).get(name, []))

    async def value(self, name: str) -> str:
        """Return the value of a secret, for a run that is granted it; raises ``no_secret``."""
        secret = (await self._all()).get(name)
        if secret is None:
            raise no_secret(name)
        return secret.value

    def note(self, grant: Grant) -> str | None:
        """Tell who is to approve a permission for a secret that there is none. Blocks."""
        if grant.access is not Access.SECRET:
            return None
        try:
            found = self._file.read()
        except StoreError as error:
            return f"The project's secrets cannot be used: {error}"
        return None if grant.path in found else f"There is no such secret yet: gatewright secrets set {grant.path}"

    async def _all(self) -> Secrets:
        try:
            found = await asyncio.to_thread(self._file.read)
        except StoreError as error:
            raise ServiceError(
                "secrets_unreadable", f"The project's secrets cannot be used: {error}", hint=error.hint, status=500
            ) from None
        self._audit.know_secrets(one.value for one in found.values())
        return found

    async def _change(self, change: Callable[[Secrets], Secrets], failed: str) -> None:
        if self._space.read_only:
            why = self._space.short() or "the project cannot be written to"
            raise ServiceError("read_only", f"{failed}: {why}.", hint=self._space.hint, status=409)
        try:
            await asyncio.shield(asyncio.to_thread(self._file.change, change))
        except StoreError as error:
            raise ServiceError("not_recorded", f"{failed}: {error}", hint=error.hint, status=507) from None


def is_name(text: str) -> bool:
    """Tell whether a secret can have this name."""
    return _NAME.fullmatch(text) is not None


def no_secret(name: str) -> ServiceError:
    hint = f"An administrator sets it: gatewright secrets set {name}" if is_name(name) else None
    return ServiceError("no_secret", f"There is no secret {name[:64]!r}.", hint=hint, status=404)


def _checked(value: str) -> str:
    """Return a value that can be kept and hidden; nothing of it is in the refusal."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ServiceError(
            "bad_secret", "The value holds a lone surrogate, which UTF-8 cannot carry.", status=422
        ) from None
    if len(value.strip()) < LEAST:
        raise ServiceError(
            "bad_secret",
            f"A secret has at least {LEAST} characters: a shorter one cannot be hidden in what scripts write.",
            status=422,
        )
    if size > MAX_VALUE:
        raise ServiceError("bad_secret", f"A secret has at most {MAX_VALUE >> 10} KiB.", status=422)
    if "\0" in value:
        raise ServiceError("bad_secret", "A secret is text; this one holds a NUL character.", status=422)
    return value


def _info(name: str, secret: Secret, scripts: list[str]) -> SecretInfo:
    return SecretInfo(name=name, set_at=secret.set_at, set_by=secret.set_by, scripts=scripts)
