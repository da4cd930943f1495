"""Rooms: everybody in a room of the signaling server, connected with everybody else."""
