# -*- coding: utf-8 -*-
"""The client against a server that fails on purpose. Jython 2.7."""

import datetime
import json
import os
import sys
import threading
import time

from jarray import array, zeros
from java.io import BufferedReader, InputStreamReader
from java.lang import Boolean, Character, Double, Float, Integer, Long, Object, Short, System
from java.math import BigDecimal, BigInteger
from java.net import Proxy, URI, URL
from java.net.http import HttpClient, HttpRequest, HttpResponse
from java.sql import Timestamp
from java.time import Duration
from java.util import ArrayList, Calendar, Date, GregorianCalendar, HashMap, HashSet, LinkedHashMap, TimeZone

from harness import check, equal, load, refused, run_all

PLACES = load()

# Whatever a host sets for its proxies must not get the token.
for scheme in ("http", "https"):
    System.setProperty(scheme + ".proxyHost", "127.0.0.1")
    System.setProperty(scheme + ".proxyPort", str(PLACES["proxy_port"]))
System.setProperty("http.nonProxyHosts", "")

import python3


def seen():
    """Return what the server has seen."""
    stream = BufferedReader(InputStreamReader(URL(PLACES["url"] + "/seen").openConnection(Proxy.NO_PROXY).getInputStream(), "UTF-8"))
    return json.loads(stream.readLine())


def runs(name):
    return seen()["runs"].get(name, 0)


def start_over(**given):
    given.setdefault("url", PLACES["url"])
    given.setdefault("token", PLACES["token"])
    python3.configure(**given)


def sent(value):
    """Return what arrives of a value."""
    return python3.callModule("m", "echo", [value])["args"][0]


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


@check
def not_configured():
    error = refused("not_configured", python3.eval, "1")
    assert "gatewright.url" in error.message
    equal(python3.isAvailable(), False)
    assert python3.getVersion()["available"] is False


@check
def as_ignition_compiles_it():
    text = open(python3.__file__.replace("$py.class", ".py")).read().decode("ascii")
    library = {"__name__": "python3"}
    eval(compile(text, "<project library>", "exec"), library)
    equal(library["exec"].__name__, "_exec")
    refused("not_configured", lambda: _as_here(library["exec"], "1"))


def _as_here(call, *args):
    """Call a function of another copy of the module, whose errors are of a class of its own."""
    try:
        return call(*args)
    except Exception as error:
        raise python3.Python3Error(error.message, error.code)


@check
def java_properties():
    System.setProperty("gatewright.url", PLACES["url"] + "/")
    System.setProperty("gatewright.token.file", PLACES["token_file"])
    try:
        equal(python3.isAvailable(), True)
    finally:
        System.clearProperty("gatewright.url")
        System.clearProperty("gatewright.token.file")
    System.setProperty("gatewright.socket", PLACES["socket"] + ".missing")
    try:
        assert "unix:" in refused("unreachable" if PLACES["java"] >= 16 else "not_configured", python3.example).message
    finally:
        System.clearProperty("gatewright.socket")
    System.setProperty("gatewright.url", PLACES["tls_url"])
    System.setProperty("gatewright.token.file", PLACES["token_file"])
    System.setProperty("gatewright.ca.file", PLACES["ca_file"])
    try:
        equal(python3.example(), u"Hello")
    finally:
        for name in ("url", "token.file", "ca.file"):
            System.clearProperty("gatewright." + name)


