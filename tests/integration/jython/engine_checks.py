# -*- coding: utf-8 -*-
"""The client against an engine. Jython 2.7."""

import threading
import time

from jarray import array
from java.lang import Double, Integer
from java.math import BigInteger
from java.util import ArrayList, Date, HashMap

from harness import check, equal, load, refused, run_all

import python3

PLACES = load()


def start_over(role="author", **given):
    python3.configure(url=PLACES["url"], token_file=PLACES[role], timeout=20, **given)


class Dataset(object):
    """The methods that Ignition's Dataset has."""

    def __init__(self, columns, rows):
        self.columns = columns
        self.rows = rows

    def getColumnNames(self):
        return ArrayList(self.columns)

    def getRowCount(self):
        return len(self.rows)

    def getValueAt(self, row, column):
        return self.rows[row][column]


@check
def every_form_of_the_table():
    start_over()
    equal(python3.exec("result = 1 + 1"), 2)
    equal(python3.exec("result = a * 2", {"a": 21}), 42)
    equal(python3.exec("result = a * 2", {"a": 21}, "RESTRICTED"), 42)
    equal(python3.exec("result = a * 2", {"a": 21}, "RESTRICTED", python3.getDefaultVersion()), 42)
    equal(python3.eval("2 ** 100"), 2 ** 100)
    equal(python3.eval("x + 1", {"x": 0.5}), 1.5)
    equal(python3.eval("x + 1", {"x": 1}, "RESTRICTED"), 2)
    equal(python3.eval("x + 1", {"x": 1}, "RESTRICTED", python3.getDefaultVersion()), 2)
    equal(python3.callModule("math", "sqrt", [2.25]), 1.5)
    equal(python3.callModule("json", "dumps", [{"b": 1, "a": 2}], {"sort_keys": True}), u'{"a": 2, "b": 1}')
    equal(python3.callModule("math", "floor", [2.5], {}, "RESTRICTED"), 2)
    equal(python3.callScript("Plant/kpi"), {u"args": [], u"kwargs": {}})
    equal(python3.callScript("Plant/kpi", [1, 2]), {u"args": [1, 2], u"kwargs": {}})
    equal(python3.callScript("Plant/kpi", [1], {"line": 4}), {u"args": [1], u"kwargs": {u"line": 4}})
    equal(python3.isAvailable(), True)
    assert python3.getVersion()["available"] is True
    assert python3.getVersion()["version"].startswith("3.")
    stats = python3.getPoolStats()
    assert stats["poolSize"] >= 1 and stats["totalSize"] == stats["poolSize"], stats
    equal(python3.checkSyntax("x = 1"), {"errors": []})
    equal(python3.checkSyntax("x = = 1")["errors"][0]["line"], 1)
    assert isinstance(python3.getCompletions("import math\nmath.sq", 2, 7)["completions"], list)
    assert isinstance(python3.example(), unicode)
    assert "installedVersions" in python3.getDistributionInfo()
    assert python3.getDefaultVersion() in python3.getAvailableVersions()
    assert python3.getDefaultVersion().startswith("3.")
    found = dict((one["name"], one) for one in python3.getAvailableScripts())
    assert u"Gr\xfc\xdfe + mehr" in found, found


@check
def counts():
    start_over()
    python3.exec("result = 1")
    before = python3.getExecutionStats()
    python3.exec("result = 1")
    refused("script_error", python3.exec, "1 / 0")
    after = python3.getExecutionStats()
    equal(after["totalExecutions"] - before["totalExecutions"], 2)
    equal(after["failedExecutions"] - before["failedExecutions"], 1)
    assert 0 < after["successRate"] < 1, after
    assert after["averageExecutionTime"] > 0 and after["p95ResponseTime"] > 0, after


@check
def the_pools_size():
    start_over("admin")
    before = python3.getPoolStats()["poolSize"]
    equal(python3.resizePool(before + 1), None)
    equal(python3.getPoolStats()["poolSize"], before + 1)
    python3.resizePool(before)
    error = refused("bad_size", python3.resizePool, 21)
    assert "20" in error.message, error


