"""One track for many readers: fan-out of frames, of encoded media, and of transformed tracks."""
