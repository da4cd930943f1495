"""Pairing by a short code: two peers meet at a signaling server and authenticate each other.

* :mod:`.code_words`: the words that codes are made of.
* :mod:`.key_exchange`: SPAKE2 (RFC 9382) over the code, bound to the DTLS fingerprints. No I/O.
* :mod:`.attempts`: the order in which peers that knock are tried. No I/O.
* :mod:`.rendezvous`: joining the room of the code, and the connection that comes of it.
"""
