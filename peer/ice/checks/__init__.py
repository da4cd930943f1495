"""Connectivity checks: the check list, STUN binding, nomination, consent (RFC 8445, RFC 7675)."""
