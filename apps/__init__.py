"""The applications, each run by `python -m apps.<app>`."""

import signal
import sys

# `python -m` is called so until it has read the program. Until `launch` then,
# SIGINT ends the process without the traceback of an import.
if (
    sys.argv[:1] == ["-m"]
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
