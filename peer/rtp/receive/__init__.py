"""RTP receiving: packet validation, loss repair, jitter buffer, frame assembly and decoding."""
