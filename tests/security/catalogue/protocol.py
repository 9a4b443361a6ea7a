"""Lies on the run's own socket. A plain run shows that the bytes really leave; the engine must not believe them."""

from __future__ import annotations

from attack import Attack

SEND = """
def frame(kind, payload, size=None):
    return struct.pack("<IB", len(payload) if size is None else size, kind) + payload

def result(head, value=b""):
    return frame(7, struct.pack("<I", len(head)) + head + value)

def send(data):
    while data:
        data = data[os.write(3, data):]

MARK = b"FORGED" + b"-FRAME"
"""

BROKEN = {
    "garbage": "MARK * 40",
    "oversized-output": "frame(3, MARK, size=0xFFFFFFFF)",
    "oversized-result": "frame(7, MARK, size=1 << 30)",
    "long-output": "frame(3, MARK * 20_000)",
    "hello-again": "frame(1, MARK * 8)",
    "hello-replayed": "frame(1, bytes(64)) + MARK",
    "run-turned-round": "frame(2, MARK)",
    "call": "frame(5, MARK, size=(1 << 20) + 1)",
    "call-of-nothing": "frame(5, bytes(4)) + MARK",
    "reply": "frame(6, MARK)",
    "chunk": "frame(8, MARK)",
    "unknown-type": "frame(200, MARK)",
    "type-zero": "frame(0, MARK)",
    "empty-result": "frame(7, b'')",
    "result-head-too-long": "frame(7, struct.pack('<I', 1 << 31) + MARK)",
    "result-head-cut": 'result(b\'{"outcome": "o\')',
    "result-not-json": "result(MARK)",
    "result-a-list": "result(b'[]')",
    "result-pickled": "result(b'', b'\\x80\\x04cposix\\nsystem\\n(S\"touch ' + MARK + b'\"\\ntR.')",
    "result-deep": "result(b'', b'[' * 400_000 + b']' * 400_000)",
    "result-deep-head": "result(b'{\"error\":' * 100_000 + b'1' + b'}' * 100_000)",
    "result-too-large": "result(b'', b'\"' + b'x' * (1 << 20) + b'\"')",
    "result-nan": "result(b'', b'NaN')",
    "result-bad-utf-8": "result(b'', b'\"\\xff\\xfe\"')",
    "result-lone-surrogate": "result(b'', b'\"\\\\ud800\"')",
    "result-huge-number": "result(b'', b'1e999')",
    "result-long-number": "result(b'', b'1' * 900_000)",
    "result-number-of-5000-digits": "result(b'', b'[-' + b'7' * 5000 + b']')",
    "result-long-fraction": "result(b'', b'0.' + b'1' * 900_000 + b'e999')",
    "claims-timeout": 'result(b\'{"outcome": "timeout"}\')',
    "claims-cancelled": 'result(b\'{"outcome": "cancelled"}\')',
    "claims-interrupted": 'result(b\'{"outcome": "interrupted"}\')',
    "claims-unavailable": 'result(b\'{"outcome": "sandbox_unavailable"}\')',
    "claims-isolation": 'result(b\'{"isolation": "full"}\')',
    "claims-signal": "result(b'{\"signal\": 9}')",
    "wrong-types": 'result(b\'{"error": {"type": 1, "message": []}}\')',
}
"""Each must end the run as a breach of the protocol."""

CUT = {
    "cut-header": "b'\\x05\\0\\0'",
    "cut-payload": "frame(3, b'', size=5000) + MARK",
    "cut-result": "frame(7, struct.pack('<I', 0), size=5000) + MARK",
}
"""Begun and never ended: the run ends at its limit, or as what its process does."""

GO_ON = "\nwhile not place['plain']:\n    time.sleep(1)"
"""The engine has to end the run itself."""

CALL_OF_A_RUN_WITHOUT = """
send(frame(5, bytes(4) + b'{"op": "engine.stop", "params": {}, "body": {"force": true, "why": "' + MARK + b'"}}'))
if not place["plain"]:
    answer = os.read(3, 65536)
    if b'"unavailable"' not in answer:
        won(text(answer))
"""
"""A frame as an honest child sends it, from a run that may ask nothing: it is refused, and the run goes on."""

RESULT_TWICE = """
send(result(b"", b'"first"') + result(b"", b'"' + MARK + b'"') + frame(3, MARK))
"""

RESULT_THEN_FLOOD = """
send(result(b"", b"1"))
end = time.monotonic() + 0.3
while time.monotonic() < end:
    send(frame(3, MARK * 1000))
"""

CLOSED = """
send(MARK[:3])
os.closerange(0, 64)
"""

SHUT_DOWN = """
import socket
s = socket.socket(fileno=3)
s.sendall(MARK)
s.shutdown(socket.SHUT_RDWR)
"""

NO_MORE_READING = """
import socket
s = socket.socket(fileno=os.dup(3))
s.shutdown(socket.SHUT_RD)
s.sendall(MARK)
"""

ATTACKS = [
    *(
        Attack(
            name=name,
            code=f"{SEND}send({data}){GO_ON}",
            shows="host:frames",
            wall=1.0,
            outcomes=("protocol",),
        )
        for name, data in BROKEN.items()
    ),
    *(
        Attack(
            name=name,
            code=f"{SEND}send({data}){GO_ON}",
            shows="host:frames",
            wall=0.5,
            outcomes=("timeout", "protocol"),
        )
        for name, data in CUT.items()
    ),
    Attack(name="call-of-a-run-without", code=SEND + CALL_OF_A_RUN_WITHOUT, shows="host:frames", outcomes=("ok",)),
    *(
        Attack(name=name, code=SEND + code + GO_ON, shows="host:frames", wall=1.0, outcomes=outcomes)
        for name, code, outcomes in (
            ("result-twice", RESULT_TWICE, ("ok", "protocol")),
            ("result-then-flood", RESULT_THEN_FLOOD, ("ok", "protocol")),
            ("closed", CLOSED, ("protocol", "exited")),
            ("shut-down", SHUT_DOWN, ("protocol", "exited")),
            ("reads-no-more", NO_MORE_READING, ()),
        )
    ),
]
