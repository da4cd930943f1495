"""A fast SCTP association for data channels (RFC 9260, RFC 8831), in rooms that do no I/O."""
