"""Voice activity detection and speech segmentation on a track."""
