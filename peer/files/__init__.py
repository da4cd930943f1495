"""File transfer over a data channel: offer, accept, verify, and resume after an interruption.

* :mod:`.protocol`: the messages of the protocol ``icefloe-transfer-1``.
* :mod:`.sender`, :mod:`.receiver`: the state machines of the two sides. No I/O.
* :mod:`.file_names`: the names of files to send and of files to write.
* :mod:`.file_source`, :mod:`.destination`, :mod:`.partial_file`: reading and writing files.
* :mod:`.disk_thread`: the thread in which files are read and written.
* :mod:`.file_lock`: the lock that reserves a partial file for one transfer.
* :mod:`.send_session`, :mod:`.receive_session`: state machine, disk thread and data channel of each
  side put together.
* :mod:`.progress`: the progress that both sides report.
* :mod:`.errors`: the errors of transfers and of pairing.
"""
