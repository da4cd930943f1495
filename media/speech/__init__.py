"""Speech detection on a track."""
