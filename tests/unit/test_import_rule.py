"""The import rule: what each mode takes, the sentences that refuse, and that only a script's own imports are judged."""

from __future__ import annotations

import builtins
import json
import os.path
import shutil
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from standard_modules import IN_RESTRICTED, REFUSED, REFUSED_PARTS

from engine.config import PolicySection
from engine.models.runs import Mode
from engine.pool.settings import NO_ADMIN
from engine.sandbox.modules import ImportPolicy
from engine.services.access import ServiceError
from engine.services.runs.modes import Modes
from engine.worker import imports
from engine.worker.imports import (
    BLOCKED,
    CLASSIC,
    CLASSIC_MODULES,
    GONE,
    INSTALLED,
    MISSING,
    NETWORK_PACKAGES,
    OUTSIDE,
    PRACTICAL,
    PRESETS,
    RESERVED,
    STANDARD,
    TWINS,
    ImportDenied,
    ImportRule,
    guarded_import,
)

FOLDER = Path(imports.__file__).parent

TWO_FACED = """
class Name(str):
    def partition(self, _): return ("json", "", "")
    def __str__(self): return "json"
    def __eq__(self, other): return True
    __hash__ = str.__hash__
__import__(Name("os"))
"""


def rule(mode: str = "RESTRICTED", allowed: str = "", lifted: str = "", preset: str = "default") -> ImportRule:
    return ImportRule(mode, frozenset(allowed.split()), frozenset(lifted.split()), preset)


def run(code: str, judge: ImportRule) -> dict[str, Any]:
    """Run ``code`` as a script whose imports ``judge`` judges; its globals."""
    own = ModuleType("builtins")
    own.__dict__.update(builtins.__dict__)
    own.__dict__["__import__"] = guarded_import(builtins.__import__, judge)
    script: dict[str, Any] = {"__builtins__": own, "__name__": "__main__"}
    exec(code, script)
    return script


# -- what may be imported ------------------------------------------------------------------------------------------


def test_restricted_takes_the_standard_library() -> None:
    for name in IN_RESTRICTED & sys.stdlib_module_names:
        assert rule().denial(name) is None
        assert rule().denial(f"{name}.part") is None


@pytest.mark.parametrize(
    "name",
    [
        "gatewright", "__future__", "__main__", "collections.abc", "os.path", "http", "http.cookies", "urllib",
        "urllib.parse", "urllib.error", "urllib.robotparser", "wsgiref.util", "concurrent.futures",
        "asyncio.subprocess", "logging.handlers", "xml.etree.ElementTree", "importlib.metadata",
    ],
)  # fmt: skip
def test_restricted_takes_these_too(name: str) -> None:
    assert rule().denial(name) is None


def test_restricted_refuses_what_reaches_outside_and_says_what_to_do() -> None:
    for name in (*(REFUSED & sys.stdlib_module_names), *REFUSED_PARTS, "os.getcwd"):
        sentence = rule().denial(name) or ""
        assert sentence.startswith(f"The module {name} may not be imported in RESTRICTED mode: ")
        assert sentence.endswith(".")


