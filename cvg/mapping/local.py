"""Parts made on this machine: one after the other in this process, or in several processes."""

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import as_completed
from typing import Any

from pebble import ProcessExpired, ProcessPool

from cvg.errors import UserError
from cvg.interrupts import end_with_parent
from cvg.mapping.job import Job, Opened, make_part
from cvg.progress import Steps


def run_here(job: Job, opened: Opened, numbers: Sequence[int], *, steps: Steps) -> None:
    """Make parts in this process."""
    for number in numbers:
        job.make(opened, number, advance=steps.advance)


def run_in_pool(job: Job, numbers: Sequence[int], *, workers: int, steps: Steps) -> None:
    """Make parts in child processes, which end when this one ends, however it ends.

    Raises:
        UserError: a child died, or raised this.
    """
    # Not forked: the threads of PyTorch do not survive it.
    context: Any = multiprocessing.get_context("spawn")  # the pool's types are narrower
    pool = ProcessPool(min(workers, len(numbers)), initializer=_prepare_child, context=context)
    try:
        futures: list[Any] = [pool.schedule(make_part, (job, number)) for number in numbers]
        for future in as_completed(futures):
            steps.advance(future.result())
    except ProcessExpired as error:
        raise UserError(
            f"a process that makes parts ended with exit code {error.exitcode}; expected it to go "
            "on. Memory may be short: lower --workers. What is done is kept, and the same command "
            "goes on"
        ) from error
    finally:
        pool.stop()
        pool.join()


def _prepare_child() -> None:
    # Ctrl-C goes to the whole group; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
