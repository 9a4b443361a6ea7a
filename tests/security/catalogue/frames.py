"""Floods of the smallest frames: each is little output and much work for the engine, which everybody else waits for.

The engine reads them at a pace: the sign is that it took more of them than that.
"""

from __future__ import annotations

from attack import Attack

FOR_A_WHILE = """
end = time.monotonic() + (0.3 if place["plain"] else 60)
"""

FLOODS = {
    "tiny": """
data = (struct.pack("<IB", 1, 3) + b"t") * 100_000
while time.monotonic() < end:
    os.write(3, data)
""",
    "one-by-one": """
data = struct.pack("<IB", 1, 3) + b"t"
while time.monotonic() < end:
    os.write(3, data)
""",
    "streams-in-turn": """
data = (struct.pack("<IB", 1, 3) + b"o" + struct.pack("<IB", 1, 4) + b"e") * 50_000
while time.monotonic() < end:
    os.write(3, data)
""",
    "descriptors-in-turn": """
data = (struct.pack("<IB", 1, 3) + b"t") * 100
while time.monotonic() < end:
    os.write(3, data)
    os.write(1, b"o")
    os.write(2, b"e")
""",
    "threads": """
import threading
threading.stack_size(64 << 10)
data = (struct.pack("<IB", 1, 3) + b"t") * 100
def flood():
    while time.monotonic() < end:
        os.write(3, data)
for _ in range(4):
    threading.Thread(target=flood, daemon=True).start()
flood()
""",
}

ATTACKS = [
    Attack(
        name=name, code=FOR_A_WHILE + code, shows="host:frames", wall=1.5, watched=True, tiny_frames=True,
        outcomes=("timeout", "protocol") if name == "threads" else ("timeout",),  # its frames may run into each other
    )
    for name, code in FLOODS.items()
]  # fmt: skip
