# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Runs the steps of a batch and logs them to rotating files and to the console, as the line does."
# ///
"""Logging as plant software does it: a configuration, rotating files, an own level, a filter, tracebacks."""

import json
import logging
import logging.config
import logging.handlers
import sys
import time
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("logs")
NOTICE = 25

CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_secrets": {"()": "__main__.NoSecrets"}},
    "formatters": {
        "line": {"format": "%(levelname)-7s %(name)s: %(message)s"},
        "file": {"format": "%(asctime)s.%(msecs)03d %(levelname)-7s [%(threadName)s] %(name)s: %(message)s"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "line",
            "level": NOTICE,
        },
        "file": {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": str(FOLDER / "batch.log"),
            "maxBytes": 4000,
            "backupCount": 3,
            "encoding": "utf-8",
            "formatter": "file",
            "filters": ["no_secrets"],
        },
    },
    "root": {"level": "DEBUG", "handlers": ["console", "file"]},
}


class NoSecrets(logging.Filter):
    def filter(self, record):
        if isinstance(record.args, dict) and "password" in record.args:
            record.args = {**record.args, "password": "***"}
        return True


@contextmanager
def step(name, **details):
    log = logging.getLogger(f"batch.{name}")
    begun = time.perf_counter()
    log.debug("begins: %s", json.dumps(details, sort_keys=True))
    try:
        yield log
    except ValueError as error:
        log.error("failed: %s", error)
        log.debug("where", exc_info=True)
    else:
        log.log(NOTICE, "done")
    finally:
        log.debug("took %.3f s", time.perf_counter() - begun)


def main():
    FOLDER.mkdir(exist_ok=True)
    logging.addLevelName(NOTICE, "NOTICE")
    logging.Formatter.converter = time.gmtime
    logging.config.dictConfig(CONFIG)

    with step("login", user="line-3") as log:
        log.info("user %(user)s, password %(password)s", {"user": "line-3", "password": "hunter2"})
    with step("dose", kilograms=12.5) as log:
        for number in range(80):
            log.debug("scale %d: %.2f kg", number, 12.5 * number / 80)
    with step("heat", target=80) as log:
        log.warning("ramp is slow: %s", "2.1 K/min")
        raise ValueError("sensor TT-101 reads nothing")
    with step("report") as log:
        log.info("steps: %d", 4)

    logging.shutdown()
    files = sorted(FOLDER.iterdir())
    print("rotated:", len(files) > 1, files[0].name, all(path.stat().st_size <= 4000 for path in files))
    text = "".join(path.read_text(encoding="utf-8") for path in reversed(files))
    print("traceback kept:", "Traceback" in text and "ValueError: sensor TT-101 reads nothing" in text)
    print("secret kept:", "hunter2" in text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
