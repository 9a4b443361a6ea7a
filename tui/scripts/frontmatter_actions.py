"""Changes a script's frontmatter from the console: opens the form on it, and writes what was entered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.checks import CheckRequest
from engine.models.scripts import ScriptInfo, ScriptKeys, SetKeysRequest
from engine.registry.scripts import SCRIPTS_CHECK, SCRIPTS_JUDGE, SCRIPTS_KEYS, SCRIPTS_LOAD, SCRIPTS_SET, ScriptParams
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript, safe_to_write
from tui.host import Host
from tui.screens.frontmatter.fields import FilledMeta
from tui.screens.frontmatter.form import MACRO, UTILITY, MetaFormScreen

CHECK_WITHIN = 1.5
"""Seconds that the form waits for the names of the script's functions."""


class FrontmatterActions:
    """One form at a time.

    Args:
        host: Shows the form and sentences.
        connection: May be away; then the user is told.
        open_script: Shows the new text if the script is open.
    """

    def __init__(self, host: Host, connection: EngineConnection, open_script: OpenScript) -> None:
        self._host = host
        self._connection = connection
        self._open_script = open_script

    async def edit(self, path: str) -> None:
        """Show the form until what was entered is written or given up."""
        if not await safe_to_write(self._host, self._open_script, path, "open its header"):
            return
        functions = await self._functions(path)
        keys, filled, problem = await self._readable(path), None, ""
        while keys is not None:
            form = MetaFormScreen(keys, partial(self._judge, path), functions, filled, problem)
            filled = await self._host.push_screen_wait(form)
            if filled is None:
                return
            try:
                info = await self._write(path, filled, keys.sha256)
            except EngineUnreachable as error:
                problem = error.message
            except EngineError as error:
                keys, problem = await self._after_refusal(error, keys)
            else:
                await self._written(info, filled)
                return

    async def _after_refusal(self, error: EngineError, keys: ScriptKeys) -> tuple[ScriptKeys, str]:
        """What the form is to show next, and why: of a changed file, what it says now."""
        if error.code != "conflict":
            return keys, error.message
        sentence = "changed meanwhile, so nothing was written."
        try:
            now = await self._connection.client.call(SCRIPTS_KEYS, ScriptParams(path=keys.path))
        except (EngineError, EngineUnreachable) as again:
            return keys, f"{keys.path} {sentence} {again.message}"
        if not now.readable:
            return keys, f"{keys.path} {sentence} {now.problem}"
        return now, f"{keys.path} {sentence} Here are its values now, with your changes."

    async def turn_macro(self, path: str) -> None:
        """Set a script as macro, or as utility again."""
        if not await safe_to_write(self._host, self._open_script, path, "set its kind"):
            return
        keys = await self._readable(path)
        if keys is not None:
            kind = UTILITY if keys.values.get("kind") == MACRO else MACRO
            changes = FilledMeta({"kind": kind}, {}, ())
            await self._written(await self._write(path, changes, keys.sha256), changes)

    async def _readable(self, path: str) -> ScriptKeys | None:
        """What the script says; None, and the user told, if that cannot be read."""
        keys = await self._connection.client.call(SCRIPTS_KEYS, ScriptParams(path=path))
        if keys.readable:
            return keys
        self._host.notify_error(f"{keys.problem} Put that right in the script's text first.")
        return None

    async def _functions(self, path: str) -> tuple[str, ...]:
        """What the script defines, as far as that can be told soon."""
        client = self._connection.client
        try:
            async with asyncio.timeout(CHECK_WITHIN):
                loaded = await client.call(SCRIPTS_LOAD, ScriptParams(path=path))
                report = await client.call(SCRIPTS_CHECK, body=CheckRequest(text=loaded.text, path=path))
        except (EngineError, TimeoutError):
            return ()
        return tuple(function.name for function in report.functions)

    async def _judge(self, path: str, changes: Mapping[str, Any]) -> Mapping[str, str]:
        request = SetKeysRequest(changes=dict(changes))
        return (await self._connection.client.call(SCRIPTS_JUDGE, ScriptParams(path=path), request)).problems

    async def _write(self, path: str, filled: FilledMeta, base: str) -> ScriptInfo:
        token = self._open_script.own_edits.token(path)
        request = SetKeysRequest(changes=dict(filled.changes), base_sha256=base, own_edits=token)
        return await self._connection.client.call(SCRIPTS_SET, ScriptParams(path=path), request)

    async def _written(self, info: ScriptInfo, filled: FilledMeta) -> None:
        await self._open_script.renewed(info.path)
        approval = "; it needs an approval now" if info.needs_approval else ""
        what = f"{info.path} is a {info.kind} now" if set(filled.changes) == {"kind"} else f"wrote {_named(filled)}"
        self._host.notify(what + approval)


def _named(filled: FilledMeta) -> str:
    names = list(filled.changes)
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} keys"
