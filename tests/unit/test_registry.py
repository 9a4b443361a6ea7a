"""The table of operations: what client, API and OpenAPI all read."""

from __future__ import annotations

import msgspec

from engine import registry
from engine.api.app import HANDLERS
from engine.registry import OPERATIONS
from engine.services.access import Role


def test_names_and_places_are_unique() -> None:
    assert len({op.name for op in OPERATIONS}) == len(OPERATIONS)
    assert len({(op.method, op.path) for op in OPERATIONS}) == len(OPERATIONS)


def test_the_table_is_complete() -> None:
    declared = {value for value in vars(registry).values() if isinstance(value, registry.Operation)}
    assert declared == set(OPERATIONS) == set(HANDLERS)


def test_every_role_exists_and_every_path_field_is_a_parameter() -> None:
    for op in OPERATIONS:
        assert Role[op.role.upper()].name.lower() == op.role
        assert op.path_names <= {field.name for field in msgspec.structs.fields(op.params)}


def test_targets_are_escaped() -> None:
    load = registry.SCRIPTS_LOAD
    assert load.target(registry.ScriptParams(path="a b/%2e?#ü.py")) == "/api/v1/scripts/text/a%20b/%252e%3F%23%C3%BC.py"
    listed = registry.RUNS_LIST.target(registry.RunListParams(limit=3, name="a&b=c d"))
    assert listed == "/api/v1/runs?limit=3&name=a%26b%3Dc%20d"
    assert registry.RUNS_LIST.target(registry.RunListParams()) == "/api/v1/runs"
    assert registry.RUNS_START.target(registry.StartParams(follow=True)) == "/api/v1/runs?follow=true"
