"""Sinks: recorder, snapshots, loudspeaker, and readers of frames as arrays."""
