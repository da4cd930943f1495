"""Several signaling servers that act as one: each applies the same commands in the same order.

:mod:`.commands` has what is written to the log, :mod:`.replica` what each server makes of it, and
:mod:`.redis_log` the log in Redis. None of it is loaded by a server that runs alone.
"""
