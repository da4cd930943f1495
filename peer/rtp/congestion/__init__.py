"""Congestion control of all media of a transport, by the receiver's transport-wide feedback."""
