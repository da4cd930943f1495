"""SCTP for data channels (RFC 9260, RFC 8831). All modules but ``transport`` do no I/O."""
