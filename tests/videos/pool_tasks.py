"""What the tests of the pool have child processes do; in a module that children can import."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from cvg.errors import UserError
from cvg.videos.location import UnusableError
from cvg.videos.skips import SkipCode

held = []


def nap(item):
    number, seconds = item
    time.sleep(seconds)
    return number


def pid(_):
    return os.getpid()


def abort_on_odd(number):
    if number % 2:
        os.abort()
    return number


def end_by(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def crash_once(marker):
    """Die in the first child that comes here, and count who came."""
    with Path(marker).open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(Path(marker).read_text().split()) == 1:
        os.abort()
    return "done"


def always_crash(marker):
    with Path(marker).open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.abort()


def allocate(megabytes):
    return len(np.zeros(megabytes * 1_000_000, dtype=np.uint8))


def allocate_in_pieces(megabytes):
    pieces = [bytearray(1_000_000) for _ in range(megabytes)]
    return len(pieces)


def allocate_and_blame_the_file(megabytes):
    try:
        return allocate(megabytes)
    except MemoryError:
        raise UnusableError(SkipCode.CORRUPT, "found nonsense") from None


def hang(item):
    """Wait in C for what never comes, with the interpreter held; a signal's handler never runs."""
    number, folder = item
    if number % 2:
        return number
    (Path(folder) / str(os.getpid())).touch()
    libc = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(128)
    libc.pthread_mutex_init(mutex, None)
    libc.pthread_mutex_lock(mutex)
    return libc.pthread_mutex_lock(mutex)


def hang_for_good(item):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(item)


def fail(kind):
    if kind == "unusable":
        raise UnusableError(SkipCode.CORRUPT, "found nonsense; expected a video")
    if kind == "user":
        raise UserError("mend it")
    if kind == "exit":
        sys.exit(3)
    if kind == "unpicklable result":
        return lambda: None
    if kind == "unpicklable error":
        raise TwoArgumentsError("one", "two")
    raise KeyError(kind)


class TwoArgumentsError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def surroundings(_):
    return {
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "once more": sys.modules["__mp_main__"] is not sys.modules["__main__"],
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "SIGINT": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "numerics": os.environ["OPENBLAS_NUM_THREADS"],
        "torch": "torch" in sys.modules,
    }
