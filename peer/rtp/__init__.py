"""RTP: the sending half and the receiving half."""