@pytest.mark.parametrize("version", ["", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_standard_module_is_decided_knowingly(version: str) -> None:
    """A new Python brings new modules: whoever sees this fail decides about them, and enters them in the table."""
    python = shutil.which(f"python{version}") if version else sys.executable
    code = (
        f"import json, sys; sys.path.insert(0, {str(FOLDER.parent)!r}); from worker.imports import *\n"
        "judge = ImportRule('RESTRICTED', frozenset(), frozenset())\n"
        "print(json.dumps({name: judge.denial(name) is None for name in STANDARD_NAMES}))"
    )
    done = subprocess.run([python or "python", "-I", "-c", code], capture_output=True, text=True, check=False)
    if python is None or done.returncode != 0:
        pytest.skip(f"there is no Python {version} here")
    judged = json.loads(done.stdout)
    assert {name for name, fine in judged.items() if fine} - IN_RESTRICTED == set()
    assert {name for name, fine in judged.items() if not fine} - REFUSED == set()


def test_the_lists_name_no_module_twice_and_none_that_is_not() -> None:
    assert not IN_RESTRICTED & REFUSED
    assert not set(OUTSIDE) & set(RESERVED)
    assert not set(TWINS) & (set(OUTSIDE) | set(RESERVED) | set(BLOCKED))
    assert set(TWINS.values()) <= set(OUTSIDE) | set(RESERVED) | set(BLOCKED)
    assert {name.partition(".")[0] for name in OUTSIDE} - sys.stdlib_module_names <= set(GONE)
    assert not set(GONE) - IN_RESTRICTED - REFUSED
    assert set(NETWORK_PACKAGES).isdisjoint(sys.stdlib_module_names)


def test_standard_modules_that_are_allowed_can_be_imported_and_are_no_twins_of_refused_ones() -> None:
    """What only a private name differs in is refused, too: ``_socket`` is ``socket``."""
    for name in IN_RESTRICTED:
        assert name.lstrip("_") not in REFUSED, name


def test_admin_takes_everything_that_is_not_blocked() -> None:
    blocked = {*BLOCKED, *(twin for twin, name in TWINS.items() if name in BLOCKED)}
    for name in (
        *(sys.stdlib_module_names - blocked),
        "concurrent.futures",
        "pandas",
        "anything.installed",
        "gatewright",
    ):
        assert rule("ADMIN").denial(name) is None


@pytest.mark.parametrize("name", [*BLOCKED, "_thread", "_threading_local", "_ctypes", "ctypes.util", "threading.local"])
@pytest.mark.parametrize("mode", ["ADMIN", "RESTRICTED"])
@pytest.mark.parametrize("preset", ["default", "classic"])
def test_the_blocked_list_holds_in_both_modes(mode: str, name: str, preset: str) -> None:
    sentence = rule(mode, allowed=TWINS.get(name, name), preset=preset).denial(name, origin=INSTALLED)
    assert sentence is not None
    assert f"in {mode} mode" in sentence
    assert "policy.lifted" in sentence
    assert "policy.modules" not in sentence


def test_the_classic_list_is_what_it_was() -> None:
    judge = rule(preset=CLASSIC)
    for name in (*CLASSIC_MODULES, "gatewright", "collections.abc"):
        assert judge.denial(name) is None
    for name in sys.stdlib_module_names - set(CLASSIC_MODULES) - {"__future__"} | {"os.path", "jsonx", "pandas"}:
        assert judge.denial(name) is not None
    assert 'policy.preset = "classic"' in (judge.denial("csv") or "")
    assert rule(preset=CLASSIC, allowed="csv").denial("csv") is None


def test_the_practical_preset_adds_os_and_threading() -> None:
    judge = rule(preset=PRACTICAL)
    for name in ("os", "os.path", "posix", "threading", "_thread", "csv"):
        assert judge.denial(name) is None
    for name in ("subprocess", "socket", "ctypes", "multiprocessing", "pandas", "telnetlib"):
        assert judge.denial(name) is not None
    assert rule("ADMIN", preset=PRACTICAL).denial("threading") is None
    assert rule("ADMIN", preset=PRACTICAL).denial("ctypes") is not None


def test_the_settings_know_the_presets() -> None:
    assert typing.get_args(typing.get_type_hints(PolicySection)["preset"]) == PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_no_name_at_all_is_left_to_python(preset: str) -> None:
    assert rule(preset=preset).denial("") is None


# -- sentences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge", "name", "origin", "words"),
    [
        (rule(), "os", STANDARD, ["pathlib", "shutil", 'policy.preset = "practical"']),
        (rule(), "subprocess", STANDARD, ["no processes", "ADMIN mode"]),
        (rule(), "socket", STANDARD, ["no network", "ADMIN mode"]),
        (rule(), "requests", INSTALLED, ["no network", "ADMIN mode"]),
        (rule(), "requests", MISSING, ["not installed", "ADMIN mode"]),
        (rule(), "plantlib", INSTALLED, ["ADMIN mode", "policy.modules"]),
        (rule(), "plantlib", MISSING, ["The module plantlib is not installed for scripts here", "policy.modules"]),
        (rule(), "threading", STANDARD, ["concurrent.futures", "asyncio", "policy.lifted", '"practical"']),
        (rule("ADMIN"), "threading", STANDARD, ["policy.lifted", '"practical"']),
        (rule(preset=CLASSIC), "threading", STANDARD, ["policy.lifted and policy.modules"]),
        (rule(), "ctypes", STANDARD, ["struct", "policy.lifted and policy.modules"]),
        (rule(lifted="ctypes"), "ctypes", STANDARD, ["ADMIN mode"]),
        (rule("ADMIN"), "ctypes", STANDARD, ["ADMIN mode", "policy.lifted"]),
        (rule(), "paramiko", INSTALLED, ["no network", "policy.lifted"]),
        (rule("ADMIN"), "paramiko", MISSING, ["not installed", "policy.lifted"]),
        (rule(), "cgi", MISSING, ["left the standard library with Python 3.13", "not installed"]),
        (rule(), "multiprocessing", STANDARD, ["ThreadPoolExecutor"]),
    ],
)
def test_a_refusal_names_what_would_help(judge: ImportRule, name: str, origin: str, words: list[str]) -> None:
    sentence = judge.denial(name, origin=origin)
    assert sentence is not None
    assert all(word in sentence for word in words), sentence
    assert sentence.count(". ") == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_no_standard_module_is_refused_with_a_condition_that_holds_anyhow(preset: str) -> None:
    for mode in ("RESTRICTED", "ADMIN"):
        judge = rule(mode, preset=preset)
        for name in (*sys.stdlib_module_names, *REFUSED_PARTS):
            assert "installed" not in (judge.denial(name) or "").replace("installs", "")


def test_what_a_package_needs_depends_on_whether_it_is_there() -> None:
    assert "is not installed for scripts here" in (rule().denial("no_such_package") or "")
    assert "is not installed" not in (rule().denial("pytest") or "")


# -- single names --------------------------------------------------------------------------------------------------


def test_the_administrator_allows_and_lifts_single_names() -> None:
    assert rule(allowed="pandas").denial("pandas.io.json") is None
    assert rule("ADMIN", lifted="threading").denial("threading") is None
    assert rule("ADMIN", lifted="threading").denial("_thread") is None
    assert rule("ADMIN", lifted="threading").denial("ctypes") is not None
    assert rule(lifted="threading").denial("threading") is None
    assert rule(allowed="ctypes", lifted="ctypes").denial("_ctypes") is None
    assert rule(allowed="socket").denial("_socket") is None
    assert rule(allowed="socket").denial("ssl") is not None
    assert rule(allowed="http").denial("http.client") is None
    assert rule("ADMIN", lifted="ctypes.util").denial("ctypes.util") is None
    assert rule("ADMIN", lifted="ctypes.util").denial("ctypes") is not None


def test_a_dotted_entry_covers_no_more_than_it_says() -> None:
    judge = rule(allowed="os.path xml.etree http.client", preset=CLASSIC)
    for name in ("os.path", "xml.etree", "xml.etree.ElementTree", "http.client"):
        assert judge.denial(name) is None
    for name in ("os", "os.pathx", "xml", "xml.dom", "http", "http.server"):
        assert judge.denial(name) is not None


@pytest.mark.parametrize(
    ("judge", "name", "parts", "fine"),
    [
        (rule(), "os", ("path",), True),
        (rule(), "os", ("path", "getcwd"), False),
        (rule(), "os", ("*",), False),
        (rule(), "os.path", ("join", "os"), True),
        (rule(), "http", ("HTTPStatus",), True),
        (rule(), "http", ("HTTPStatus", "client"), False),
        (rule(), "urllib", ("parse",), True),
        (rule(), "urllib", ("request",), False),
        (rule(), "wsgiref", ("simple_server",), False),
        (rule(allowed="http"), "http", ("client",), True),
        (rule(allowed="http.client"), "http", ("client",), True),
        (rule(allowed="http.client"), "http", ("client", "server"), False),
        (rule(allowed="xml.etree", preset=CLASSIC), "xml", ("etree",), True),
        (rule(allowed="xml.etree", preset=CLASSIC), "xml", ("dom",), False),
        (rule("ADMIN"), "http", ("client",), True),
    ],
)
def test_parts_are_judged_by_their_own_names(judge: ImportRule, name: str, parts: tuple[str, ...], fine: bool) -> None:
    assert (judge.denial(name, parts) is None) is fine


def test_names_of_others_cannot_blow_up_a_sentence() -> None:
    for name in ("x" * 10_000_000, "a\x1b[2J\nb", "\ud800", "."):
        sentence = rule().denial(name)
        assert sentence is not None
        assert len(sentence) < 500
        assert sentence.isprintable()


def test_a_script_imports_what_it_may_in_every_spelling() -> None:
    script = run(
        "from __future__ import annotations\nimport json, collections.abc as abc\nfrom json import dumps\n"
        "from datetime import *\nprofile = 3\nphotos = []\nphotos.append(1)\n# import os later\n"
        "result = (json.dumps([1]), dumps, abc.Mapping, timedelta)",
        rule(),
    )
    assert script["result"][0] == "[1]"


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import json, os",
        "from os import getcwd",
        "from os import path, getcwd",
        "from os import *",
        "def f():\n    import os\nf()",
        "__import__('os')",
        "__import__(name='os')",
        "__import__('os', fromlist=('path', 'getcwd'))",
        TWO_FACED,
    ],
)
def test_a_script_is_refused_in_every_spelling(code: str) -> None:
    with pytest.raises(ImportDenied, match="The module os") as refusal:
        run(code, rule())
    assert refusal.value.name in ("os", "os.path")


