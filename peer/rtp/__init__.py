"""RTP (RFC 3550): sending and receiving of audio and video."""
