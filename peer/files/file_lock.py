"""Non-blocking file locks (``flock``), so that a partial file is used by one transfer at a time."""

import errno
import os
import sys

_LOCKED = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
"""The errors of the system for a file that is locked already."""

_LOCK_OFFSET = 2**62
"""Offset of the byte that is locked on Windows, beyond the end of any file."""

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, *, shared: bool) -> None:
        del shared  # Windows has only exclusive locks here
        at = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            os.lseek(fd, _LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, at, os.SEEK_SET)

else:
    import fcntl

    def _lock(fd: int, *, shared: bool) -> None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def take(fd: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, against other processes and other transfers here.

    Args:
        fd: The open file.
        shared: Whether the lock is shared, for reading.

    Returns:
        Whether the file was not locked by another transfer. On a file system without locks this is
        always true.
    """
    try:
        _lock(fd, shared=shared)
    except OSError as error:
        return error.errno not in _LOCKED
    return True
