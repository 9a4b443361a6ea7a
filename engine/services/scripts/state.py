"""What scripts keep from one run to the next: small values by key, durable when a write has returned."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from engine.models.state import ScriptState, StateChanges, StateEntry
from engine.registry.state import STATE_CLEAR, STATE_GET, STATE_SET
from engine.services.access import FROM_RUNS, Actor, ServiceError, require_script
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck
from engine.services.operations import implements
from engine.services.scripts.service import ScriptService, refused
from store.errors import BadName, StoreError
from store.files.names import script_path
from store.sizes import describe_size
from store.state.script_state import ScriptStates, StateChange, StateChanged, StateFull, StateRow

MAX_KEY = 200
"""Characters of a key."""

MAX_KEYS = 1_000

MAX_STATE = 1 << 20
"""Bytes of all keys and values of one script."""


class StateService:
    """Implemented on ``store.state.script_state``."""

    def __init__(self, scripts: ScriptService, states: ScriptStates, space: SpaceCheck, audit: AuditService) -> None:
        self._scripts = scripts
        self._states = states
        self._space = space
        self._audit = audit

    @implements(STATE_GET)
    async def get(self, path: str, key: str | None, actor: Actor) -> ScriptState:
        """Return the values of a script, or the one of ``key``; raises ``no_script``."""
        script = await self._script(path, actor, exact=False)
        return await self._state(script, await self._states.rows(script, key))

    @implements(STATE_SET)
    async def set(self, path: str, request: StateChanges, actor: Actor, source: str) -> ScriptState:
        """Write values and remove keys, and return what was written; durable when this returns.

        Raises:
            ServiceError: ``no_script``, ``bad_state`` for a key or value that cannot be kept, ``conflict`` when a value
                is not the expected one, ``state_full``, ``not_recorded``. Nothing was changed.
        """
        script = await self._script(path, actor)
        change = StateChange(
            values={_key(key): _encoded(key, value) for key, value in request.values.items()},
            removed=_removed(request),
            expected=request.expected,
            at=time.time(),
            by=actor.name,
            most_bytes=MAX_STATE,
            most_keys=MAX_KEYS,
        )
        self._require_room(script, growing=bool(change.values))
        try:
            await self._states.change(script, change)
        except StateChanged as error:
            raise _conflict(script, error.key) from None
        except StateFull as error:
            raise _full(script, error) from None
        except StoreError as error:
            raise _not_kept(script, str(error), error.hint) from None
        if source != FROM_RUNS:
            self._audit.tell(actor, source, "state_set", script, keys=_named((*change.values, *change.removed)))
        return await self._state(script, [row for row in await self._states.rows(script) if row.key in change.values])

    @implements(STATE_CLEAR)
    async def clear(self, path: str, actor: Actor, source: str) -> ScriptState:
        """Remove every value of a script; returns what there was."""
        script = await self._script(path, actor)
        self._require_room(script, growing=False)
        had = await self._states.rows(script)
        try:
            await self._states.clear(script)
        except StoreError as error:
            raise _not_kept(script, str(error), error.hint) from None
        if source != FROM_RUNS:
            self._audit.tell(actor, source, "state_clear", script, keys=_named([row.key for row in had]))
        return await self._state(script, had)

    async def _state(self, script: str, rows: Sequence[StateRow]) -> ScriptState:
        entries = [
            StateEntry(
                key=row.key,
                value=json.loads(row.value),
                version=row.version,
                size=row.size,
                changed_at=row.changed_at,
                changed_by=row.changed_by,
            )
            for row in rows
        ]
        return ScriptState(path=script, entries=entries, size=await self._states.size(script), limit=MAX_STATE)

    async def _script(self, name: str, actor: Actor, *, exact: bool = True) -> str:
        """Return the path of a script, also of a deleted one that has left something."""
        try:
            return await self._scripts.resolve(name, exact=exact, actor=actor)
        except ServiceError as error:
            if error.code != "no_script":
                raise
            try:
                path = script_path(name)
            except BadName as bad:
                raise refused(bad) from None
            require_script(actor, path)
            if not await self._states.size(path):
                raise
            return path

    def _require_room(self, script: str, *, growing: bool) -> None:
        if (growing or self._space.read_only) and (short := self._space.short()) is not None:
            raise _not_kept(script, f"{short}.", self._space.hint)


def _key(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise ServiceError(
            "bad_state", f"{key[:40]!r} is no key: it takes 1 to {MAX_KEY} printable characters.", status=422
        )
    return key


def _encoded(key: str, value: object) -> str:
    """Return a value as it is kept; raises ``bad_state``."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else f"JSON cannot carry it ({error})"
        hint = "Keep texts, numbers, true and false, None, and lists and dicts of such."
        raise ServiceError("bad_state", f"The value of {key} cannot be kept: {why}.", hint=hint, status=422) from None
    return text


def _removed(request: StateChanges) -> list[str]:
    if both := next((key for key in request.remove if key in request.values), None):
        raise ServiceError("bad_state", f"{both[:40]!r} cannot be written and removed at once.", status=422)
    return request.remove


def _named(keys: Sequence[str]) -> str:
    """Return keys as a record names them, the first of many."""
    text = ", ".join(keys)
    return text if len(text) <= MAX_KEY else f"{text[:MAX_KEY]}… ({len(keys)} keys)"


def _conflict(script: str, key: str) -> ServiceError:
    sentence = f"{key[:40]!r} of {script} is not the value that was read: another run has changed it."
    return ServiceError("conflict", sentence, hint="Read it again, then write what follows from that.", status=409)


def _full(script: str, full: StateFull) -> ServiceError:
    if full.size > MAX_STATE:
        sentence = f"{script} would keep {describe_size(full.size)}, and may keep {describe_size(MAX_STATE)}."
    else:
        sentence = f"{script} would keep {full.keys:,} values, and may keep {MAX_KEYS:,}."
    hint = "Remove what is old; more than that belongs in a file that an administrator lets the script write."
    return ServiceError("state_full", f"{sentence} Nothing was changed.", hint=hint, status=422)


def _not_kept(script: str, why: str, hint: str | None) -> ServiceError:
    return ServiceError("not_recorded", f"The state of {script} stays as it is: {why}", hint=hint, status=507)
