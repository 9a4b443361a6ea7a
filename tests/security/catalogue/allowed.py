"""What RESTRICTED must not break: scripts as engineers write them."""

from __future__ import annotations

import os

from attack import Allowed

SAFE_MODULES = (
    "math", "json", "datetime", "itertools", "collections", "decimal", "random", "re", "statistics", "time",
    "calendar", "uuid", "hashlib", "base64", "string", "textwrap", "difflib", "enum", "functools", "operator",
    "copy", "ast", "csv", "io", "sys", "logging", "pathlib", "shutil", "tempfile", "glob", "zoneinfo", "sqlite3",
    "zipfile", "struct", "typing", "argparse", "contextlib", "asyncio", "concurrent.futures", "http", "urllib.parse",
    "os.path", "xml.etree", "pickle", "shelve", "dbm", "configparser", "signal", "mmap", "importlib", "builtins", "gc",
    "inspect", "_io", "selectors", "unittest", "traceback", "queue", "fractions", "tomllib", "html", "email", "gzip",
)  # fmt: skip
"""The administrator can add to these, and take nothing away but by the preset for a short list."""

NAMED = {"os.path": "posixpath", "_io": "io"}
"""What modules call themselves, where that is something else."""

DENIED_MODULES = (
    "os", "subprocess", "socket", "ssl", "urllib.request", "http.client", "http.server", "ftplib", "smtplib", "imaplib",
    "poplib", "xmlrpc.client", "socketserver", "ctypes", "multiprocessing", "threading", "pty", "tty", "termios",
    "fcntl", "posix", "pwd", "grp", "resource", "webbrowser", "ensurepip", "venv", "tkinter", "pip",
    "_posixsubprocess", "_socket", "_thread", "_ctypes", "no_such_module",
)  # fmt: skip

PLANT = """
import json, statistics
from dataclasses import dataclass, field

@dataclass(order=True)
class Reading:
    tag: str
    values: list = field(default_factory=list)

    @property
    def mean(self):
        return statistics.fmean(self.values)

def windows(values, size):
    for start in range(0, len(values), size):
        yield values[start:start + size]

readings = [Reading(f"line-{n}", [n * 1.5 + k for k in range(10)]) for n in range(3)]
result = {r.tag: [round(sum(w), 2) for w in windows(r.values, 5)] + [r.mean] for r in readings}
"""

SCRATCH = """
with open("a.txt", "w") as f:
    f.write("one\\ntwo\\n")
with open("a.txt", "a") as f:
    f.write("three\\n")
with open("a.txt", "r+") as f:
    f.seek(4)
    f.write("TWO")
with open("b.bin", "wb") as f:
    f.write(bytes(range(256)))
result = [open("a.txt").read().split(), len(open("b.bin", "rb").read())]
"""

MODULE_CALLS = """
import base64, calendar, copy, datetime, decimal, difflib, enum, functools, hashlib, itertools, operator, random, re
import string, textwrap, time, uuid, collections, ast, math

class Colour(enum.Enum):
    RED = 1

random.seed(7)
time.sleep(0.001)
assert uuid.uuid4() != uuid.uuid4() and len(uuid.uuid4().hex) == 32
assert datetime.datetime.now().year > 2000 and time.time() > 1e9 and time.strftime("%Y")
assert datetime.datetime.now(datetime.timezone.utc).tzinfo
assert random.random() != random.random() and random.SystemRandom().random() < 1
result = [
    base64.b64encode(b"x").decode(), calendar.isleap(2024), copy.deepcopy([[1]]), str(decimal.Decimal("0.1") * 3),
    list(difflib.ndiff(["a"], ["b"])), Colour.RED.name, functools.reduce(operator.add, [1, 2, 3]),
    hashlib.sha256(b"x").hexdigest()[:8], hashlib.md5(b"x").hexdigest()[:8],
    list(itertools.islice(itertools.count(), 3)), re.sub("a+", "b", "caat"), string.ascii_lowercase[:3],
    textwrap.shorten("one two three", 9), collections.Counter("aab").most_common(1),
    ast.literal_eval("[1]"), math.comb(5, 2),
]
"""

