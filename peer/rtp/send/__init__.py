"""RTP sending: encoding, packetization, pacing, rate control and retransmission."""
