"""Runs a transfer command until it ends or a signal stops it; maps errors to exit codes."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from icefloe._serving import (
    EXIT_INTERRUPTED,
    EXIT_SIGNALING,
    EXIT_USAGE,
    CommandError,
    exit_signals,
    loop_factory,
)
from icefloe.peer import (
    ConnectFailed,
    InvalidPairingCode,
    PairingError,
    PeerError,
    TransferDeclined,
    TransferErrorCode,
    TransferFailed,
)
from icefloe.signaling import SignalingError

from .reporter import Reporter
from .retrying import cancel
from .stdin import StandardInput

EXIT_PAIRING = 11
EXIT_CONNECTION = 12
EXIT_DECLINED = 13
EXIT_TRANSFER = 14
EXIT_BROKEN = 15
EXIT_TERMINATED = 143

_EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_TERMINATED}


def run(
    work: Callable[[], Awaitable[None]], reporter: Reporter, stdin: StandardInput | None = None
) -> int:
    """Run a command until it ends or a signal stops it.

    Args:
        work: The transfer.
        reporter: Shows the end of the command to the user.
        stdin: Standard input if it is read, so that a read does not delay the end.

    Returns:
        The exit code.

    Raises:
        CommandError: The transfer failed.
    """

    async def main() -> int:
        with exit_signals(_EXIT_CODES) as stopped:
            working = asyncio.ensure_future(work())
            try:
                await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    if stdin is not None:
                        stdin.stop()
                    await cancel(working)
                    reporter.stop()
                    reporter.failed(stopped.result(), "Stopped", "it was stopped by a signal")
                    return stopped.result()
                working.result()
                return 0
            finally:
                reporter.stop()

    with asyncio.Runner(loop_factory=loop_factory()) as runner, _as_command_errors(reporter):
        return runner.run(main())


@contextmanager
def _as_command_errors(reporter: Reporter) -> Iterator[None]:
    try:
        yield
    except (PeerError, SignalingError) as error:
        code = _exit_code(error)
        reporter.failed(code, type(error).__name__, str(error))
        raise CommandError(str(error), code) from error


def _exit_code(error: Exception) -> int:
    match error:
        case InvalidPairingCode():
            return EXIT_USAGE
        case SignalingError():
            return EXIT_SIGNALING
        case PairingError():
            return EXIT_PAIRING
        case TransferDeclined() | TransferFailed(code=TransferErrorCode.CANCELLED):
            return EXIT_DECLINED
        case TransferFailed():
            return EXIT_TRANSFER
        case ConnectFailed():
            return EXIT_CONNECTION
    return EXIT_BROKEN
