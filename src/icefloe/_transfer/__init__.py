"""What ``icefloe send`` and ``icefloe receive`` do: meet by a code, transfer, and go on after a
break until it is done."""

from .receiving import ReceiveSettings, receive
from .sending import SendSettings, send

__all__ = ["ReceiveSettings", "SendSettings", "receive", "send"]
