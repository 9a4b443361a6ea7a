# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.gatewright]
# title = "A tour of Gatewright"
# description = "Shows in a few seconds what a script can do here: output as it comes, parameters, a result"
# kind = "utility"
# entrypoint = "main"
# tags = ["start here"]
# [tool.gatewright.params.name]
# type = "str"
# default = "engineer"
# help = "whom to greet"
# [tool.gatewright.params.pause]
# type = "float"
# default = 0.4
# help = "seconds between two lines"
# [tool.gatewright.limits]
# timeout = 60
# ///
"""A tour of Gatewright: run it, read what it prints, then change something and run it again."""

import statistics
import time

TANK_LEVELS = [61.2, 60.8, 60.9, 58.7, 55.1, 52.6, 52.4, 57.9]
LOW = 55.0


def main(name: str = "engineer", pause: float = 0.4):
    """Gatewright calls this function because the block at the top names it as the entrypoint."""
    print(f"Hello {name}!")
    time.sleep(pause)
    print("1. What a script prints arrives while it runs. Eight tank levels, one by one:")
    for minute, level in enumerate(TANK_LEVELS):
        time.sleep(pause)
        print(f"   minute {minute}   {level:5.1f} %   {bar(level)}{'   low' if level < LOW else ''}")
    time.sleep(pause)
    print("2. Its parameters come from the block at the top: change them when you run it, for example")
    print("   gatewright run defaults/tour -p name=Ada -p pause=0.1")
    time.sleep(pause)
    print("3. What the function returns is the result of the run, kept with its output in the history.")
    time.sleep(pause)
    print("4. Every run starts in a clean process. Stop a run that hangs; nothing else notices.")
    print("   Try it: put  while True: pass  into this function.")
    return summary(TANK_LEVELS)


def bar(level):
    """A bar of up to 25 characters for 0 to 100 %."""
    return "#" * round(level / 4)


def summary(levels):
    """Plain numbers, texts, lists and dicts reach whoever started the run as JSON."""
    return {
        "readings": len(levels),
        "mean": round(statistics.fmean(levels), 2),
        "lowest": min(levels),
        "minutes_low": [minute for minute, level in enumerate(levels) if level < LOW],
    }