@check
def every_form_of_the_table():
    start_over()
    base = {"timeout": 10}
    for call, wanted in [
        (lambda: python3.exec("c"), {"code": "c", "variables": {}}),
        (lambda: python3.exec("c", {"a": 1}), {"code": "c", "variables": {"a": 1}}),
        (lambda: python3.exec("c", {"a": 1}, "ADMIN"), {"code": "c", "variables": {"a": 1}, "mode": "ADMIN"}),
        (lambda: python3.exec("c", None, "RESTRICTED", "3.11"),
         {"code": "c", "variables": {}, "mode": "RESTRICTED", "version": "3.11"}),
        (lambda: python3.exec(code="c", variables={}, securityMode="ADMIN", pythonVersion="3.11"),
         {"code": "c", "variables": {}, "mode": "ADMIN", "version": "3.11"}),
        (lambda: python3.eval("e"), {"expression": "e", "variables": {}}),
        (lambda: python3.eval("e", {"x": 2}), {"expression": "e", "variables": {"x": 2}}),
        (lambda: python3.eval("e", {"x": 2}, "ADMIN"), {"expression": "e", "variables": {"x": 2}, "mode": "ADMIN"}),
        (lambda: python3.eval("e", {}, "ADMIN", "3.11"),
         {"expression": "e", "variables": {}, "mode": "ADMIN", "version": "3.11"}),
        (lambda: python3.callModule("m", "f", [1]), {"module": "m", "function": "f", "args": [1], "kwargs": {}}),
        (lambda: python3.callModule("m", "f", (1,), {"k": 2}),
         {"module": "m", "function": "f", "args": [1], "kwargs": {"k": 2}}),
        (lambda: python3.callModule("m", "f", [], {}, "ADMIN"),
         {"module": "m", "function": "f", "args": [], "kwargs": {}, "mode": "ADMIN"}),
        (lambda: python3.callScript("F/n"), {"scriptPath": "F/n", "args": [], "kwargs": {}}),
        (lambda: python3.callScript("F/n", [1]), {"scriptPath": "F/n", "args": [1], "kwargs": {}}),
        (lambda: python3.callScript("F/n", [1], {"k": 2}), {"scriptPath": "F/n", "args": [1], "kwargs": {"k": 2}}),
        (lambda: python3.callScript("F/n", params={"p": 1}),
         {"scriptPath": "F/n", "args": [], "kwargs": {}, "params": {"p": 1}}),
    ]:
        wanted.update(base)
        equal(call(), wanted)
    equal(python3.exec("c", timeout=2.5)["timeout"], 2.5)


@check
def functions_about_the_engine():
    start_over()
    equal(python3.isAvailable(), True)
    equal(python3.getVersion()["version"], u"3.11.7 (main)")
    equal(python3.getPoolStats()["poolSize"], 3)
    equal(python3.getExecutionStats(), {
        "totalExecutions": 4, "successfulExecutions": 3, "failedExecutions": 1, "averageExecutionTime": 2.5,
        "successRate": 0.75, "p50ResponseTime": 1.5, "p95ResponseTime": 2.5, "p99ResponseTime": 3.5,
    })
    equal(python3.getAvailableScripts(), [{"name": "kpi", "path": "Plant/kpi"}])
    equal(python3.checkSyntax("x ="), {"errors": [{"line": 1, "column": 2, "message": "m", "severity": "error"}]})
    equal(python3.getCompletions("[].app", 1, 6), {"completions": [{"text": "append"}], "count": 1})
    equal(python3.example(), u"Hello")
    equal(python3.getDistributionInfo(),
          {"available": False, "error": "There is one Python.", "installedVersions": [], "availableVersions": []})
    equal(python3.getAvailableVersions(), [u"3.11"])
    equal(python3.getDefaultVersion(), u"3.11")
    equal(python3.resizePool(5), None)
    equal(seen()["requests"][-1]["body"], {"size": 5})


@check
def what_a_call_returns():
    start_over()
    equal(python3.exec("typed"), {u"n": 2 ** 100, u"t": u"Gr\xfc\xdfe \U0001f600", u"f": 0.1, u"l": [1, None, True]})
    equal(python3.exec("text only"), u"<object>")
    equal(python3.exec("printed only"), u"printed\n")
    equal(python3.exec("not a number"), None)
    equal(python3.exec("nothing"), None)
    equal(python3.exec("zero"), 0)


@check
def numbers_in():
    start_over()
    for value, wanted in [
        (1, 1), (2 ** 100, 2 ** 100), (-7L, -7), (0.1, 0.1), (True, True), (None, None),
        (float("nan"), None), (float("inf"), None), (float("-inf"), None), (Double.NaN, None),
        (Integer(5), 5), (Long(2 ** 40), 2 ** 40), (Short(3), 3), (Double(0.25), 0.25), (Float(0.5), 0.5),
        (Boolean(True), True), (Boolean(False), False), (BigInteger("1267650600228229401496703205376"), 2 ** 100),
        (BigDecimal("12.50"), 12.5), (BigDecimal("7"), 7), (BigDecimal("3E2"), 300),
    ]:
        found = sent(value)
        assert found == wanted and isinstance(found, bool) == isinstance(wanted, bool), (value, found)
    values = HashMap()
    values.put("i", Integer(1))
    values.put("n", Double(Double.NaN))
    equal(sent(values), {u"i": 1, u"n": None})


