"""Helpers shared by ICE, SCTP, RTP and the connection: the pacer, the error root, the logger."""
