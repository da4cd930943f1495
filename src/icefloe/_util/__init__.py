"""Utilities that signaling, media and the peer connection share; imports none of them."""
