"""Sources: files, URLs, devices, generated frames and audio, encoded media, and test signals."""
