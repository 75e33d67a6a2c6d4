"""A name server for the loopback: 127.0.0.1 for every name below test, nothing for all others. UDP only.

It says so twice: where there are several addresses, libc asks the kernel which is the best.
"""

import socket
import struct

A = 1


def answer(query):
    """The whole answer to a query with one question."""
    end = query.index(0, 12) + 5
    kind = struct.unpack("!H", query[end - 4:end - 2])[0]
    known = query[12:end].lower().find(b"\4test\0") >= 0
    found = known and kind == A
    head = query[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, 2 * found, 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton("127.0.0.1")
    return head + query[12:end] + (2 * record if found else b"")


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(512)
    server.sendto(answer(query), client)
