"""The floor of "a clean process for every run": a bare zygote that forks, runs, answers and reaps, and no more.

No sandbox, no limits, no warm-up. Started with one end of a stream socket as its standard input; a request is a length
and source text, the answer a length and JSON.
"""

import json
import os
import struct
import sys

HEADER = struct.Struct("<I")


def read_exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(fd, count - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def run(fd: int, source: bytes) -> None:
    namespace = {"__name__": "__main__"}
    exec(compile(source, "<script>", "exec"), namespace)
    answer = json.dumps({"result": namespace.get("result")}).encode()
    os.write(fd, HEADER.pack(len(answer)) + answer)


def main() -> None:
    fd = 0
    while True:
        (length,) = HEADER.unpack(read_exactly(fd, HEADER.size))
        source = read_exactly(fd, length)
        child = os.fork()
        if child == 0:
            run(fd, source)
            os._exit(0)
        os.waitpid(child, 0)


main()
