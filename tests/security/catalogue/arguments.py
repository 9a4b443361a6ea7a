"""Finding out from inside how a slot was set up: layers, grants, paths, what it is told and by whom.

None of it is a secret that opens anything. But it tells a script what to aim at, and an engine that leaves it in
arguments, frames or objects leaves its descriptors and sockets there, too. A plain process stands for such an engine:
what it runs scripts with is in its arguments and in a frame below theirs.
"""

from __future__ import annotations

from attack import Attack

LOOK = """
def tells(value):
    '''Whether this is, or holds, what a slot is made from.'''
    if isinstance(value, (str, bytes)):
        return '"layers"' in text(value) or '"grants"' in text(value)
    names = value if isinstance(value, dict) else getattr(value, "__dict__", None) or getattr(value, "__slots__", ())
    return "layers" in names or "grants" in names or "own_pidns" in names

def look_below(frame):
    '''Every frame that led to this one: how many there are that are no script's, and what they hold.'''
    others = 0
    while frame:
        others += frame.f_code.co_filename[:1] != "<"
        for space in (frame.f_locals, frame.f_globals):
            for name, value in list(space.items()):
                if tells(value) or name in ("config", "control", "template", "layers", "grants"):
                    won(f"{name} of {frame.f_code.co_qualname}")
        frame = frame.f_back
    return others
"""

ORIGINAL = "if any(map(tells, sys.orig_argv)):\n    won('sys.orig_argv')\n"

OF_C = """
count, given = ctypes.c_int(), ctypes.POINTER(ctypes.c_wchar_p)()
ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(given))
for number in range(count.value):
    if tells(given[number]):
        won(given[number])
"""

COMMAND_LINE = """
with open("/proc/self/cmdline") as file:
    if tells(file.read()):
        won("/proc/self/cmdline")
"""

FRAMES = """
if look_below(sys._getframe()) > 1:
    won("frames below the one that runs the script")
"""

CURRENT = """
for frame in sys._current_frames().values():
    if look_below(frame) > 1:
        won("frames below the one that runs the script")
"""

TRACEBACK = """
try:
    1 / 0
except ZeroDivisionError as error:
    if look_below(error.__traceback__.tb_frame) > 1:
        won("frames below the one that runs the script")
"""

AT_EXIT = """
import atexit
atexit.register(lambda: look_below(sys._getframe()))
class Left:
    def __del__(self):
        look_below(sys._getframe())
sys.left = Left()
left = Left()
left.itself = left
del left
if place["plain"]:
    sys.left = None
"""

OBJECTS = """
import gc

def named(value):
    return getattr(value, "__dict__", None) or getattr(value, "__slots__", ())

gc.unfreeze()
for item in gc.get_objects():
    if type(item) is dict and type(item.get("grants")) is list:
        won(f"a configuration: {sorted(item)}")
    if type(item).__name__ in ("Config", "Layers", "View", "Ruleset"):
        won(type(item).__name__)
    if type(item).__name__ == "Template":
        held = [item, *vars(item).values()]
        tell("Template", sorted(vars(item)))
        if any("layers" in names or "grants" in names or "readable" in names for names in map(named, held)):
            won("a template that holds its configuration")
"""

WAYS = {
    "argv": ORIGINAL,
    "argv-of-c": OF_C,
    "cmdline": COMMAND_LINE,
    "frames": FRAMES,
    "current-frames": CURRENT,
    "frames-of-a-traceback": TRACEBACK,
    "frames-at-exit": AT_EXIT,
    "objects": OBJECTS,
}

ATTACKS = [Attack(name=name, code=LOOK + code) for name, code in WAYS.items()]
