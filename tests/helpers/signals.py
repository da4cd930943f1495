"""Signals as a program has them that is started at a terminal."""

import signal


def usual() -> None:
    """Have SIGINT and SIGQUIT do what they usually do, here and in what is started from here.

    A shell without job control has its background commands ignore both (POSIX, Shell Command
    Language, section 2.11), and that is inherited: a program of a test run that was started so
    would not notice a Ctrl-C. To be called in the main thread.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGQUIT") and signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
