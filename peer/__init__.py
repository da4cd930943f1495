"""The peer connection."""
