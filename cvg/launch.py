"""Which of the processes of one run this is, as `torchrun` says; without it there is one."""

import os


def rank() -> int:
    """Give the number of this process in the run, over all machines."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Give the number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """Give the number of processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Say whether this is the process that speaks and writes for all."""
    return rank() == 0
