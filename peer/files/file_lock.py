"""A lock on an open file, which belongs to one transfer at a time. Blocks for no time."""

import errno
import os
import sys

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_FAR = 2**62
"""Where the byte is that is locked on Windows: nothing that is written gets there."""

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, *, shared: bool) -> None:
        del shared  # there is one kind
        at = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            os.lseek(fd, _FAR, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, at, os.SEEK_SET)

else:
    import fcntl

    def _lock(fd: int, *, shared: bool) -> None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def take(fd: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, against other processes and within this one.

    Args:
        fd: The open file.
        shared: Whether others may lock it likewise, to read it.

    Returns:
        Whether it is locked now; not if another one has locked it. A file system that has no locks
        counts as one on which nobody else is.
    """
    try:
        _lock(fd, shared=shared)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
