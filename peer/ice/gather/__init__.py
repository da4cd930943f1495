"""Candidate gathering: interfaces, STUN and TURN servers, multicast DNS (RFC 8445 section 5.1)."""
