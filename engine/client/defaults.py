"""Calls about the bundle's scripts."""

from __future__ import annotations

from engine import registry
from engine.client.calls import Calls
from engine.models import DefaultDiff, DefaultScripts, DefaultsRequest


class DefaultCalls(Calls):
    """See what the bundle has, take or keep texts, restore."""

    async def default_scripts(self) -> DefaultScripts:
        return await self.call(registry.DEFAULTS_LIST, DefaultScripts)

    async def default_diff(self, path: str) -> DefaultDiff:
        """From the project's text of a default script to the bundle's."""
        return await self.call(registry.DEFAULTS_DIFF, DefaultDiff, registry.ScriptParams(path=path))

    async def decide_defaults(self, request: DefaultsRequest) -> DefaultScripts:
        """Raises ``EngineError`` with code ``changed`` when a text is not the one that was seen any more."""
        return await self.call(registry.DEFAULTS_DECIDE, DefaultScripts, body=request)

    async def restore_defaults(self) -> DefaultScripts:
        """Write those that are missing."""
        return await self.call(registry.DEFAULTS_RESTORE, DefaultScripts)