@pytest.mark.parametrize("code", ["from http import client", "from urllib import parse, request", "import http.server"])
def test_a_refused_part_is_refused_in_every_spelling(code: str) -> None:
    with pytest.raises(ImportDenied, match="no network"):
        run(code, rule())


@pytest.mark.parametrize(
    "code",
    [
        "import os.path\nresult = os.path",
        "import os.path as path\nresult = path",
        "from os import path\nresult = path",
        "from os.path import join, os as unused\nresult = __import__('sys').modules['os.path']",
        "result = __import__('os', fromlist=('path',)).path",
        "import os.path\nimport os.path\nresult = os.path if not hasattr(os, 'getcwd') else None",
    ],
)
def test_os_path_may_be_imported_by_itself(code: str) -> None:
    assert run(code, rule())["result"] is os.path


def test_import_os_path_does_not_hand_out_os_and_says_so() -> None:
    with pytest.raises(AttributeError, match=r"'getcwd' here: import os\.path gives os\.path alone .* pathlib"):
        run("import os.path\nos.getcwd()", rule())
    for judge in (rule(allowed="os"), rule(preset=PRACTICAL), rule("ADMIN")):
        assert run("import os.path\nresult = os.getpid()", judge)["result"]


@pytest.mark.parametrize("error", ["ImportError", "ModuleNotFoundError"])
def test_a_script_that_can_do_without_a_module_does(error: str) -> None:
    code = f"try:\n    import numpy\nexcept {error}:\n    result = 'without'"
    assert run(code, rule())["result"] == "without"


