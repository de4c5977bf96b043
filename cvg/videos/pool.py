"""Work on files that may be hostile: in child processes, with limits of time and memory.

A decoder that crashes, hangs or eats memory takes its child process with it, and nothing else.
"""

import errno
import fcntl
import functools
import multiprocessing
import os
import pickle
import re
import resource
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from itertools import islice
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.popen_forkserver import Popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from cvg.videos.location import UnusableError
from cvg.videos.skips import SkipCode

Item = TypeVar("Item")
Result = TypeVar("Result")

BYTES_PER_MB = 1_000_000
OUT_OF_MEMORY = pickle.dumps(MemoryError())  # made while there is memory to make it
TRIES = 2
SECONDS_BETWEEN_LOOKS = 5.0  # at whether the pool still lives, while a task runs

# What every child needs and what is slow to import. Nothing of cvg is among it: the server that
# children are forked from may look for modules elsewhere than the parent does.
PRELOADED = ["av", "jaxtyping", "numpy", "pebble"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_starting = threading.RLock()


def run_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    seconds: float,
    memory_mb: int,
) -> Generator[tuple[Item, Result | UnusableError], None, None]:
    """Run a function on each item in child processes; give the results in the order of the items.

    The children do not run the main script again, so that it needs no
    `if __name__ == "__main__"`. They leave Ctrl-C to the parent, and they end when the parent
    ends, however it ends, and when the iterator is closed.

    Args:
        function: of a module that can be imported. An UnusableError that it raises is handed back
            as a value; any other exception is an error of the program.
        items: taken at most 2 * workers + 2 ahead of the results. Items, results and exceptions
            must be picklable.
        workers: number of child processes, at least 1.
        seconds: wall-clock limit of one item; beyond it the item is TIMEOUT.
        memory_mb: what one child may allocate, MB, beyond what Python and its libraries take;
            beyond it the item is OUT_OF_MEMORY. Only Linux can enforce it.

    Yields:
        Each item with its result, or with the UnusableError that stands for it. An item whose
        child dies is tried once more, and is DECODER_CRASH where that child dies as well.

    Raises:
        ValueError: the function is in the main script, which children do not know.
        Exception: what the function raised, with the child's traceback as a note.
    """
    crew = _Crew(function, workers=workers, seconds=seconds, memory_mb=memory_mb)
    try:
        source = iter(items)
        waiting = deque(crew.start(item) for item in islice(source, 2 * workers + 2))
        while waiting:
            task = waiting.popleft()
            result = crew.finish(task)
            # Before the result is used, so that no child waits for the one who uses it.
            waiting.extend(crew.start(item) for item in islice(source, 1))
            yield task.item, result
    finally:
        crew.stop()


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class _Task(Generic[Item]):
    item: Item
    payload: bytes
    pool: ProcessPool
    future: "ProcessFuture[bytes]"


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """An exception that is an error of the program, on its way to the parent.

    Attributes:
        name: its class and message.
        traceback: in the child, as text.
        pickled: the exception; None where it cannot be pickled.
    """

    name: str
    traceback: str
    pickled: bytes | None


class _Crew(Generic[Item, Result]):
    """The child processes of one run."""

    def __init__(
        self, function: Callable[[Item], Result], *, workers: int, seconds: float, memory_mb: int
    ) -> None:
        if function.__module__ == "__main__":
            raise ValueError(
                f"found {function} in the main script, which child processes do not run again; "
                "expected a function of a module"
            )
        self._function = function
        self._workers = workers
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._pool = self._open()

    def start(self, item: Item) -> _Task[Item]:
        # The pool would lose a task that it cannot pickle or a child cannot unpickle.
        return self._schedule(item, pickle.dumps((self._function, item)))

    def finish(self, task: _Task[Item]) -> Result | UnusableError:
        """Wait for the end of a task, which is started once more where its child dies."""
        exit_codes = []
        for attempt in range(TRIES):
            if attempt:
                task = self._schedule(task.item, task.payload)
            try:
                return self._result(task)
            except ProcessExpired as error:
                exit_codes.append(error.exitcode)
            except BrokenProcessPool:
                continue
        if not exit_codes:
            raise RuntimeError("the child processes end before they take up any work")
        return UnusableError(SkipCode.DECODER_CRASH, _crash_reason(exit_codes[-1]))

    def stop(self) -> None:
        self._pool.stop()
        self._pool.join()

    def _open(self) -> ProcessPool:
        _start_server()
        context: Any = _Context()  # the types of the pool know the contexts of the library alone
        return ProcessPool(self._workers, initializer=_prepare_child, context=context)

    def _schedule(self, item: Item, payload: bytes) -> _Task[Item]:
        if not self._pool.active:
            self.stop()
            self._pool = self._open()
        future = self._pool.schedule(_call, (payload, self._memory_mb), timeout=self._seconds)
        return _Task(item=item, payload=payload, pool=self._pool, future=future)

    def _result(self, task: _Task[Item]) -> Result | UnusableError:
        while not wait([task.future], timeout=SECONDS_BETWEEN_LOOKS).done:
            if not task.pool.active:
                raise BrokenProcessPool("the pool ended without a word on this task")
        try:
            result = pickle.loads(task.future.result())
        except TimeoutError:
            reason = f"decoding took longer than extract.limits.seconds = {self._seconds:g}"
            return UnusableError(SkipCode.TIMEOUT, reason)
        if isinstance(result, MemoryError):
            reason = f"decoding needed more than extract.limits.memory_mb = {self._memory_mb}"
            return UnusableError(SkipCode.OUT_OF_MEMORY, reason)
        if isinstance(result, _Failure):
            raise _rebuilt(result)
        return result


