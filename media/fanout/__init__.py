"""Fan-out of a track to several readers, as raw or encoded frames, and frame transforms."""
