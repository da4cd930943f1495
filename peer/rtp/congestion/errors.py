"""Errors of the parsers of feedback."""

from ..._util.errors import PeerError


class MalformedFeedback(PeerError, ValueError):
    """A feedback packet does not follow its format, or exceeds a bound; it is to be dropped.

    Attributes:
        size: Bytes of the packet.
        problem: A description of what is wrong with it.
    """

    def __init__(self, size: int, problem: str) -> None:
        self.size = size
        self.problem = problem
        super().__init__(f"feedback of {size} bytes is malformed: {problem}")
