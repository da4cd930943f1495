"""File transfer over a data channel: offer, accept, verify, and resume after an interruption.

* :mod:`.protocol`: the messages of the protocol ``icefloe.files.v1``.
* :mod:`.sender`, :mod:`.receiver`: the state machines of the two sides. No I/O.
* :mod:`.file_names`: the names of files to send and of files to write.
* :mod:`.file_source`, :mod:`.destination`, :mod:`.partial_file`: reading and writing files.
* :mod:`.disk_thread`: the thread in which files are read and written.
* :mod:`.file_lock`: the lock by which a partial file belongs to one transfer at a time.
* :mod:`.session`: state machines, disk thread and data channel put together.
* :mod:`.errors`: the errors of transfers.
"""
