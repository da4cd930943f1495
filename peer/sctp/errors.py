"""Errors of data channels (W3C webrtc-pc 6.1)."""

from aiortc.exceptions import OperationError

from .._util.errors import PeerError, short


class ChannelError(PeerError):
    """Root class of the errors of data channels.

    Attributes:
        label: The label of the channel.
    """

    def __init__(self, label: str, sentence: str) -> None:
        self.label = label
        super().__init__(sentence)


class InvalidChannel(ChannelError, TypeError, ValueError):
    """An option of a data channel is invalid, so the channel is not created.

    It is a ``TypeError``, as W3C webrtc-pc 6.1 demands, and a ``ValueError``, as aiortc raises.

    Attributes:
        label: The label; empty if it is not a string.
        field: The name of the argument of ``createDataChannel()``.
        value: The rejected value.
    """

    def __init__(self, label: object, field: str, value: object, demand: str) -> None:
        self.field = field
        self.value = value
        sentence = f"{field}={short(value)} is refused: {demand}"
        super().__init__(label if isinstance(label, str) else "", sentence)


class ChannelUnavailable(InvalidChannel, OperationError):
    """The identifier of a data channel is in use, or exceeds the number of streams."""
