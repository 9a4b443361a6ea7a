"""The roles of accounts as the settings file has them, read again when it changes; the last good ones hold."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import asdict, fields
from pathlib import Path

from engine.config import AccessSection, ConfigError, Settings, section_name
from engine.services.access import Actor, Role
from engine.services.accounts import UnknownName, account, ask, group
from engine.services.audit import AuditService
from engine.services.callers import Callers
from engine.services.roles import AccountRoles

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the file: a stat(2) each."""

SETTLE = 0.2
"""Seconds for which the file must stay as it is before it is read: an editor may write it in two steps."""

AGAIN_EVERY = 30.0
"""Seconds until names that the host did not know are looked up again: its directory may not have been there yet."""

DIRECTORY_PATIENCE = 20.0
"""Seconds after which it is said that the directory of this host does not answer."""

START_PATIENCE = 1.0
"""The same while the engine starts."""

Signature = tuple[int, ...] | None
"""What stat(2) says of the file; None when there is none."""


class AccessPolicy:
    """Keeps ``callers`` told of the roles that ``file`` gives.

    Args:
        file: The project's settings file.
        access: What it said when the engine started.
        owner: Who may have written it, beside root.
        shared: The file is that of a shared project; what its members may do stands nowhere else.
        look_every: Seconds.
    """

    def __init__(
        self,
        file: Path,
        access: AccessSection,
        callers: Callers,
        audit: AuditService,
        owner: Actor,
        *,
        shared: bool = False,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._file = file
        self._callers = callers
        self._audit = audit
        self._owner = owner
        self._shared = shared
        self._no_roles: str | None = None
        self._look_every = look_every
        self._access = access
        self._wrong: str | None = None
        self._later: str | None = None
        self._seen: Signature = None
        self._started_with: Settings | None = None
        self._unknown_since: float | None = None
        self._resolving: tuple[AccessSection, asyncio.Task[AccountRoles]] | None = None

    @property
    def access(self) -> AccessSection:
        """The section as it counts now."""
        return self._access

    @property
    def problems(self) -> list[str]:
        """What is wrong with the file, and what of it does not count yet; a sentence each."""
        return [problem for problem in (self._wrong, self._no_roles, self._later) if problem is not None]

    async def start(self) -> None:
        """Give the accounts their roles. With an unknown name, only the owner and root have one until it is known."""
        self._seen, self._started_with = await asyncio.to_thread(self._first_look)
        await self._take(self._access, at_start=True)

    async def run(self) -> None:
        """Look at the file every second, until cancelled."""
        while True:
            await asyncio.sleep(self._look_every)
            try:
                await self.look()
            except Exception:  # a mistake of ours must not end the watch: roles that were taken away would stay
                log.exception("the settings file could not be looked at")

    async def look(self, *, again: bool = False) -> None:
        """Read the file again if it has changed, or if names were unknown the last time.

        Args:
            again: Read it whether or not it has changed: what this host calls an account or a group may have.
        """
        now = await asyncio.to_thread(_signature, self._file)
        if again:
            pass
        elif now == self._seen:
            if self._unknown_since is None or asyncio.get_running_loop().time() - self._unknown_since < AGAIN_EVERY:
                return
        else:
            await asyncio.sleep(SETTLE)
            if await asyncio.to_thread(_signature, self._file) != now:
                return  # it is being written: the next look has it
        self._seen = now
        try:
            settings = await asyncio.to_thread(Settings.load, self._file, {})
        except ConfigError as error:
            self._refuse(error.message)
            return
        self._compare(settings)
        await self._take(settings.access)

    async def _take(self, access: AccessSection, *, at_start: bool = False) -> None:
        self._unknown_since = None
        try:
            # An engine is ready soon, whatever its host's directory does.
            roles = await self._resolved(access, START_PATIENCE if at_start else DIRECTORY_PATIENCE)
        except (UnknownName, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            self._unknown_since = float("-inf") if late else asyncio.get_running_loop().time()
            why = "the directory of accounts does not answer" if late else str(error)
            self._refuse(f"{self._file}: [access] cannot be used: {why}.", at_start=at_start)
            return
        mended, self._wrong = self._wrong is not None, None
        changed = self._callers.use_roles(roles) or access != self._access
        self._access = access
        before, self._no_roles = self._no_roles, self._without_roles(roles)
        if changed or mended:
            self._audit.tell(self._engine, "engine", "access_policy", self._subject, **asdict(access))
        if self._no_roles is not None:
            if self._no_roles != before:
                log.warning("%s", self._no_roles)
        elif changed or mended:
            missing = "there is no %s: accounts other than the owner and root have no role"
            log.info("roles of accounts are as %s has them" if self._seen is not None else missing, self._file)

    @property
    def _engine(self) -> Actor:
        """The engine found the change; who made it, it cannot know."""
        return Actor("engine", self._owner.uid, Role.ADMIN)

    @property
    def _subject(self) -> str:
        """The file, and whose it is: that account or root has written it."""
        if self._seen is None:
            return f"{self._file}, which is missing"
        uid = self._seen[-1]
        names = {0: "root", self._owner.uid: self._owner.name}
        return f"{self._file} of {names.get(uid, f'uid {uid}')}" if len(self._seen) > 1 else str(self._file)

    def _without_roles(self, roles: AccountRoles) -> str | None:
        """Say that in a shared project no other account has a role."""
        if not self._shared or not roles.none:
            return None
        why = "names none under [access]" if self._seen is not None else "does not exist"
        return (
            f"No other account has a role in this shared project yet: {self._file} {why}. Root gives them there, "
            'such as: [access], and in the next line: operators = ["@GROUP"]'
        )

    async def _resolved(self, access: AccessSection, seconds: float) -> AccountRoles:
        """The roles, if the directory answers in time; the next call goes on waiting for the same answer."""
        if self._resolving is None or self._resolving[0] != access:
            task = asyncio.create_task(ask(lambda: resolved(access)), name="roles of accounts")
            self._resolving = access, task
        task = self._resolving[1]
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
        self._resolving = None
        return task.result()

    def _refuse(self, sentence: str, *, at_start: bool = False) -> None:
        keeps = "only the owner and root have a role" if at_start else "the roles of accounts stay as they were"
        problem = f"{sentence.rstrip('.')}; {keeps}."
        if self._wrong is not None and self._wrong.startswith(sentence.rstrip(".")):
            return  # said before
        self._wrong = problem
        log.warning("%s", problem)
        self._audit.tell(self._engine, "engine", "access_policy_refused", self._subject, problem=sentence)

    def _compare(self, settings: Settings) -> None:
        """Say which other sections have changed since the engine started."""
        before = self._started_with
        names = [each.name for each in fields(settings) if each.name != "access"]
        changed = [
            f"[{section_name(name)}]"
            for name in names
            if before is None or getattr(before, name) != getattr(settings, name)
        ]
        self._later = (
            f"{self._file} has changed under {', '.join(changed)}; that counts when the engine starts again."
            if changed
            else None
        )

    def _first_look(self) -> tuple[Signature, Settings | None]:
        seen = _signature(self._file)
        try:
            return seen, Settings.load(self._file, {})
        except ConfigError:  # an embedder's own settings count instead
            return seen, Settings()


def resolved(access: AccessSection) -> AccountRoles:
    """Return the roles by uid and gid. Blocks, for as long as the directory of this host takes.

    Raises:
        UnknownName: A name that this host does not know.
    """
    accounts: dict[int, Role] = {}
    groups: dict[int, Role] = {}
    names: dict[int, str] = {}
    by_role = (
        (Role.VIEWER, access.viewers),
        (Role.OPERATOR, access.operators),
        (Role.AUTHOR, access.authors),
        (Role.ADMIN, access.admins),
    )
    for role, listed in by_role:  # the highest comes last, and so it wins
        for name in listed:
            if name.startswith("@"):
                groups[group(name[1:])] = role
            else:
                uid = account(name)
                accounts[uid], names[uid] = role, name
    return AccountRoles(accounts=accounts, groups=groups, names=names, admins=access.admins)


def _signature(file: Path) -> Signature:
    try:
        info = os.stat(file)
    except OSError as error:
        return None if isinstance(error, FileNotFoundError) else (error.errno or 0,)
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_mode, info.st_uid
