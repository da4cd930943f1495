"""The errors of data channels that SCTP cannot open (W3C webrtc-pc 6.1)."""

from aiortc.exceptions import OperationError

from .._util.errors import PeerError, short


class ChannelError(PeerError):
    """The root of the data channels' errors.

    Attributes:
        label: The label of the channel.
    """

    def __init__(self, label: str, sentence: str) -> None:
        self.label = label
        super().__init__(sentence)


class InvalidChannel(ChannelError, TypeError, ValueError):
    """A data channel cannot be as it was asked for, so it is not created.

    W3C webrtc-pc 6.1 throws a ``TypeError`` for what aiortc raises a ``ValueError``: it is both.

    Attributes:
        label: The label; empty if what was given is no text.
        field: The name of the argument, as ``createDataChannel()`` has it.
        value: What was given for it.
    """

    def __init__(self, label: object, field: str, value: object, demand: str) -> None:
        self.field = field
        self.value = value
        sentence = f"{field}={short(value)} is refused: {demand}"
        super().__init__(label if isinstance(label, str) else "", sentence)


class ChannelUnavailable(InvalidChannel, OperationError):
    """The identifier of a data channel is in use, or beyond what both sides have streams for."""