@check
def values_there_and_back():
    start_over()
    values = HashMap()
    values.put("i", Integer(5))
    values.put("big", BigInteger("1267650600228229401496703205376"))
    values.put("nan", Double(Double.NaN))
    values.put("text", u"Gr\xfc\xdfe \U0001f600")
    values.put("list", ArrayList([1, None, True, 0.1]))
    values.put("bytes", array([1, 2, -1], "b"))
    equal(python3.exec("result = v", {"v": values}), {
        u"i": 5, u"big": 2 ** 100, u"nan": None, u"text": u"Gr\xfc\xdfe \U0001f600", u"list": [1, None, True, 0.1],
        u"bytes": u"AQL/",
    })
    equal(python3.exec("result = [type(v[k]).__name__ for k in ('i', 'big', 'text')]", {"v": values}),
          [u"int", u"int", u"str"])
    equal(python3.exec("import datetime\nresult = datetime.datetime.fromisoformat(at).timestamp()",
                       {"at": Date(1774965905006L)}), 1774965905.006)
    answer = python3.exec("import datetime\nresult = datetime.datetime(2026, 3, 31, 14, 5, 5, 6000, datetime.timezone.utc)")
    equal(python3.toDate(answer).getTime(), 1774965905006L)
    equal(python3.exec("result = float('nan')"), None)
    equal(python3.exec("print('x')\nresult = float('nan')"), None)


@check
def tables_there_and_back():
    start_over()
    shifts = Dataset(["line", u"Gr\xf6\xdfe"], [[1, 2.5], [2, None]])
    code = u"result = {'columns': d['columns'], 'rows': [[*row[:1], (row[1] or 0) * 2] for row in d['rows']]}"
    equal(python3.toRows(python3.exec(code, {"d": shifts})), [{u"line": 1, u"Gr\xf6\xdfe": 5.0}, {u"line": 2, u"Gr\xf6\xdfe": 0}])


@check
def printed_text():
    start_over()
    equal(python3.exec("print('Gr\xc3\xbc\xc3\x9fe')"), u"Gr\xfc\xdfe\n")
    equal(python3.exec("print('x')\nresult = 0"), 0)
    equal(python3.exec("pass"), None)
    equal(python3.exec("result = None"), None)
    equal(python3.eval("None"), None)
    equal(python3.eval("''"), u"")
    equal(python3.eval("[]"), [])


@check
def failures():
    start_over()
    error = refused("script_error", python3.exec, "print('before')\n1 / zero", {"zero": 0})
    assert "ZeroDivisionError" in error.message and "line 2" in error.message, error
    assert "ZeroDivisionError" in error.traceback and "line 2" in error.traceback, error.traceback
    equal(error.message.count("Traceback (most recent"), 1)
    equal(error.output, u"before\n")
    assert error.runId > 0
    refused("import_denied", python3.exec, "import socket")
    error = refused("no_script", python3.callScript, "Plant/missing")
    assert "missing" in error.message
    equal(error.runId, None)
    refused("script_error", python3.exec, "x = = 1")


@check
def a_timeout():
    start_over()
    error = refused("timeout", python3.exec, "print('on', flush=True)\nwhile True: pass", timeout=2)
    equal(error.output, u"on\n")
    assert error.runId > 0


def newest(name):
    """Return the newest run of code that has this name."""
    return [run for run in python3._call("GET", "/api/v1/runs?limit=20")["runs"] if run["name"] == name][0]


def gives_up():
    body = {"code": "while True: pass", "timeout": 25}
    refused("no_answer", python3._call, "POST", python3.COMPAT + "/exec", body, wait=1)
    until = time.time() + 20  # below the limit of the run itself
    while time.time() < until:
        run = newest("<exec>")
        if run["state"] == "finished":
            break
        time.sleep(0.05)
    equal(run.get("outcome"), u"cancelled")


@check
def a_caller_that_gives_up_stops_its_run():
    start_over("admin")
    gives_up()
    if PLACES["java"] >= 16:
        python3.configure(socket=PLACES["socket"])
        gives_up()


