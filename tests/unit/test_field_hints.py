"""What a field takes is said by its name, from the table of operations; no sentence sends anybody to the API."""

from __future__ import annotations

import pytest

from engine.api.errors import what_it_takes
from engine.registry import OPERATIONS
from engine.registry.git import COMMIT

BY_NAME = {operation.name: operation for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("operation", "field", "hint"),
    [
        (
            "git.show",
            "commit",
            f"commit takes text, 1 to 200 long: {COMMIT}",
        ),
        ("git.log", "limit", "limit takes a whole number, 1 to 200."),
        ("runs.get", "run_id", "run_id takes a whole number, 0 or more."),
        ("git.stage", "paths[0]", "paths takes a list, 1 to 10000 long."),
        ("git.commit", "", None),
    ],
)  # fmt: skip
def test_what_a_field_takes(operation: str, field: str, hint: str | None) -> None:
    assert what_it_takes(BY_NAME[operation], field) == hint


def test_every_field_of_every_operation_can_be_explained_without_the_apis_words() -> None:
    for operation in OPERATIONS:
        for struct in (operation.params, operation.body):
            for name in getattr(struct, "__struct_fields__", ()):
                hint = what_it_takes(operation, name)
                assert hint is not None
                assert "/api" not in hint
                assert "NoneType" not in hint