@check
def text_in():
    start_over()
    equal(sent(u"Gr\xfc\xdfe \U0001f600"), u"Gr\xfc\xdfe \U0001f600")
    equal(sent("Gr\xc3\xbc\xc3\x9fe"), u"Gr\xfc\xdfe")
    equal(sent(Character("x")), u"x")
    error = refused("bad_value", python3.exec, "c", {"name": ["ok", "Gr\xfc\xdfe"]})
    assert error.message.startswith("variables.name[1] has bytes"), error


@check
def nested_in():
    start_over()
    inner = ArrayList()
    inner.add("a")
    inner.add(None)
    values = LinkedHashMap()
    values.put("list", inner)
    values.put("set", HashSet(["x"]))
    values.put("tuple", (1, [2, {"k": 3}]))
    values.put("bytes", array([1, 2, -1], "b"))
    values.put("ints", array([1, 2], "i"))
    values.put("doubles", array([0.5, Double.NaN], "d"))
    values.put("objects", array([Integer(1), "t", None], Object))
    equal(sent(values), {
        u"list": [u"a", None], u"set": [u"x"], u"tuple": [1, [2, {u"k": 3}]], u"bytes": u"AQL/", u"ints": [1, 2],
        u"doubles": [0.5, None], u"objects": [1, u"t", None],
    })
    equal(sent(bytearray("\x00\xff")), u"AP8=")
    equal(sent({1: "a", 2L: "b"}), {u"1": u"a", u"2": u"b"})
    equal(sent(set([3])), [3])
    refused("bad_value", sent, {1: "a", "1": "b"})
    refused("bad_value", sent, {(1, 2): "a"})


@check
def dates_in():
    start_over()
    equal(sent(Date(1774965905006L)), u"2026-03-31T14:05:05.006Z")
    equal(sent(Timestamp(1774965905000L)), u"2026-03-31T14:05:05.000Z")
    calendar = GregorianCalendar(TimeZone.getTimeZone("Europe/Berlin"))
    calendar.setTimeInMillis(0)
    equal(sent(calendar), u"1970-01-01T00:00:00.000Z")
    equal(sent(datetime.date(2026, 3, 31)), u"2026-03-31")
    equal(sent(datetime.datetime(2026, 3, 31, 14, 5)), u"2026-03-31T14:05:00")

    class Berlin(datetime.tzinfo):
        def utcoffset(self, moment):
            return datetime.timedelta(hours=2)

    equal(sent(datetime.datetime(2026, 3, 31, 16, 5, 5, 6999, Berlin())), u"2026-03-31T14:05:05.006Z")


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


class PyDataSet(object):
    def __init__(self, dataset):
        self.dataset = dataset

    def getUnderlyingDataset(self):
        return self.dataset

    def __len__(self):
        return 1


class Quality(object):
    def __str__(self):
        return "Good"


class QualifiedValue(object):
    def __init__(self, value):
        self.value = value

    def getValue(self):
        return self.value

    def getQuality(self):
        return Quality()

    def getTimestamp(self):
        return Date(0)


SHIFTS = Dataset(["line", u"Gr\xf6\xdfe", "at"], [[1, 2.5, Date(0)], [Integer(2), None, None]])
SHIFTS_SENT = {u"columns": [u"line", u"Gr\xf6\xdfe", u"at"], u"rows": [[1, 2.5, u"1970-01-01T00:00:00.000Z"], [2, None, None]]}


@check
def datasets_in():
    start_over()
    equal(sent(SHIFTS), SHIFTS_SENT)
    equal(sent([PyDataSet(SHIFTS)]), [SHIFTS_SENT])
    error = refused("bad_value", python3.exec, "c", {"d": Dataset(["a"], [[1], [object()]])})
    assert error.message.startswith("variables.d[1].a is a object"), error


@check
def qualified_values_in():
    start_over()
    equal(sent({"tags": [QualifiedValue(Integer(4))]}),
          {u"tags": [{u"value": 4, u"quality": u"Good", u"timestamp": u"1970-01-01T00:00:00.000Z"}]})


class ViewProperty(object):
    """Behaves like a dict and is none, as the properties of a Perspective view."""

    def keys(self):
        return ["a"]

    def __getitem__(self, name):
        return {"a": [1]}[name]


@check
def what_behaves_like_a_dict_in():
    start_over()
    equal(sent(ViewProperty()), {u"a": [1]})


