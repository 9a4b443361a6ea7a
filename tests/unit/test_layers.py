"""The walls between the rooms hold: as contracts, and as what a fresh interpreter really loads."""

from __future__ import annotations

import functools
import graphlib
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]


def loaded_by(*modules: str) -> set[str]:
    """Top-level and dotted names of everything that importing ``modules`` loads in a fresh interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def modules_in(package: str) -> list[str]:
    """Every module of a package's folder, by dotted name."""
    folder = ROOT.joinpath(*package.split("."))
    return sorted(f"{package}.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__")


def test_the_contracts_hold() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None, "import-linter is not installed beside this interpreter"
    done = subprocess.run([program, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def imports() -> grimp.ImportGraph:
    """Who imports whom; also in functions, and for types only."""
    return grimp.build_graph("engine", "store", "tui", cache_dir=None)


@pytest.mark.parametrize("root", ["engine", "store", "tui"])
def test_no_modules_import_each_other_in_a_circle(root: str) -> None:
    graph = imports()
    modules = {root} | graph.find_descendants(root)
    edges = {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}
    graphlib.TopologicalSorter(edges).prepare()  # its CycleError names one circle


def test_the_first_picture_loads_neither_client_nor_parts() -> None:
    loaded = loaded_by("tui.app")
    assert "tui.console.screen" in loaded
    assert not loaded & {"tui.console.parts", "tui.connection", "engine.client", "tui.screens.picker"}


def test_plots_are_loaded_by_the_screen_that_shows_them() -> None:
    loaded = loaded_by("tui.app", "tui.console.parts")
    assert "tui.screens.pool" in loaded
    assert not loaded & {"textual_plotext", "plotext", "tui.widgets.figures_pane"}


def test_the_command_line_loads_no_console_no_server_no_store() -> None:
    loaded = loaded_by("tui.cli", *modules_in("tui.commands"))
    assert "engine.client" in loaded
    heavy = {"textual", "rich", "starlette", "uvicorn", "git", "aiosqlite", "tree_sitter"}
    assert not loaded & heavy
    ours = {"engine.services", "engine.pool", "engine.api", "engine.library", "engine.daemon.main", "tui.app"}
    assert not loaded & ours
    # What finds a header in a text and what checks a chain of records; neither loads anything else of ours.
    of_the_store = {name for name in loaded if name.partition(".")[0] == "store"}
    assert of_the_store <= {
        "store", "store.audit_chain", "store.sizes", "store.frontmatter", "store.frontmatter.locate",
    }  # fmt: skip


def test_an_engine_of_this_host_is_reached_without_what_others_need() -> None:
    """httpx2 takes longer to load than a whole short command."""
    loaded = loaded_by("tui.cli", *modules_in("tui.commands"), "engine.client.shared")
    assert "engine.client.target" in loaded
    assert not loaded & {"httpx2", "httpcore2", "anyio", "engine.client.https", "engine.client.remote"}
    assert "httpx2" not in loaded_by("engine.client.remote")


def test_one_engine_is_asked_without_the_code_for_many() -> None:
    found = loaded_by("tui.commands.run", "tui.commands.following", "tui.commands.session")
    assert not found & {"engine.client.gateways", "engine.client.fleet", "tui.commands.fleet", "tempfile", "tomllib"}


def test_the_entry_point_alone_loads_no_client() -> None:
    """Help and usage errors do not wait for asyncio."""
    loaded = loaded_by("tui.cli")
    assert not loaded & {"asyncio", "h11", "engine.client", "engine.client.launch"}


def test_the_library_loads_no_console_and_no_server() -> None:
    loaded = loaded_by("engine.library")
    assert not loaded & {"textual", "rich", "tui", "starlette", "uvicorn", "click"}


@pytest.mark.parametrize("package", ["store"])
def test_the_store_loads_nothing_above_it(package: str) -> None:
    loaded = loaded_by(*modules_in(package))
    assert not {name for name in loaded if name.partition(".")[0] in ("engine", "tui")}


def test_the_worker_needs_only_the_standard_library() -> None:
    """Without site-packages there is nothing else that it could find."""
    modules = modules_in("engine.worker")
    assert modules, "engine.worker is empty"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = {name for name in done.stdout.split() if name.partition(".")[0] == "engine"}
    assert ours <= {"engine", "engine.worker", *modules}
