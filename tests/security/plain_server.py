"""A plain interpreter that forks a process for each attack and puts nothing in its way: the world without a sandbox.

    python -I plain_server.py CONTROL CONFIGURATION

Takes requests from the socket CONTROL: JSON, with two descriptors, the channel (3 in the process) and the file for
output. Answers with JSON when the process has ended, or was killed at the end of its time. What an engine without care
would hold is held here: its environment, open sockets and files, and what CONFIGURATION says, in a frame below scripts.
"""

import array
import ctypes  # noqa: F401 - attacks need it: once here is quicker than once in each
import json
import os
import resource
import select
import signal
import socket
import sys


def serve(control, config):
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    while True:
        message, ancillary, _, _ = control.recvmsg(1 << 20, socket.CMSG_SPACE(8))
        if not message:
            return
        channel, output = array.array("i", ancillary[0][2])
        request = json.loads(message)
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(request, channel, output)
            _run(request)
            sys.exit()
        os.close(channel)
        os.close(output)
        pidfd = os.pidfd_open(pid)
        ended = bool(select.select([pidfd], [], [], request["wall"])[0])
        os.close(pidfd)
        os.kill(pid, signal.SIGKILL)
        taken = os.wait4(pid, 0)[2].ru_maxrss << 10
        control.send(json.dumps({"ended": ended, "memory": taken - own}).encode())


def _become(request, channel, output):
    os.setpgid(0, request["group"])
    os.chdir(request["folder"])
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(channel, 3)
    for fd in {channel, output} - {1, 2, 3}:
        os.close(fd)


def _run(request):
    for source in request["sources"]:
        try:
            exec(compile(source, "<exec>", "exec"), {"__name__": "__main__"} | request["variables"])
        except BaseException as error:  # noqa: BLE001 - whatever a script raises is what came of it
            print(type(error).__name__, error, flush=True)


held = [open(os.devnull) for _ in range(3)]  # noqa: SIM115
serve(socket.socket(fileno=int(sys.argv.pop(1))), json.loads(sys.argv.pop(1)))
