"""A network of the test run's own: loopback and one interface, and no way out.

ICE gathers on every interface and browsers multicast, so where it can (Linux, root) a run moves
into a network namespace in which nothing else lives. What it starts afterwards inherits it.
"""

import ctypes
import os
import subprocess
import sys

_CLONE_NEWNET = 0x40000000
_MARK = "ICEFLOE_TEST_NETNS"

ADDRESS = "198.18.0.1"
"""IPv4 address of the interface: RFC 2544's benchmarking range, which no real network uses."""


def can_isolate() -> bool:
    """Tell whether this process may make a network namespace."""
    return sys.platform == "linux" and os.geteuid() == 0


def isolate() -> bool:
    """Move this process into a network namespace of its own; do nothing if it is in one.

    Must be called while the process has a single thread: the kernel moves threads, not processes.

    Returns:
        Whether the process is isolated.
    Raises:
        OSError: The kernel refused the namespace.
        subprocess.CalledProcessError: ``ip`` could not set it up.
    """
    if os.environ.get(_MARK):
        return True
    if not can_isolate():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare(CLONE_NEWNET): {os.strerror(number)}")
    os.environ[_MARK] = "1"
    _ip("link set lo up")
    if not _ip("link add lan0 type dummy", check=False):
        # A kernel without the dummy driver: one end of a pair, whose other end nobody reads.
        _ip("link add lan0 type veth peer name lan1")
        _ip("link set lan1 up")
    _ip(f"addr add {ADDRESS}/24 dev lan0")
    _ip("link set lan0 up")
    _ip("route add default dev lan0")
    return True


def _ip(arguments: str, *, check: bool = True) -> bool:
    command = ["ip", *arguments.split()]
    quiet = None if check else subprocess.DEVNULL
    return subprocess.run(command, check=check, stderr=quiet).returncode == 0
