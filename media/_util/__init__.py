"""Threads, queues and clocks that sources and sinks share."""
