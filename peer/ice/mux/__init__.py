"""One port for many connections: demultiplexing, shared sockets, and the public ``UdpMux``."""
