"""``conntrack -F`` without that tool: forget all connections of this network namespace.

One message to the kernel, ``IPCTNL_MSG_CT_DELETE`` without a tuple, means all of them.
"""

import os
import socket
import struct

_NETLINK_NETFILTER = 12
_CT_DELETE = 1 << 8 | 2
_REQUEST_ACKNOWLEDGED = 1 | 4
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("=BBH")


def flush() -> None:
    """Forget every connection.

    Raises:
        OSError: The kernel refused.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        size = _HEADER.size + _FAMILY.size
        header = _HEADER.pack(size, _CT_DELETE, _REQUEST_ACKNOWLEDGED, 1, 0)
        netlink.send(header + _FAMILY.pack(socket.AF_UNSPEC, 0, 0))
        (number,) = struct.unpack_from("=i", netlink.recv(4096), _HEADER.size)
        if number:
            raise OSError(-number, f"conntrack flush: {os.strerror(-number)}")


if __name__ == "__main__":
    flush()
