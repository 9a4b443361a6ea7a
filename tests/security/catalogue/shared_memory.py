"""Leaving something in the host's ``/dev/shm``, and taking memory there that no process is seen to hold.

RESTRICTED scripts have no such folder. An administrator's have one of their own, so what they try here must fail too.
"""

from __future__ import annotations

from attack import Attack

FILE = """
with open("/dev/shm/" + place["tag"], "wb") as file:
    file.write(b"left")
"""

OBJECT = """
import _posixshmem
fd = _posixshmem.shm_open("/" + place["tag"], os.O_CREAT | os.O_RDWR, mode=0o600)
os.ftruncate(fd, 4096)
"""

SEMAPHORE = """
import _multiprocessing
_multiprocessing.SemLock(1, 1, 1, "/" + place["tag"], False)
"""

BYTES = """
hold = []
with open("/dev/shm/" + place["tag"], "wb") as file:
    for _ in range(96):
        file.write(bytes(1 << 20))
    file.flush()
    hold = b"x" * (64 << 20)
    os.unlink(file.name)
    time.sleep(0 if place["plain"] else 60)
    won(f"{96 + 64} MiB")
"""
"""More than an ADMIN run of the trial may hold, but neither half of it is."""

ATTACKS = [
    Attack(name="file", code=FILE, shows="host:outside /dev/shm", admin="ok"),
    Attack(name="object", code=OBJECT, shows="host:outside /dev/shm", admin="ok"),
    Attack(name="semaphore", code=SEMAPHORE, shows="host:outside /dev/shm", admin="ok"),
    Attack(name="bytes", code=BYTES, wall=30.0, admin="memory"),
]
