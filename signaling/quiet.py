"""What websockets may log: no frames, for they hold tokens, and no comings and goings."""

import logging


class QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that lets warnings and errors through.

    Args:
        name: The name of the logger to write to.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def isEnabledFor(self, level: int) -> bool:
        """Tell whether a record of this level is written."""
        return level >= logging.WARNING and super().isEnabledFor(level)
