"""The stub of a framework that forks while it is imported; what it forks holds every descriptor and ignores signals."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

from stub import Stub

if not os.fork():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    time.sleep(600)
    os._exit(0)

build = partial(Stub, "stub-forking")
