"""The import rule: what each mode takes, the sentences that refuse, and that only a script's own imports are judged."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.config import PolicySection
from engine.models.runs import Mode
from engine.sandbox.modules import ImportPolicy
from engine.worker import imports
from engine.worker.imports import ADMIN_MODULES, REFUSED_MODULES, SAFE_MODULES, ImportDenied, ImportRule, guarded_import

TWO_FACED = """
class Name(str):
    def partition(self, _): return ("json", "", "")
    def __str__(self): return "json"
    def __eq__(self, other): return True
    __hash__ = str.__hash__
__import__(Name("os"))
"""


def rule(mode: str = "RESTRICTED", allowed: str = "", lifted: str = "") -> ImportRule:
    return ImportRule(mode, frozenset(allowed.split()), frozenset(lifted.split()))


def run(code: str, judge: ImportRule) -> dict[str, Any]:
    """Run ``code`` as a script whose imports ``judge`` judges; its globals."""
    own = ModuleType("builtins")
    own.__dict__.update(builtins.__dict__)
    own.__dict__["__import__"] = guarded_import(builtins.__import__, judge)
    script: dict[str, Any] = {"__builtins__": own, "__name__": "__main__"}
    exec(code, script)
    return script


@pytest.mark.parametrize("name", [*SAFE_MODULES, "gatewright", "__future__", "collections.abc", "json.decoder"])
def test_restricted_takes_the_safe_list_and_what_is_below(name: str) -> None:
    assert rule().denial(name) is None


@pytest.mark.parametrize("name", [*ADMIN_MODULES, *REFUSED_MODULES, "jsonx", "os.path", "_json", "importlib", "json_"])
def test_restricted_refuses_everything_else(name: str) -> None:
    sentence = rule().denial(name)
    assert sentence is not None
    assert f"The module {name} " in sentence
    assert "RESTRICTED mode" in sentence
    assert "settings.toml" in sentence


@pytest.mark.parametrize("name", [*SAFE_MODULES, *ADMIN_MODULES, "anything.installed", "gatewright"])
def test_admin_takes_everything_that_is_not_refused(name: str) -> None:
    assert rule("ADMIN").denial(name) is None


@pytest.mark.parametrize("name", [*REFUSED_MODULES, "concurrent.futures", "multiprocessing.pool"])
@pytest.mark.parametrize("mode", ["ADMIN", "RESTRICTED"])
def test_the_refused_list_holds_in_both_modes(mode: str, name: str) -> None:
    sentence = rule(mode, allowed=name).denial(name)
    assert sentence is not None
    assert f"in {mode} mode" in sentence
    assert "policy.lifted" in sentence
    assert "policy.modules" not in sentence


def test_the_lists_name_no_module_twice() -> None:
    names = [*SAFE_MODULES, *ADMIN_MODULES, *REFUSED_MODULES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("judge", "name", "words"),
    [
        (rule(), "os", ["ADMIN mode", "policy.modules"]),
        (rule(), "plantlib", ["ADMIN mode, if it is installed", "policy.modules"]),
        (rule(), "threading", ["policy.lifted", "policy.modules too"]),
        (rule(allowed="threading"), "threading", ["policy.lifted"]),
        (rule(lifted="threading"), "threading", ["ADMIN mode", "policy.modules"]),
        (rule("ADMIN"), "ctypes", ["ADMIN mode", "policy.lifted"]),
    ],
)
def test_a_refusal_names_what_would_allow_it(judge: ImportRule, name: str, words: list[str]) -> None:
    sentence = judge.denial(name)
    assert sentence is not None
    assert all(word in sentence for word in words), sentence
    assert sentence.count(". ") == 0


def test_the_administrator_allows_and_lifts_single_names() -> None:
    assert rule(allowed="pandas").denial("pandas.io.json") is None
    assert rule("ADMIN", lifted="threading").denial("threading") is None
    assert rule("ADMIN", lifted="threading").denial("multiprocessing") is not None
    assert rule(allowed="threading", lifted="threading").denial("threading") is None
    assert rule("ADMIN", lifted="concurrent.futures").denial("concurrent.futures.thread") is None
    assert rule("ADMIN", lifted="concurrent.futures").denial("concurrent") is not None


def test_a_dotted_entry_covers_no_more_than_it_says() -> None:
    judge = rule(allowed="os.path xml.etree")
    for name in ("os.path", "xml.etree", "xml.etree.ElementTree"):
        assert judge.denial(name) is None
    for name in ("os", "os.pathx", "xml", "xml.dom"):
        assert judge.denial(name) is not None


def test_names_of_others_cannot_blow_up_a_sentence() -> None:
    for name in ("x" * 10_000_000, "a\x1b[2J\nb", "\ud800", ""):
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
        "from os import path",
        "import os.path as p",
        "def f():\n    import os\nf()",
        "__import__('os')",
        "__import__(name='os')",
        "__import__('os', fromlist=('path',))",
        TWO_FACED,
    ],
)
def test_a_script_is_refused_in_every_spelling(code: str) -> None:
    with pytest.raises(ImportDenied, match="The module os") as refusal:
        run(code, rule())
    assert refusal.value.name in ("os", "os.path")


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


def test_the_rule_costs_a_slot_no_further_module() -> None:
    folder = Path(imports.__file__).parent
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); before = set(sys.modules); import imports; "
        "print(set(sys.modules) - before - {'imports', '__future__'})"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_c_code_imports_for_a_library_is_not_judged() -> None:
    """``datetime.strptime`` imports ``_strptime`` by the globals of the script that calls it (PyImport_Import)."""
    guarded = guarded_import(__import__, ImportRule("RESTRICTED", frozenset(), frozenset()))
    namespace = {"__builtins__": {**vars(builtins), "__import__": guarded}}
    exec("from datetime import datetime\nyear = datetime.strptime('2020', '%Y').year", namespace)
    assert namespace["year"] == 2020  # type: ignore[comparison-overlap]
    with pytest.raises(ImportDenied):
        exec("import _strptime", namespace)
    with pytest.raises(ImportDenied):
        exec("__import__('os', {}, {}, [])", namespace)
