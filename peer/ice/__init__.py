"""The ICE agent: gathering, connectivity checks, TURN client and ICE restarts (RFC 8445)."""
