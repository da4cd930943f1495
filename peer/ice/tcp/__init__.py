"""ICE over TCP (RFC 6544)."""
