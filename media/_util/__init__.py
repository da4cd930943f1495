"""Threads, queues and clocks shared by sources, sinks and fan-out."""