MODULE_RESULTS = [
    "eA==", True, [[1]], "0.3", ["- a", "+ b"], "RED", 6, "2d711642", "9dd4e461", [0, 1, 2], "cbt", "abc", "one [...]",
    [["a", 2]], [1], 10,
]  # fmt: skip

RECURSION = """
def deeper(n):
    return deeper(n + 1)
try:
    deeper(0)
except RecursionError as error:
    result = str(error)[:30]
"""

TRACEBACK = """
def outer():
    inner(0)

def inner(n):
    return 1 / n  # the line that fails

outer()
"""

CAUGHT = """
try:
    import os
except ImportError as error:
    result = [isinstance(error, ImportError), "os" in str(error)]
"""

GENERATORS = """
def numbers():
    received = yield 1
    while True:
        received = yield received * 2
g = numbers()
result = [next(g), g.send(4), g.send(5), sum(n for n in range(1000) if n % 7 == 0), sorted({3, 1, 2}, reverse=True)]
g.close()
"""

COROUTINE = """
async def work():
    return 42
try:
    work().send(None)
except StopIteration as end:
    result = end.value
"""

MODES = {
    "open": 0o600, "os.open": 0o700, "os.mkdir": 0o700, "os.makedirs": 0o700, "Path.mkdir": 0o700, "Path.touch": 0o600,
    "mkstemp": 0o600, "mkdtemp": 0o700, "allocated": 0o600, "after umask(0)": 0o600, "after umask(0o22)": 0o644,
}  # fmt: skip
"""Modes of what an ordinary script makes; a mask that lets others write has no effect."""

CODINGS = {
    "utf-7": "# +AAo-raise SystemExit('other code')",
    "unicode_escape": "# \\nraise SystemExit('other code')",
    "raw_unicode_escape": "# \\u000araise SystemExit('other code')",
}
"""Comments that Python takes for code where it obeys the declared encoding. Such scripts are refused before they get
here; the child does not obey them either."""

