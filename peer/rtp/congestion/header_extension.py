"""Header extension with the transport-wide sequence number.

It is that of draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2. The parser of header
extensions reads it, and :class:`~icefloe.peer.rtp.send.send_stamp.SendStamp` writes it.
"""

URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"""The URI of the extension in ``a=extmap`` lines."""
