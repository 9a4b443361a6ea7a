"""Sending anything to anybody, and being reached by anybody."""

from __future__ import annotations

from attack import Attack

FAMILIES = {
    "inet-stream": (2, 1, 0), "inet-dgram": (2, 2, 0), "inet-raw": (2, 3, 1), "inet-icmp": (2, 2, 1),
    "inet6-stream": (10, 1, 0), "inet6-dgram": (10, 2, 0), "inet-mptcp": (2, 1, 262), "inet-sctp": (2, 1, 132),
    "unix-stream": (1, 1, 0), "unix-dgram": (1, 2, 0), "unix-seqpacket": (1, 5, 0),
    "netlink-route": (16, 3, 0), "netlink-audit": (16, 3, 9), "netlink-netfilter": (16, 3, 12),
    "netlink-uevent": (16, 3, 15), "packet": (17, 3, 0x300), "vsock-stream": (40, 1, 0), "vsock-dgram": (40, 2, 0),
    "alg": (38, 5, 0), "can": (29, 3, 1), "tipc": (30, 5, 0), "bluetooth": (31, 3, 0), "xdp": (44, 3, 0),
    "kcm": (41, 5, 0), "rds": (21, 5, 0), "smc": (43, 1, 0), "qipcrtr": (42, 2, 0), "ax25": (3, 5, 0),
    "key": (15, 3, 2), "llc": (26, 1, 0), "pppox": (24, 1, 0), "phonet": (35, 2, 0), "ieee802154": (36, 2, 0),
}  # fmt: skip
"""Domain, type and protocol of socket(2), by the numbers of linux/socket.h."""

OF_ROOT = {"inet-raw", "packet", "xdp", "key", "llc", "ax25", "can", "netlink-audit", "netlink-netfilter", "phonet"}
USUAL = {"inet-stream", "inet-dgram", "unix-stream", "unix-dgram", "unix-seqpacket", "netlink-route", "netlink-uevent"}

SOCKET = """
answer = raw(41, *{arguments})
tell("socket", errno.errorcode.get(-answer, answer) if answer < 0 else answer)
if answer >= 0:
    won("a socket of this family")
else:
    lacks("this family: " + errno.errorcode.get(-answer, "?"))
"""

DELIVERIES = {
    "tcp": "socket.create_connection(('127.0.0.1', place['tcp']), 2).sendall(b'through')",
    "tcp-fast-open": "socket.socket().sendto(b'through', 0x20000000, ('127.0.0.1', place['tcp']))",
    "udp": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'through', ('127.0.0.1', place['udp']))",
    "unix-path": "(lambda s: (s.connect(place['unix']), s.sendall(b'through')))(socket.socket(socket.AF_UNIX))",
    "unix-path-relative": "(os.chdir(place['folder']), (lambda s: (s.connect('unix'), s.sendall(b'through')))("
    "socket.socket(socket.AF_UNIX)))",
    "unix-path-dgram": "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'through', place['unix_dgram'])",
    "unix-abstract": "(lambda s: (s.connect(place['abstract']), s.sendall(b'through')))(socket.socket(socket.AF_UNIX))",
    "pair-sendto": "socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'through', place['unix_dgram'])",
    "pair-sendmsg": "socket.socketpair(type=socket.SOCK_DGRAM)[0].sendmsg([b'through'], [], 0, place['unix_dgram'])",
    "pair-connect": "(lambda s: (s.connect(place['unix_dgram']), s.send(b'through')))("
    "socket.socketpair(type=socket.SOCK_DGRAM)[0])",
    "pair-abstract": "socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'through', place['abstract_dgram'])",
    "pair-descriptor": "socket.socketpair(type=socket.SOCK_DGRAM)[0].sendmsg([b'through'], [(socket.SOL_SOCKET, "
    "socket.SCM_RIGHTS, struct.pack('i', 0))], 0, place['unix_dgram'])",
    "dns-question": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0"
    "\\x06leaked\\x04test\\0\\0\\x01\\0\\x01', ('127.0.0.1', place['udp']))",
    "asyncio": "__import__('asyncio').run(__import__('asyncio').open_connection('127.0.0.1', place['tcp']))",
    "urllib": "__import__('urllib.request').request.urlopen('http://127.0.0.1:%d/leak' % place['tcp'], timeout=0.3)",
    "log-handler": "__import__('logging.handlers').handlers.DatagramHandler('127.0.0.1', place['udp'])"
    ".send(b'through')",
}

