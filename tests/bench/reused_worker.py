"""The baseline of run latency: the worker's own frames and compile path in one reused process, so without the fork.

Run by file path with the folder of ``engine/worker`` as its argument and one end of a stream socket as its standard
input. Nothing is clean here: it prices what a clean process for every run costs.
"""

import gc
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(sys.argv[1])))

from engine.worker.child import prepare_interpreter
from engine.worker.hints import Circumstances
from engine.worker.program import RunFrame
from engine.worker.wire import HEADER, Frame


def main() -> None:
    with open(os.devnull, "r+b", buffering=0) as null:
        run_socket = os.dup(0)
        os.dup2(null.fileno(), 0)
    program = prepare_interpreter(None, Circumstances(restricted=True))
    gc.collect()
    gc.freeze()  # as the template does
    program.channel.fd = run_socket
    while data := os.read(run_socket, 1 << 20):
        request = RunFrame(data[HEADER.size :])
        program.channel.send(Frame.RESULT, program.run(request, {}))
        program.reset()


main()
