"""Sources: files, devices, generated frames and sound, encoded media, and test signals."""
