"""The peer connection: descriptions, trickle ICE, restarts, negotiation, channels, statistics."""
