"""Files over a data channel: offered, accepted, verified, and resumed where they stopped.

``await peer.send_file(path)`` sends; ``async for offer in peer.files(): await
offer.accept(folder)`` receives. The rooms:

* :mod:`.protocol`: what is said, and the limits. No I/O.
* :mod:`.sender`, :mod:`.receiver`: who says what when. No I/O.
* :mod:`.paths`: names of files, those to send and those to write. Hardly any I/O.
* :mod:`.source`, :mod:`.destination`, :mod:`.part`: reading and writing.
* :mod:`.disk`: the thread in which that is done.
* :mod:`.session`: puts these together over a channel.
* :mod:`.locks`: a part belongs to one transfer at a time.
* :mod:`.pairing`, :mod:`.words`, :mod:`.meeting`: how two find and trust each other by a code.
* :mod:`.attempts`: in which order, and how often, others may try to pair. No I/O.
"""
