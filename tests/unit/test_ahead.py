"""Which packages are imported ahead of a run, by its code."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import PolicySection
from engine.models.runs import Mode
from engine.pool.job import Environment, SharedModule
from engine.sandbox.modules import ImportPolicy
from engine.services.runs.ahead import Ahead

PLOT = ("matplotlib.backends.backend_agg", "matplotlib.pyplot", "numpy")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    for name in ("numpy", "pandas", "matplotlib"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    return Environment(Path("/usr/bin/python3"), tmp_path, tmp_path, "3.12.1")


def ahead(*allowed: str) -> Ahead:
    return Ahead(ImportPolicy(PolicySection(modules=allowed)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import pandas as pd", ("numpy", "pandas")),
        ("import csv, numpy.linalg", ("numpy",)),
        ("def main():\n    from numpy import array", ("numpy",)),
        ("from matplotlib import pyplot", PLOT),
        ("import pandas, matplotlib.pyplot as plt", (*PLOT, "pandas")),
        ("import my_pandas, tools.numpy", ()),
        ("# import pandas\nfrom pandasaurus import numpy", ()),
        ("pandas = numpy = 1", ()),
        ("", ()),
    ],
)
def test_they_are_found_by_import_statements(environment: Environment, text: str, expected: tuple[str, ...]) -> None:
    look = ahead("pandas", "numpy", "matplotlib")
    for _ in range(2):  # and remembered
        assert look.modules(text.encode(), (), Mode.RESTRICTED, environment) == expected


def test_shared_code_is_looked_at_too(environment: Environment) -> None:
    shared = SharedModule("lib.frames", text=b"import pandas")
    assert ahead().modules(b"import lib.frames", (shared,), Mode.ADMIN, environment) == ("numpy", "pandas")


def test_what_a_run_may_not_import_is_not_imported_for_it(environment: Environment) -> None:
    look = ahead("numpy")
    assert look.modules(b"import pandas, numpy", (), Mode.RESTRICTED, environment) == ("numpy",)
    approved = Environment(
        Path("/usr/bin/python3"), environment.prefix, environment.packages, "3.12.1", "own", ("pandas",)
    )
    assert look.modules(b"import pandas", (), Mode.RESTRICTED, approved) == ("numpy", "pandas")


def test_what_is_not_installed_is_left_out(environment: Environment) -> None:
    (environment.packages / "pandas" / "__init__.py").unlink()
    assert ahead().modules(b"import pandas", (), Mode.ADMIN, environment) == ()