@check
def anything_else_is_refused_by_its_path():
    start_over()
    before = len(seen()["requests"])
    for value, words in [
        (object(), "args[0] is a object,"), ({"v": System}, "args[0].v is a "), ([Object()], "args[0][0] is a java.lang.Object,"),
        (iter([]), "args[0] is a "), (lambda: 1, "args[0] is a function,"), ({"v": 1j}, "args[0].v is a complex,"),
        (Dataset, "args[0] is a type,"),
    ]:
        error = refused("bad_value", python3.callModule, "m", "f", [value])
        assert error.message.startswith(words), error
    error = refused("bad_value", python3.exec, "c", {"v": Object()})
    assert error.message.startswith("variables.v is a java.lang.Object"), error
    refused("bad_value", python3.exec, "c", [1])
    refused("bad_value", python3.callScript, "c", {"a": 1})
    equal(len(seen()["requests"]), before)


@check
def values_in_themselves_are_refused():
    start_over()
    a = []
    a.append({"a": a})
    b = ArrayList()
    b.add(b)
    c = HashMap()
    c.put("c", c)
    deep = []
    for _ in range(200):
        deep = [deep]
    for value in (a, b, c, deep):
        error = refused("bad_value", sent, value)
        assert "contains itself" in error.message, error
    same = [1]
    equal(sent([same, same]), [[1], [1]])


