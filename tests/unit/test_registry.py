"""The table of operations: what client, API and OpenAPI all read, and what methods carry out."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine import registry
from engine.api.compat.table import COMPAT_OPERATIONS
from engine.models.engine import StopRequest
from engine.registry import OPERATIONS
from engine.registry.operation import ANSWER_TIMEOUT, Operation
from engine.registry.runs import RUNS_LIST, RUNS_START, RunListParams, RunParams, StartParams
from engine.registry.scripts import SCRIPTS_LOAD, ScriptParams
from engine.services.access import Actor, Role, ServiceError
from engine.services.operations import Request, UnboundOperation, bind, complete, implements


def test_names_and_places_are_unique() -> None:
    assert len({op.name for op in OPERATIONS}) == len(OPERATIONS)
    assert len({(op.method, op.path) for op in OPERATIONS}) == len(OPERATIONS)


def test_the_table_is_complete() -> None:
    modules = [
        importlib.import_module(f"engine.registry.{each.name}") for each in pkgutil.iter_modules(registry.__path__)
    ]
    declared = {value for module in modules for value in vars(module).values() if isinstance(value, Operation)}
    assert declared == set(OPERATIONS)


def implementations() -> Iterator[tuple[type, Any]]:
    """Classes of the engine and their methods that carry out operations."""
    for package in ("engine.services", "engine.api"):
        for each in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            for kind in vars(importlib.import_module(each.name)).values():
                if isinstance(kind, type) and kind.__module__ == each.name:
                    yield from ((kind, value) for value in vars(kind).values() if hasattr(value, "operation"))


def test_every_operation_has_one_method_and_it_returns_what_the_row_says() -> None:
    methods = list(implementations())
    served = (*OPERATIONS, *COMPAT_OPERATIONS)
    assert sorted(method.operation.name for _, method in methods) == sorted(op.name for op in served)
    streams = {"AsyncIterator[RunItem]", "EventStream", "Text", "bytes | memoryview", "msgspec.Raw"}
    for kind, method in methods:
        answer = inspect.get_annotations(method)["return"]
        assert answer in {method.operation.answer.__name__, *streams}, f"{kind.__name__}.{method.__name__}: {answer}"


def test_every_role_exists_and_every_path_field_is_a_parameter() -> None:
    for op in (*OPERATIONS, *COMPAT_OPERATIONS):
        assert Role[op.role.upper()].name.lower() == op.role
        assert op.path_names <= {field.name for field in msgspec.structs.fields(op.params)}


def test_targets_are_escaped() -> None:
    load = SCRIPTS_LOAD.target(ScriptParams(path="a b/%2e?#ü.py"))
    assert load == "/api/v1/scripts/text/a%20b/%252e%3F%23%C3%BC.py"
    listed = RUNS_LIST.target(RunListParams(limit=3, name="a&b=c d"))
    assert listed == "/api/v1/runs?limit=3&name=a%26b%3Dc%20d"
    assert RUNS_LIST.target(RunListParams()) == "/api/v1/runs"
    assert RUNS_START.target(StartParams(follow=True)) == "/api/v1/runs?follow=true"


PLAY = Operation("toys.play", "POST", "/toys/{run_id}", str, "author", "Play with a toy; it may break", RunParams)
VIC = Actor(name="vic", uid=1, role=Role.VIEWER)
ADA = Actor(name="ada", uid=2, role=Role.AUTHOR)


class Toys:
    @implements(PLAY)
    def play(self, run_id: int, actor: Actor) -> str:
        return f"{actor.name} plays with {run_id}"


def test_a_method_gets_what_it_takes_by_name() -> None:
    [play] = complete([PLAY], bind([Toys(), "no part"]))
    assert play(Request(actor=ADA, source="rest", params=RunParams(run_id=3))) == "ada plays with 3"


def test_whoever_calls_a_method_needs_the_role_of_its_row() -> None:
    with pytest.raises(ServiceError, match=r"^vic may not play with a toy: that needs the role author\.$"):
        Toys().play(3, VIC)
    with pytest.raises(ServiceError, match="vic may not"):
        Toys().play(3, actor=VIC)
    assert Toys().play(3, ADA) == "ada plays with 3"


def test_a_row_without_a_method_or_with_two_and_a_method_without_a_row_are_found_at_the_start() -> None:
    with pytest.raises(UnboundOperation, match=r"No method carries out toys\.play"):
        complete([PLAY], bind([]))
    with pytest.raises(UnboundOperation, match=r"Two methods carry out toys\.play"):
        bind([Toys(), Toys()])
    with pytest.raises(UnboundOperation, match=r"The table does not have toys\.play"):
        complete([], bind([Toys()]))


def test_a_method_that_cannot_get_an_argument_or_ignores_one_is_found_at_the_start() -> None:
    class Asks:
        @implements(PLAY)
        def play(self, run_id: int, actor: Actor, colour: str = "red") -> str:
            return colour

    class Ignores:
        @implements(PLAY)
        def play(self, actor: Actor) -> str:
            return ""

    class IgnoresBody:
        @implements(Operation("toys.stop", "POST", "/toys", str, "admin", "Stop toys", body=StopRequest))
        def stop(self, actor: Actor) -> str:
            return ""

    with pytest.raises(UnboundOperation, match="argument colour"):
        bind([Asks()])
    with pytest.raises(UnboundOperation, match="ignores run_id"):
        bind([Ignores()])
    with pytest.raises(UnboundOperation, match="ignores force"):
        bind([IgnoresBody()])


def test_a_method_for_some_roles_only_is_told_who_calls_it() -> None:
    class Forgets:
        @implements(PLAY)
        def play(self, run_id: int) -> str:
            return str(run_id)

    with pytest.raises(UnboundOperation, match="must take the actor"):
        bind([Forgets()])
    with pytest.raises(TypeError, match="must be told who calls it"):
        Toys().play(3)  # type: ignore[call-arg]


ABOVE_VIEWER = {
    "operator": (
        "assistant.ask assistant.classify assistant.explain assistant.summarize buffers.create render.begin "
        "render.documents render.end render.reads runs.cancel runs.progress runs.replay runs.start state.clear "
        "state.get state.set"
    ),
    "author": (
        "assistant.propose defaults.decide defaults.restore documents.delete documents.deleted documents.history "
        "documents.rename documents.restore documents.save documents.version git.author git.author.set git.commit "
        "git.diff git.stage git.unstage macros.preview packages.plan packages.search "
        "scripts.delete scripts.deleted scripts.duplicate "
        "scripts.history scripts.rename scripts.restore scripts.save scripts.set scripts.version sync.apply "
        "sync.rebuild tasks.cancel"
    ),
    "admin": (
        "audit.list audit.verify backup engine.stop environments.create environments.remove evidence git.trust "
        "packages.bundle packages.install packages.install_bundle packages.uninstall packages.upgrade "
        "permissions.approve permissions.begin_edits permissions.end_edits permissions.refuse "
        "permissions.renew_edits pool.resize pool.restart python.add python.remove python.use retention.prune "
        "secrets.delete secrets.list secrets.set tokens.create tokens.list tokens.revoke"
    ),
}
PATIENT = {
    "assistant.ask", "assistant.classify", "assistant.explain", "assistant.propose", "assistant.summarize",
    "audit.verify", "backup", "environments.create", "packages.bundle", "packages.install", "packages.install_bundle",
    "packages.plan", "packages.uninstall", "packages.upgrade", "permissions.approve", "permissions.review",
    "python.use", "render.begin", "render.documents", "render.reads", "retention.prune", "runs.buffer", "runs.file",
    "evidence", "sync.apply", "sync.diff", "sync.rebuild",
}  # fmt: skip


def test_a_role_does_not_change_by_a_slip_of_the_pen() -> None:
    roles = {name: role for role, names in ABOVE_VIEWER.items() for name in names.split()}
    assert {op.name: op.role for op in OPERATIONS if op.role != "viewer"} == roles


def test_clients_wait_longer_for_what_takes_long_and_for_nothing_else() -> None:
    assert {op.name for op in OPERATIONS if op.patience > ANSWER_TIMEOUT} == PATIENT
