"""Gathering of local candidates: interfaces, STUN servers, multicast DNS (RFC 8445 section 5.1)."""
