# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Polls many devices at once, a thread each, and says which did not answer."
# ///
"""Threaded poller of a Modbus-like protocol; the devices are simulated on this host."""

import queue
import socket
import socketserver
import struct
import threading
import time
from collections import Counter

HEADER = struct.Struct(">HHHB")
DEVICES = 12
BROKEN = {3, 7}
TIMEOUT = 20.0


class Device(socketserver.BaseRequestHandler):
    """Answers a read of holding registers with the unit's number and its square."""

    def handle(self):
        while head := self.request.recv(HEADER.size):
            transaction, _, size, unit = HEADER.unpack(head)
            self.request.recv(size)
            if unit in BROKEN:
                return
            body = struct.pack(">HH", unit, unit * unit)
            self.request.sendall(HEADER.pack(transaction, 0, len(body), unit) + body)


class Plant(socketserver.ThreadingTCPServer):
    daemon_threads = True


def exactly(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def poll(address, jobs, answers):
    while True:
        try:
            unit = jobs.get_nowait()
        except queue.Empty:
            return
        try:
            with socket.create_connection(address, timeout=TIMEOUT) as sock:
                request = struct.pack(">HH", 0, 2)
                sock.sendall(HEADER.pack(unit + 1000, 0, len(request), unit) + request)
                transaction, _, size, _ = HEADER.unpack(exactly(sock, HEADER.size))
                registers = struct.unpack(">HH", exactly(sock, size))
                state = "ok" if transaction == unit + 1000 else "mixed up"
                answers.put((unit, state, registers))
        except (OSError, ConnectionError) as error:
            answers.put((unit, "too late" if isinstance(error, TimeoutError) else "no answer", None))
        finally:
            jobs.task_done()


def main():
    with Plant(("127.0.0.1", 0), Device) as plant:
        threading.Thread(target=plant.serve_forever, name="plant", daemon=True).start()
        jobs, answers = queue.Queue(), queue.SimpleQueue()
        for unit in range(1, DEVICES + 1):
            jobs.put(unit)
        started = time.monotonic()
        pollers = [
            threading.Thread(target=poll, args=(plant.server_address, jobs, answers), name=f"poller-{n}")
            for n in range(4)
        ]
        for poller in pollers:
            poller.start()
        jobs.join()
        for poller in pollers:
            poller.join()
        took = time.monotonic() - started
        plant.shutdown()
    rows = sorted(answers.get() for _ in range(DEVICES))
    for unit, state, registers in rows:
        print(f"unit {unit:2}  {state:10} {registers or ''}".rstrip())
    print(dict(sorted(Counter(state for _, state, _ in rows).items())))
    print("side by side" if took < TIMEOUT else "one after the other")


if __name__ == "__main__":
    main()