ALLOWED = [
    *(
        Allowed(f"import-{name}", f"import {name} as imported\nresult = imported.__name__", NAMED.get(name, name))
        for name in SAFE_MODULES
    ),
    *(
        Allowed(f"denied-{name}", f"import {name}", None, outcome="import_denied", says=name.split(".")[0])
        for name in DENIED_MODULES
    ),
    Allowed("denied-from", "from os import getcwd", None, outcome="import_denied", says="os"),
    Allowed("denied-part", "from http import client", None, outcome="import_denied", says="http.client"),
    Allowed("allowed-part", "from os import path\nresult = path.join('a', 'b')", "a/b"),
    Allowed("path-alone", "import os.path\nresult = [os.path.basename('/a/b'), hasattr(os, 'system')]", ["b", False]),
    Allowed("denied-inside-a-function", "def f():\n    import subprocess\nf()", None, "import_denied", "subprocess"),
    Allowed("denied-import-call", "__import__('socket')", None, "import_denied", "socket"),
    Allowed("denied-import-says-the-mode", "import os", None, "import_denied", "RESTRICTED"),
    Allowed("denied-import-can-be-caught", CAUGHT, [True, True]),
    *(
        Allowed(f"coding-{name}-is-not-obeyed", f"# coding: {name}\n{comment}\nresult = 'as it reads'", "as it reads")
        for name, comment in CODINGS.items()
    ),
    Allowed("word-profile", "profile = 3\nresult = profile", 3),
    Allowed("word-photos", "photos = []\nphotos.append(1)\nresult = photos", [1]),
    Allowed("word-in-a-comment", "# import os later\nresult = 1", 1),
    Allowed("word-in-a-string", "text = 'import os; import subprocess'\nresult = len(text)", 28),
    Allowed("word-position", "os = 1\nsystem = os + 1\nresult = system", 2),
    Allowed("from-import", "from math import sqrt, pi as p\nresult = sqrt(4) + round(p)", 5.0),
    Allowed("submodule", "import collections.abc\nresult = isinstance([], collections.abc.Sequence)", True),
    Allowed("plant", PLANT, {
        "line-0": [10.0, 35.0, 4.5], "line-1": [17.5, 42.5, 6.0], "line-2": [25.0, 50.0, 7.5],
    }),
    Allowed("module-calls", MODULE_CALLS, MODULE_RESULTS),
    Allowed("big-numbers", "result = [len(str(7 ** 5000)), 2 ** 200 % 1000007, (10 ** 40 + 1) // 3]",
            [4226, 2**200 % 1000007, 3333333333333333333333333333333333333333]),
    Allowed("generators", GENERATORS, [1, 8, 10, 71071, [3, 2, 1]]),
    Allowed("coroutine", COROUTINE, 42),
    Allowed("scratch-files", SCRATCH, [["one", "TWO", "three"], 256], scratch=True),
    Allowed("much-memory", "x = bytearray(30 << 20)\nresult = len(x)", 30 << 20),
    Allowed("recursion", RECURSION, "maximum recursion depth exceed"),
    Allowed("sleep", "import time\ntime.sleep(0.01)\nresult = time.monotonic() > 0", True),
    Allowed("traceback", TRACEBACK, None, outcome="script_error", says="division by zero"),
    Allowed("print", "print('one')\nprint('two', end='')\nresult = 1", 1),
    Allowed("exit", "raise SystemExit(0)", None),
    Allowed("exit-status", "raise SystemExit(3)", None, outcome="script_error", says="exit status 3"),
    Allowed("variables", "result = a + params['b']", 3, variables={"a": 1, "params": {"b": 2}}),
    Allowed("entrypoint", "def main():\n    return 'called'", "called", entrypoint="main"),
    Allowed("allowed-package", "import plantkit\nresult = plantkit.double(21)", 42),
    Allowed("allowed-package-part", "from plantkit.parts import TRIPLE\nresult = TRIPLE", 3),
    Allowed("allowed-package-by-its-own-imports", "import plantkit\nresult = plantkit.play_with_files()",
            ["moved.txt", "sub", "text"], scratch=True),
    Allowed("allowed-package-threads", "import plantkit\nresult = plantkit.in_threads(4)", [0, 1, 4, 9]),
    Allowed("allowed-package-temporary", "import plantkit\nresult = plantkit.temporary()", "kept", scratch=True),
    Allowed("allowed-package-masks", "import plantkit\nresult = plantkit.masks()", [0o77, 0, 0o77, 0o22, 0o2, 0o77]),
    Allowed("allowed-package-modes", "import plantkit\nresult = plantkit.modes('.')", MODES, scratch=True),
    Allowed("allowed-package-own-files", "import plantkit\nresult = plantkit.own_files()",
            [[0o444, 0o444, 0o640, 0o640], [5.0], "b", "b", 2], scratch=True),
    Allowed("allowed-package-foreign-modes", "import plantkit\nresult = plantkit.foreign_modes()",
            [0o664, True, 0o775, True, 0o664, True, 0o775, True, 0o775, True, 0o755, True], scratch=True),
    Allowed("allowed-package-devices", "import plantkit\nresult = plantkit.devices()", [0, "0000", 3]),
    Allowed("copied-from-readable", "import plantkit\nresult = plantkit.copied(readable)",
            [0o644, "as it was\n", ["file.txt"]], scratch=True, read_granted=True),
    Allowed("allowed-package-database", "import plantkit\nresult = plantkit.database('.')", 42, scratch=True),
    Allowed("database-beside-a-granted-folder", "import plantkit\nresult = plantkit.database('.')", 42, scratch=True,
            granted=True),
    Allowed("granted-folder", "import plantkit\nresult = plantkit.modes(granted)", MODES, granted=True),
    Allowed("granted-shutil", "import plantkit\nresult = plantkit.moved(granted)", ["copy", "moved"], granted=True),
    Allowed("allowed-package-data", "import plantkit\nresult = plantkit.own_data()", "data of the package"),
]  # fmt: skip

if os.environ.get("GATEWRIGHT_TEST_NUMPY"):
    ALLOWED += [
        Allowed("numpy", "import numpy\nresult = float((numpy.arange(10) * 2.5).sum())", 112.5),
        Allowed("numpy-algebra", "import numpy as np\nresult = np.linalg.inv(np.eye(2) * 2).tolist()[0]", [0.5, 0.0]),
        Allowed("numpy-random", "import numpy as np\nresult = np.random.default_rng().random(3).size", 3),
    ]
