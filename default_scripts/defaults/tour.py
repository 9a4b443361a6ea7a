# /// script
# requires-python = ">=3.9"
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
    "logs": ["log_digest", "clock_drift", "thread_dumps", "alarm_journal"],
    "data": ["tag_diff", "tag_lint", "historian_gaps", "csv_summary"],
    "gateway": ["config_diff", "project_inventory", "backup_check"],
    "host": ["disk_health", "cert_expiry"],
}
"""The other scripts of the folder ``defaults``, which come with Gatewright, too."""

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
    print("5. Beside this one are scripts that help tonight. documents/samples has data")
    print("   to try them with; they see what you hand them, and nothing else:")
    for subject, scripts in USEFUL.items():
        print(f"   {subject:8} {', '.join(scripts)}")
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