def _crash_reason(exit_code: int) -> str:
    how = f"ended with exit code {exit_code}"
    if exit_code < 0:
        try:
            how = f"was killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"was killed by signal {-exit_code}"
    cause = "; the system may be out of memory" if exit_code == -signal.SIGKILL else ""
    return f"the process that decoded it {how}, {TRIES} times; expected a video to decode{cause}"


def _rebuilt(failure: _Failure) -> Exception:
    """Give the exception of a child as one to raise here."""
    error = None
    if failure.pickled is not None:
        try:
            error = pickle.loads(failure.pickled)
        except Exception:
            error = None
    if not isinstance(error, Exception):
        error = RuntimeError(f"a child process raised {failure.name}")
    error.add_note(f"in the child process:\n{failure.traceback}")
    return error


# In the child processes.


def _prepare_child() -> None:
    """Make this process one that ends at once when it is told to, and with its parent."""
    # Not the pool's handler, which would wait for the end of a call into C.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _end_with_parent()


def _end_with_parent() -> None:
    """Have the kernel end this process when the pipe to its parent closes.

    No thread of Python could do so while a call into C holds the interpreter.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise AssertionError("only a child process has a parent to end with")
    pipe = parent.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if connection.wait([pipe], timeout=0):
        os._exit(1)


def _call(payload: bytes, memory_mb: int) -> bytes:
    """Call a function on an item, both pickled; give the pickled outcome."""
    try:
        function, item = pickle.loads(payload)
        _limit_memory(memory_mb)
        return pickle.dumps(function(item))
    except BaseException as error:
        # All of them, because SystemExit would end the parent.
        if _memory_ran_out(error):
            return OUT_OF_MEMORY
        return pickle.dumps(error if isinstance(error, UnusableError) else _failure(error))


def _memory_ran_out(error: BaseException | None) -> bool:
    """Say whether an exception, or one that it was raised in place of, tells of it."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        error = error.__cause__ or error.__context__
    return False


def _failure(error: BaseException) -> _Failure:
    name = f"{type(error).__name__}: {error}"
    try:
        pickled = pickle.dumps(error)
    except Exception:
        pickled = None
    return _Failure(name=name, traceback=traceback.format_exc(), pickled=pickled)


@functools.cache
def _limit_memory(memory_mb: int) -> None:
    """Limit what this process allocates from now on; once, when its modules are imported."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return
    found = re.search(r"^VmData:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        return
    wanted = int(found[1]) * 1024 + memory_mb * BYTES_PER_MB
    # RLIMIT_AS would also count addresses that threads and libraries only set aside.
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))


# How they are started.


class _Process(ForkServerProcess):
    """A child process that does not run the parent's main script again."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Popen:  # noqa: N802 - multiprocessing's name
        with _starting, _hidden_main():
            return ForkServerProcess._Popen(process_obj)


class _Context(ForkServerContext):
    Process = _Process


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Let the main module pass for a package's `__main__`, which no child process imports."""
    main = sys.modules["__main__"]
    spec = main.__spec__
    main.__spec__ = ModuleSpec("cvg.__main__", None)
    try:
        yield
    finally:
        main.__spec__ = spec


def _start_server() -> None:
    """Start the process that children are forked from, if it does not run yet.

    It belongs to the whole program: one that was started before serves as well, but children
    then import what it has not loaded.
    """
    with _starting, _environment(ONE_THREAD):
        # Ctrl-C while it starts would print a traceback of its own.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