@check
def results_out():
    start_over()
    table = {"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]}
    rows = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    equal(python3.toRows(table), rows)
    equal(python3.toRows(rows), rows)
    equal(python3.toRows({"b": [2, 4], "a": [1, 3]}), rows)
    equal(python3.toRows(SHIFTS)[1]["line"].__class__, Integer(2).__class__)
    equal(python3.toRows([]), [])
    refused("bad_value", python3.toRows, 5)
    refused("bad_value", python3.toRows, {"a": 1})
    refused("not_available", python3.toDataset, table)

    class system(object):
        class dataset(object):
            @staticmethod
            def toDataSet(columns, rows):
                return Dataset(columns, rows)

    sys.modules["system"] = system
    try:
        found = python3.toDataset(rows)
    finally:
        del sys.modules["system"]
    equal(found.columns, ["a", "b"])
    equal(found.rows, [[1, 2], [3, 4]])


@check
def dates_out():
    equal(python3.toDate("2026-03-31T14:05:05.006Z").getTime(), 1774965905006L)
    equal(python3.toDate(u"2026-03-31T16:05:05.006999+02:00").getTime(), 1774965905006L)
    equal(python3.toDate(None), None)
    assert python3.toDate(Date(5)) == Date(5)
    zone = TimeZone.getDefault().toZoneId()
    from java.time import LocalDateTime

    equal(python3.toDate("2026-03-31 14:05:05").getTime(),
          LocalDateTime.of(2026, 3, 31, 14, 5, 5).atZone(zone).toInstant().toEpochMilli())
    equal(python3.toDate("2026-03-31").getTime(),
          LocalDateTime.of(2026, 3, 31, 0, 0, 0).atZone(zone).toInstant().toEpochMilli())
    refused("bad_value", python3.toDate, "yesterday")
    refused("bad_value", python3.toDate, 5)


@check
def a_failed_script():
    start_over()
    error = refused("script_error", python3.exec, "fails")
    assert isinstance(error, Exception)
    equal(error.message, u"ZeroDivisionError: f\xfcr immer\nTraceback: line 1")
    equal(error.traceback, u"Traceback: line 1")
    equal(error.output, u"before\n")
    equal(error.runId, 7)
    equal(unicode(error), error.message)
    equal(str(error), "ZeroDivisionError: f\\xfcr immer\nTraceback: line 1")


@check
def an_engine_that_has_no_time():
    start_over()
    error = refused("busy", python3.exec, "busy")
    assert "All slots are busy" in error.message


@check
def answers_of_others():
    start_over()
    error = refused("bad_answer", python3.exec, "page")
    assert "502" in error.message, error
    refused("bad_answer", python3.exec, "moved")


@check
def a_wrong_token():
    for token in ("wrong", None):
        start_over(token=token)
        for call in (lambda: python3.exec("typed"), python3.example):
            error = refused("unauthorized", call)
            assert "wrong" not in error.message.replace("it is wrong", ""), error
    start_over(token="bad\r\nX: y")
    error = refused("not_configured", python3.example)
    assert "bad" not in error.message
    start_over()
    equal(python3.isAvailable(), True)


@check
def a_token_file():
    path = PLACES["token_file"]
    start_over(token=None, token_file=path)
    equal(python3.isAvailable(), True)
    os.chmod(path, 0o640)
    error = refused("not_configured", python3.example)
    assert "0600" in error.message and PLACES["token"] not in error.message, error
    os.chmod(path, 0o600)
    equal(python3.isAvailable(), True)
    write(path, "another-token")
    refused("unauthorized", python3.example)
    start_over(token=None, token_file="/etc/Gr\xc3\xbc\xc3\x9fe/missing")
    assert u"Gr\xfc\xdfe" in refused("not_configured", python3.example).message
    start_over(token=None, token_file=path)
    write(path, PLACES["token"] + "\n")
    equal(python3.isAvailable(), True)
    os.remove(path)
    refused("not_configured", python3.example)
    write(path, PLACES["token"])
    os.chmod(path, 0o600)
    equal(python3.isAvailable(), True)


@check
def no_token_without_tls_to_another_host():
    start_over(url="http://192.0.2.1:9")
    error = refused("not_configured", python3.example)
    assert "TLS" in error.message, error
    refused("not_configured", python3.configure, url="http://me:secret@127.0.0.1")
    refused("not_configured", python3.configure, url="127.0.0.1:9")


@check
def a_run_that_takes_too_long():
    start_over()
    begun = time.time()
    error = refused("no_answer", python3._call, "POST", python3.COMPAT + "/exec", {"code": "slow 60"}, wait=0.3)
    assert time.time() - begun < 30, "waited too long"
    equal(error.runId, None)
    error = refused("bad_value", python3.exec, "c", timeout=26)
    assert "python3.start" in error.message
    for timeout in (0, -1, "5", True, float("nan")):
        refused("bad_value", python3.exec, "c", timeout=timeout)


@check
def a_lost_connection_is_not_repeated():
    start_over()
    refused("connection_lost", python3.exec, "drop")
    equal(runs("drop"), 1)
    refused("connection_lost", python3.exec, "half")
    equal(runs("half"), 1)


@check
def with_a_key_it_is_repeated():
    start_over()
    number = python3.start("drop with key", {"a": 1}, key="order-5")
    equal(python3.start("drop with key", {"a": 1}, key="order-5"), number)
    equal(runs("drop with key.py"), 1)
    refused("connection_lost", python3.start, "drop")
    equal(runs("drop.py"), 1)
    refused("bad_value", python3.start, "x", key="a\nb")


@check
def started_runs():
    start_over()
    number = python3.start(u"Plant/l\xf6ng + x", {"a": 1, "b": 2}, params={"b": 3}, timeout=600)
    body = seen()["requests"][-1]["body"]
    equal(body, {
        "kind": "script", "script": u"Plant/l\xf6ng + x.py", "args": [], "kwargs": {"a": 1, "b": 2},
        "params": {"a": 1, "b": 3}, "timeout": 600,
    })
    equal(python3.status(number)["state"], u"running")
    error = refused("not_finished", python3.result, number, wait=0.2)
    equal(error.runId, number)
    refused("bad_value", python3.status, "5")


@check
def a_dead_engine():
    start_over(url="http://127.0.0.1:%d" % PLACES["dead_port"], fail_fast=60)
    first = refused("unreachable", python3.exec, "c")
    assert "cannot be reached" in first.message, first
    second = refused("unreachable", python3.exec, "c")
    assert "a moment ago" in second.message, second
    equal(python3.isAvailable(), False)
    assert "error" in python3.getPoolStats()
    start_over()
    equal(python3.isAvailable(), True)


@check
def fail_fast_ends():
    start_over(url="http://127.0.0.1:%d" % PLACES["dead_port"], fail_fast=60)
    refused("unreachable", python3.exec, "c")
    (target,) = python3._unreachable._until
    python3._unreachable._until[target] -= 60
    assert "cannot be reached" in refused("unreachable", python3.exec, "c").message
    start_over(url="http://127.0.0.1:%d" % PLACES["dead_port"], fail_fast=0)
    for _ in range(2):
        assert "cannot be reached" in refused("unreachable", python3.exec, "c").message


@check
def after_fail_fast_one_caller_tries():
    start_over(fail_fast=0.1, connect_timeout=30)
    settings = python3._Settings(python3._given)
    python3._unreachable.remember(settings)
    time.sleep(0.2)
    python3._unreachable.check(settings)  # the one that tries
    refused("unreachable", python3._unreachable.check, settings)
    python3._unreachable.forget(settings)
    python3._unreachable.check(settings)


@check
def a_host_that_does_not_answer():
    start_over(url="http://127.0.0.1:%d" % PLACES["full_port"], connect_timeout=0.3)
    tried, connect = [], python3._connect
    python3._connect = lambda *given: tried.append(1) or connect(*given)
    try:
        refused("unreachable", python3.exec, "c")
    finally:
        python3._connect = connect
    equal(len(tried), 1)


def together(count, call):
    """Return what each of so many threads gets from a call."""
    answers, errors = [], []

    def one():
        try:
            answers.append(call())
        except python3.Python3Error as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, errors


@check
def max_age_20_threads_one_run():
    start_over()
    answers, errors = together(20, lambda: python3.callScript("slow 0.5 a", kwargs={"line": 4}, maxAge=30))
    equal(errors, [])
    equal(len(answers), 20)
    equal(runs("slow 0.5 a"), 1)
    answers[0]["kwargs"]["line"] = 5  # one's own, not that of the others
    equal(answers[1]["kwargs"]["line"], 4)
    equal(python3.callScript("slow 0.5 a", kwargs={"line": 4}, maxAge=30)["kwargs"], {"line": 4})
    equal(runs("slow 0.5 a"), 1)
    python3.callScript("slow 0.5 a", kwargs={"line": 6}, maxAge=30)
    equal(runs("slow 0.5 a"), 2)
    python3.callScript("slow 0.5 a", kwargs={"line": 4})
    equal(runs("slow 0.5 a"), 3)


@check
def max_age_ends():
    start_over()
    python3.callScript("aged", maxAge=0.2)
    time.sleep(0.3)
    python3.callScript("aged", maxAge=0.2)
    equal(runs("aged"), 2)
    python3.callScript("aged", maxAge=60)
    equal(runs("aged"), 2)


@check
def failures_are_not_kept():
    start_over()
    for _ in range(2):
        refused("script_error", python3.callScript, "fails", maxAge=60)
    equal(runs("fails"), 3)  # with the one of exec
    answers, errors = together(5, lambda: python3.callScript("drop once", maxAge=60))
    assert errors and all(error.code == "connection_lost" for error in errors), errors
    assert len(set(id(error) for error in errors)) == len(errors)
    equal(python3.callScript("drop once", maxAge=60)["scriptPath"], u"drop once")


@check
def kept_answers_are_bounded():
    start_over()
    before = python3.MAX_CACHED, python3.MAX_CACHED_CHARS
    python3.MAX_CACHED = 10
    try:
        for number in range(15):
            python3.callScript("bounded", kwargs={"n": number}, maxAge=60)
        equal(len(python3._answers._kept), 10)
        limit = python3.MAX_CACHED_CHARS = python3._answers._size
        python3.callScript("bounded", kwargs={"n": "x" * (limit // 20)}, maxAge=60)
        assert python3._answers._size <= limit, python3._answers._size
        assert len(python3._answers._kept) < 10
        python3.callScript("bounded", kwargs={"n": "x" * limit}, maxAge=60)  # alone too large
        assert len(python3._answers._kept) > 5
    finally:
        python3.MAX_CACHED, python3.MAX_CACHED_CHARS = before


@check
def many_calls():
    start_over()
    found = python3.callMany("many", [{"n": number} for number in range(10)], parallel=4)
    equal([one["kwargs"]["n"] for one in found], list(range(10)))
    equal(python3.callMany("many", []), [])
    refused("script_error", python3.callMany, "fails", [{}, {}])
    for error in python3.callMany("fails", [{}, {}], failures="return"):
        equal(error.code, u"script_error")
    refused("bad_value", python3.callMany, "many", [{}], parallel=0)


@check
def one_connection_for_many_calls():
    start_over()
    python3.example()
    before = seen()["connections"]
    for _ in range(20):
        python3.exec("typed")
    assert seen()["connections"] - before <= 2, seen()["connections"] - before


@check
def a_kept_connection_that_the_engine_has_closed():
    start_over()
    for number in range(5):
        python3.exec("last")
        time.sleep(0.02 * number)
    equal(runs("last"), 5)


@check
def what_is_sent():
    start_over()
    python3.exec("typed")
    headers = seen()["requests"][-1]["headers"]
    equal(headers["Content-Type"], u"application/json")
    equal(headers["X-Gatewright-Traceback"], u"1")
    equal(headers["User-Agent"], u"gatewright-jython/" + python3.VERSION)
    assert "Content-Length" in headers and "Transfer-Encoding" not in headers and "Upgrade" not in headers, headers


@check
def too_large_to_send():
    start_over()
    before, python3.MAX_BODY = python3.MAX_BODY, 1000
    try:
        refused("too_large", sent, "x" * 1000)
    finally:
        python3.MAX_BODY = before


@check
def too_large_to_read():
    start_over()
    before, python3.MAX_ANSWER = python3.MAX_ANSWER, 1000
    try:
        refused("too_large", sent, "x" * 100000)
    finally:
        python3.MAX_ANSWER = before


@check
def tls_with_a_private_ca():
    start_over(url=PLACES["tls_url"], ca_file=PLACES["ca_file"])
    equal(python3.exec("zero"), 0)
    for none in (None, "", u""):
        start_over(url=PLACES["tls_url"], ca_file=none)
        assert "ca_file=FILE" in refused("tls", python3.exec, "zero").message
    start_over(url=PLACES["tls_url"].replace("localhost", "127.0.0.1"), ca_file=PLACES["ca_file"])
    error = refused("tls", python3.exec, "zero")  # the certificate is of another name
    assert "ca_file" not in error.message, error
    start_over(url=PLACES["tls_url"], ca_file=PLACES["token_file"])
    refused("not_configured", python3.exec, "zero")


@check
def unix_socket():
    python3.configure(socket=PLACES["socket"])
    if not PLACES["java"] >= 16:
        refused("not_configured", python3.exec, "zero")
        return
    equal(python3.exec("typed")["t"], u"Gr\xfc\xdfe \U0001f600")
    equal(python3.example(), u"Hello")
    big = u"\xfc" * 500000
    equal(sent(big), big)
    refused("busy", python3.exec, "busy")
    refused("connection_lost", python3.exec, "drop")
    refused("connection_lost", python3.exec, "half")
    begun = time.time()
    refused("no_answer", python3._call, "POST", python3.COMPAT + "/exec", {"code": "slow 60"}, wait=0.3)
    assert time.time() - begun < 30
    python3.configure(socket=PLACES["socket"] + ".missing")
    refused("unreachable", python3.exec, "zero")


class Response(object):
    def __init__(self, response):
        self.statusCode = response.statusCode()
        self.text = response.body()


class IgnitionsClient(object):
    """``system.net.httpClient``, which is Java's client with a few arguments by name."""

    def __init__(self, timeout, version, redirect_policy, customizer):
        assert redirect_policy == "NEVER"
        builder = HttpClient.newBuilder().version(HttpClient.Version.valueOf(version))
        builder.connectTimeout(Duration.ofMillis(timeout))
        customizer(builder)
        self.client = builder.build()

    def request(self, url, method, headers, timeout, data=None):
        builder = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofMillis(timeout))
        for name, value in headers.items():
            builder.header(name, value)
        body = HttpRequest.BodyPublishers.noBody() if data is None else HttpRequest.BodyPublishers.ofString(data)
        return Response(self.client.send(builder.method(method, body).build(), HttpResponse.BodyHandlers.ofString()))


@check
def through_ignitions_client():
    made = []

    class system(object):
        class net(object):
            @staticmethod
            def httpClient(**given):
                made.append(given)
                return IgnitionsClient(**given)

    sys.modules["system"] = system
    try:
        start_over(http_client=True, connect_timeout=2)
        equal(python3.exec("typed")["t"], u"Gr\xfc\xdfe \U0001f600")
        equal(python3.example(), u"Hello")
        refused("busy", python3.exec, "busy")
        refused("connection_lost", python3.exec, "drop")
        refused("no_answer", python3._call, "POST", python3.COMPAT + "/exec", {"code": "slow 60"}, wait=0.3)
        equal(len(made), 1)
        equal(made[0]["timeout"], 2000)
        start_over(url="http://127.0.0.1:%d" % PLACES["dead_port"], http_client=True)
        refused("unreachable", python3.exec, "c")
        start_over(http_client=True, token="wrong")
        refused("unauthorized", python3.exec, "c")
    finally:
        del sys.modules["system"]
    refused("not_configured", python3.configure, http_client=True, socket="/a")


run_all()
