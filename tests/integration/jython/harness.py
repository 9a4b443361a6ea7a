"""Runs the checks of one file under Jython and prints a line of JSON for each: its name, and what went wrong."""

import json
import sys
import traceback

from java.lang import System

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def load():
    """Return what the test handed over (addresses, files), and which Java this is: 17."""
    found = json.load(open(sys.argv[1]))
    version = System.getProperty("java.specification.version")
    found["java"] = int(version.replace("1.", "", 1) if version.startswith("1.") else version)
    return found


def run_all():
    for function in CHECKS:
        wrong = None
        try:
            function()
        except:  # Java's exceptions, too
            wrong = traceback.format_exc()
        print(json.dumps({"name": function.__name__, "wrong": wrong}))
        sys.stdout.flush()


def equal(found, wanted):
    assert found == wanted and type(found) == type(wanted), "%r is not %r" % (found, wanted)


def refused(code, call, *args, **kwargs):
    """Return the error that a call ends with; it must have this code."""
    import python3

    try:
        answer = call(*args, **kwargs)
    except python3.Python3Error as error:
        assert error.code == code, "%s instead of %s: %s" % (error.code, code, error)
        return error
    raise AssertionError("no error but %r" % (answer,))
