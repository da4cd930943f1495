"""Sinks: recording, snapshots, loudspeakers, and readers of frames."""