SENDMMSG = """
a, b = socket.socketpair(type=socket.SOCK_DGRAM)
data = ctypes.create_string_buffer(b"through")
address = ctypes.create_string_buffer(struct.pack("H", 1) + place["unix_dgram"].encode() + b"\\0")
vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 7))
head = struct.pack("QIxxxxQQQQixxxx", ctypes.addressof(address), len(address), ctypes.addressof(vector), 1, 0, 0, 0)
tell(raw(307, a.fileno(), ctypes.create_string_buffer(head + bytes(8)), 1, 0))
"""

HIGH_ADDRESS = """
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
area = libc.mmap(1 << 40, 4096, 3, 0x32, -1, 0)
address = struct.pack("H", 1) + place["unix_dgram"].encode() + b"\\0"
ctypes.memmove(area, address, len(address))
a, b = socket.socketpair(type=socket.SOCK_DGRAM)
tell(hex(area), raw(44, a.fileno(), b"through", 7, 0, ctypes.c_void_p(area), len(address)))
"""
"""The lower half of the address' address is zero, which a filter of 32 bits could take for no address."""

RESOLVE = """
tell(socket.getaddrinfo("localhost", 80))
won("a name was looked up")
"""

LISTEN = """
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
won(f"listens at {s.getsockname()}")
"""

BIND_UNIX = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + place["tag"])
won("listens at an abstract name")
"""

PAIR_BIND = """
s, _ = socket.socketpair(type=socket.SOCK_DGRAM)
s.bind("\\0" + place["tag"])
won("a socket of a pair got a name")
"""

PAIR_LISTEN = """
s, _ = socket.socketpair()
let_in("listen", raw(50, s.fileno(), 1))
let_in("accept", raw(43, s.fileno(), 0, 0))
"""

OPTIONS = """
s, _ = socket.socketpair()
let_in("SO_ATTACH_FILTER", raw(54, s.fileno(), 1, 26, struct.pack("HxxxxxxQ", 0, 0), 16))
let_in("SO_BINDTODEVICE", raw(54, s.fileno(), 1, 25, b"lo", 2))
"""

RIGHTS = """
engine = socket.socket(fileno=os.dup(3))
socket.send_fds(engine, [b"\\0"], [0, 1, 2])
won("descriptors went to the engine")
"""

INTERFACES = """
tell(socket.if_nameindex())
won("the host's interfaces are listed")
"""

TUN = """
os.close(os.open("/dev/net/tun", os.O_RDWR))
won("/dev/net/tun")
"""


def _family(name: str, arguments: tuple[int, int, int]) -> Attack:
    lack = "" if name in USUAL else "the kernel may be built without this family"
    return Attack(name=f"socket-{name}", code=SOCKET.format(arguments=arguments), root=name in OF_ROOT, may_lack=lack)


def _with_socket(code: str) -> str:
    return "import socket\n" + code


ATTACKS = [
    *(_family(name, arguments) for name, arguments in FAMILIES.items()),
    *(
        Attack(
            name=name,
            code=_with_socket(statement),
            shows="host:heard",
            may_lack="TCP Fast Open may be off" if name == "tcp-fast-open" else "",
        )
        for name, statement in DELIVERIES.items()
    ),
    Attack(name="pair-sendmmsg", code=_with_socket(SENDMMSG), shows="host:heard"),
    Attack(name="pair-sendto-high", code=_with_socket(HIGH_ADDRESS), shows="host:heard"),
    Attack(name="resolve", code=_with_socket(RESOLVE)),
    Attack(name="listen", code=_with_socket(LISTEN)),
    Attack(name="bind-abstract", code=_with_socket(BIND_UNIX)),
    Attack(name="pair-bind", code=_with_socket(PAIR_BIND)),
    Attack(name="pair-listen", code=_with_socket(PAIR_LISTEN)),
    Attack(name="socket-options", code=_with_socket(OPTIONS)),
    Attack(name="descriptors-to-the-engine", code=_with_socket(RIGHTS)),
    Attack(name="interfaces", code=_with_socket(INTERFACES)),
    Attack(name="tun", code=TUN, root=True),
]
