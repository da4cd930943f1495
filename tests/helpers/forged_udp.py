"""UDP datagrams with a source address that the sender does not have; needs root."""

import socket
import struct

_UDP = 17


def forge(source: tuple[str, int], destination: tuple[str, int], data: bytes) -> None:
    """Send an IPv4 datagram from somebody else's address and port.

    The kernel fills in the checksum and the length of the IP header (raw(7)); UDP needs none.
    """
    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0) + data
    ip = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(udp), 0, 0, 64, _UDP, 0),
        *(socket.inet_aton(host) for host in (source[0], destination[0])),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(ip + udp, (destination[0], 0))