@check
def titles():
    start_over("operator")
    for name in (u"Gr\xfc\xdfe + mehr", u"Plant/Gr\xfc\xdfe + mehr", u"gr\xfc\xdfe + MEHR", "Plant/greetings"):
        equal(python3.callScript(name, kwargs={"line": 7}), 14)
        equal(python3.result(python3.start(name, {"line": 7}), wait=60), 14)
    equal(python3.callScript("Plant/greetings", params={"line": 8}), 16)


@check
def what_a_role_may():
    start_over("operator")
    error = refused("forbidden", python3.exec, "result = 1")
    equal(error.message.count("Ask an administrator"), 1)
    error = refused("bad_request", python3._call, "POST", python3.API + "/runs", {"kind": "script", "script": 5})
    assert "script takes text" in error.message, error  # the hint
    equal(python3.callScript("Plant/kpi"), {u"args": [], u"kwargs": {}})
    start_over("author")
    error = refused("forbidden", python3.exec, "result = 1", {}, "ADMIN")
    assert "ADMIN" in error.message, error


@check
def a_wrong_token():
    for role in ("wrong", "revoked"):
        start_over(role)
        for call in (lambda: python3.exec("result = 1"), python3.getAvailableScripts):
            error = refused("unauthorized", call)
            assert open(PLACES[role]).read().strip() not in repr(vars(error)) + unicode(error)
    python3.configure(url=PLACES["url"])
    refused("unauthorized", python3.exec, "result = 1")


@check
def started_runs():
    start_over("operator")
    number = python3.start("Plant/wait", {"seconds": 0.3})
    equal(python3.status(number)["id"], number)
    equal(python3.result(number, wait=60), u"waited")
    failing = python3.start("Plant/fails")
    error = refused("script_error", python3.result, failing, wait=60)
    equal(error.runId, failing)
    equal(error.output, u"before\n")
    assert "ZeroDivisionError" in error.message and "ZeroDivisionError" in error.traceback, error
    equal(python3.result(python3.start("Plant/prints"), wait=60), u"only printed\n")


@check
def cancelled_runs():
    start_over("operator")
    number = python3.start("Plant/wait", {"seconds": 60}, timeout=100)
    refused("not_finished", python3.result, number)
    python3.cancel(number)
    error = refused("cancelled", python3.result, number, wait=60)
    equal(error.runId, number)


@check
def a_key():
    start_over("operator")
    number = python3.start("Plant/kpi", {"n": 1}, key="order 5")
    equal(python3.start("Plant/kpi", {"n": 1}, key="order 5"), number)
    assert python3.start("Plant/kpi", {"n": 1}, key="order 6") != number
    refused("idempotency_mismatch", python3.start, "Plant/kpi", {"n": 2}, key="order 5")


@check
def max_age_20_threads_one_run():
    start_over("operator")
    before = python3.getExecutionStats()["totalExecutions"]
    answers = []

    def one():
        answers.append(python3.callScript("Plant/wait", kwargs={"seconds": 0.5}, maxAge=60))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(answers, [u"waited"] * 20)
    equal(python3.getExecutionStats()["totalExecutions"] - before, 1)


@check
def many_calls():
    start_over("operator")
    found = python3.callMany("Plant/kpi", [{"n": number} for number in range(6)])
    equal([one["kwargs"]["n"] for one in found], list(range(6)))


@check
def the_socket():
    if not PLACES["java"] >= 16:
        return
    python3.configure(socket=PLACES["socket"])
    equal(python3.exec("result = v", {"v": [u"Gr\xfc\xdfe", 2 ** 100]}), [u"Gr\xfc\xdfe", 2 ** 100])
    equal(python3.callScript("Plant/kpi"), {u"args": [], u"kwargs": {}})
    equal(python3.result(python3.start("Plant/kpi"), wait=60), {u"args": [], u"kwargs": {}})
    refused("script_error", python3.exec, "1 / 0")


run_all()
