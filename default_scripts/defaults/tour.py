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

USEFUL = {
    "log_digest": "what a wrapper.log complains about",
    "clock_drift": "clock drift warnings, held against restarts",
    "thread_dumps": "deadlocks, and threads that are stuck",
    "alarm_journal": "floods, chattering and standing alarms",
    "historian_gaps": "gaps, flat lines and bad quality by tag",
    "tag_diff": "what changed between two tag exports",
    "tag_lint": "a tag export against rules",
    "config_diff": "what changed between two configurations",
    "project_inventory": "what is in a project export",
    "backup_check": "whether a gateway backup is intact",
    "cert_expiry": "which certificates end soon",
    "disk_health": "how full disks are, how sound a database is",
    "csv_summary": "each column of a CSV file",
}
"""What comes with Gatewright, beside this tour: scripts of the folder ``defaults``."""

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
    print("2. Its parameters come from the block at the top: change them when you run")
    print("   it, for example  gatewright run defaults/tour -p name=Ada -p pause=0.1")
    time.sleep(pause)
    print("3. What the function returns is the result of the run, kept with its output")
    print("   in the history.")
    time.sleep(pause)
    print("4. Every run starts in a clean process. Stop a run that hangs; nothing else")
    print("   notices. Try it: put  while True: pass  into this function.")
    time.sleep(pause)
    print("5. These scripts help tonight. Each has data to try in documents/samples, and")
    print("   its text says what it reads. They see what you hand them, nothing else:")
    for script, purpose in USEFUL.items():
        print(f"   {'defaults/' + script:28} {purpose}")
    print("   Try one, in the folder of the project:")
    print("gatewright run defaults/tag_lint --file export=documents/samples/tags_after.json")
    time.sleep(pause)
    print("6. Scripts of yours may need packages. An administrator adds them:")
    print("   gatewright packages install NAME")
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