def test_a_script_can_expect_the_refusal() -> None:
    assert run("try:\n    import os\nexcept ImportError:\n    result = 'without'", rule())["result"] == "without"


def test_what_other_modules_import_is_never_judged() -> None:
    sys.modules.pop("calendar", None)
    assert run("import calendar, statistics, random\nresult = random._os.getpid()", rule())["result"]


@pytest.mark.parametrize(
    ("code", "error"),
    [("import json.nothing", ModuleNotFoundError), ("__import__(5)", TypeError),
     ("__import__('json', level=-1)", ValueError)],
)  # fmt: skip
def test_other_failures_are_the_import_s_own(code: str, error: type[Exception]) -> None:
    with pytest.raises(error) as failure:
        run(code, rule())
    assert not isinstance(failure.value, ImportDenied)


def test_the_engine_says_the_same_as_the_child() -> None:
    policy = ImportPolicy(PolicySection(modules=("pandas",), lifted=("threading",)))
    assert policy.verdict("pandas", Mode.RESTRICTED) is None
    assert policy.verdict("threading", Mode.ADMIN) is None
    assert policy.verdict("os", Mode.RESTRICTED) == rule(allowed="pandas", lifted="threading").denial("os")
    assert policy.verdict("os", Mode.RESTRICTED, ["path"]) is None
    assert "not installed" not in (policy.verdict("only_there", Mode.RESTRICTED) or "")
    assert "not installed" in (policy.verdict("only_there", Mode.RESTRICTED, origin=MISSING) or "")
    assert ImportPolicy(PolicySection(preset="practical")).verdict("os", Mode.RESTRICTED) is None
    assert ImportPolicy(PolicySection(preset="classic")).verdict("csv", Mode.RESTRICTED) is not None


def test_what_is_imported_ahead_is_judged_by_the_same_rule_and_runs_no_program() -> None:
    modes = Modes(NO_ADMIN, NO_ADMIN, ImportPolicy(PolicySection(modules=("pandas",))))
    assert modes.preloads(["csv", "pandas.io"], Mode.RESTRICTED) == ("csv", "pandas.io")
    for name, said in (("socket", "no network"), ("numpy", "policy.modules"), ("unittest.__main__", "is a program")):
        with pytest.raises(ServiceError, match=said) as refusal:
            modes.preloads([name], Mode.RESTRICTED)
        assert refusal.value.code == "bad_preload"


def test_the_rule_costs_a_slot_no_further_module() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); before = set(sys.modules); import imports; "
        "print(set(sys.modules) - before - {'imports', '__future__', 'types'})"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_c_code_imports_for_a_library_is_not_judged() -> None:
    """``datetime.strptime`` imports ``_strptime`` by the globals of the script that calls it (PyImport_Import)."""
    guarded = guarded_import(__import__, rule(preset=CLASSIC))
    namespace = {"__builtins__": {**vars(builtins), "__import__": guarded}}
    exec("from datetime import datetime\nyear = datetime.strptime('2020', '%Y').year", namespace)
    assert namespace["year"] == 2020  # type: ignore[comparison-overlap]
    with pytest.raises(ImportDenied):
        exec("import _strptime", namespace)
    with pytest.raises(ImportDenied):
        exec("__import__('os', {}, {}, [])", namespace)
