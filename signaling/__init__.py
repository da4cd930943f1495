"""WebSocket signaling: server, client, messages."""
