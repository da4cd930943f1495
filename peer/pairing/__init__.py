"""Pairing by a short code: two peers meet at a signaling server and authenticate each other.

* :mod:`.errors`: the errors of pairing.
* :mod:`.code_words`: the word list of codes.
* :mod:`.key_exchange`: SPAKE2 (RFC 9382) over the code, and DTLS fingerprints. No I/O.
* :mod:`.attempts`: rate limiting of key exchanges for each participant. No I/O.
* :mod:`.participant`: another participant of the room, and the connection with it.
* :mod:`.meeting`: the exchange of messages in the room of the code, connecting.
* :mod:`.rendezvous`: joining that room.
"""
