"""What is made from the scripts' own API is up to date, and what stands in for it outside is like it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.sdk_reference import (
    HEADING,
    PAGE,
    ROOT,
    STUB,
    classes,
    instances,
    parsed,
    public_names,
    reference,
    stub,
)

STAND_IN = ROOT / "engine" / "foreign" / "gatewright.py"
OF_THE_ENGINE = {"assistant", "documents", "runs", "scripts", "secrets", "tags"}
AGAIN = "python tests/unit/sdk_reference.py writes it again"


def test_stub_and_reference_are_what_the_module_says() -> None:
    assert STUB.read_text("utf-8") == stub(), AGAIN
    assert HEADING + PAGE.read_text("utf-8").partition(HEADING)[2] == reference(), AGAIN
    ast.parse(stub())


def test_every_function_says_what_it_does() -> None:
    module = parsed("sdk.py")
    for kind in instances(module).values():
        for item in classes(module)[kind].body:
            if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                assert ast.get_docstring(item), item.name


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("GATEWRIGHT_STATE", str(tmp_path / "kept.json"))
    monkeypatch.setenv("GATEWRIGHT_PARAMS", '{"hours": 3}')
    (tmp_path / "trend.bin").write_bytes(b"abc")
    monkeypatch.setenv("GATEWRIGHT_BUFFERS", f'{{"data": "{tmp_path / "trend.bin"}"}}')
    monkeypatch.setattr(sys, "argv", ["pytest"])
    spec = importlib.util.spec_from_file_location("stand_in", STAND_IN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_the_names_and_takes_the_arguments_of_the_module(stand_in: ModuleType) -> None:
    module = parsed("sdk.py")
    kinds, objects = classes(module), instances(module)
    for name in public_names(module):
        assert name in OF_THE_ENGINE or hasattr(stand_in, name), name
    for name in objects.keys() - OF_THE_ENGINE:
        for item in kinds[objects[name]].body:
            if isinstance(item, ast.FunctionDef) and (not item.name.startswith("_") or item.name == "__call__"):
                ours = [each.arg for each in item.args.args if each.arg != "self"]
                theirs = inspect.signature(getattr(getattr(stand_in, name), item.name)).parameters.values()
                assert ours == [each.name for each in theirs if each.kind is not each.VAR_POSITIONAL], item.name


def test_state_and_parameters_work_and_the_engine_is_missed_with_a_sentence(stand_in: Any) -> None:
    state = stand_in.state
    assert stand_in.params == {"hours": 3}
    assert state.all() == {}
    state.set_all({"a": 1, "b": [2]}, remove=["c"])
    state.delete("b")
    assert state.update("n", lambda n: n + 1, 0) == 1
    assert (state.get("a"), state.get("b", "gone"), state.all()) == (1, "gone", {"a": 1, "n": 1})
    with pytest.raises(stand_in.Error, match=r"gatewright\.scripts\.list needs an engine") as caught:
        stand_in.scripts.list()
    assert caught.value.code == "unavailable"


def test_buffers_work_in_memory(stand_in: Any) -> None:
    buffers = stand_in.buffers
    assert (bytes(buffers["data"]), buffers["data"].readonly) == (b"abc", True)
    buffers.create("out", 3)[:] = buffers["data"]
    assert bytes(buffers["out"]) == b"abc"
    with pytest.raises(ValueError, match="there is a buffer 'out' already"):
        buffers.create("out", 1)
    buffers["of a test"] = memoryview(b"x")
    assert list(buffers) == ["data", "out", "of a test"]


SCRIPT = """\
# /// script
# [tool.gatewright]
# kind = "utility"
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# [tool.gatewright.params.name]
# type = "str"
# ///
import json
import gatewright
gatewright.log.info("%d hours", gatewright.params["hours"])
gatewright.progress(0.5)
gatewright.state.update("runs", lambda runs: runs + 1, 0)
table = gatewright.files["table"]
print(json.dumps([gatewright.params["hours"], gatewright.params["name"], gatewright.params["more"], list(table),
    table.name, gatewright.args, gatewright.state.all()]))
"""


def test_a_script_runs_outside_with_nothing_but_the_file(tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text(SCRIPT)
    (tmp_path / "gatewright.py").write_text(STAND_IN.read_text())
    (tmp_path / "t.csv").write_bytes(b"a\rx\nb")
    command = [sys.executable, "-S", "report.py", "-p", "name=7", "-p", "more=[1]", "-p", "table=@t.csv", "rest"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWRIGHT", "PYTHON"))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [24, "7", [1], ["a\rx\n", "b"], "t.csv", ["rest"], {"runs": 1}]
    assert done.stderr[9:] == "INFO    24 hours\n"
    assert json.loads((tmp_path / "report.state.json").read_text()) == {"runs": 1}


@pytest.mark.parametrize(("options", "file"), [((), STAND_IN), (("--stub",), STUB)])
def test_the_command_prints_it(options: tuple[str, ...], file: Path) -> None:
    command = [sys.executable, "-m", "tui.cli", "client", "python", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == file.read_text("utf-8")
    as_json = json.loads(subprocess.run([*command, "--json"], capture_output=True, timeout=60, check=True).stdout)
    assert as_json == {"name": file.name, "text": done.stdout}
