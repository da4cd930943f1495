"""The history of a connection, and the verdict: the reason why it does not work."""
