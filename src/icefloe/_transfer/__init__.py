"""The commands ``icefloe send`` and ``icefloe receive``: rendezvous by a code, transfer, retry."""

from .receiving import ReceiveSettings, receive
from .sending import SendSettings, send

__all__ = ["ReceiveSettings", "SendSettings", "receive", "send"]
