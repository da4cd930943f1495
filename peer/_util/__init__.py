"""The parts that ICE, SCTP, RTP and the connection share."""
