"""Tell errors of a machine that has no more memory or disk from errors of the program."""

import errno
import re
from collections.abc import Mapping
from typing import Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# What torch, oneDNN, Python and the loader of libraries say; they have no type for it.
NO_MEMORY = re.compile(
    r"can't allocate memory|could not create a primitive|can't start new thread"
    r"|cannot map zero-fill|error return without exception set"
)


def is_disk_full(error: Exception) -> bool:
    """Tell whether the disk was full or a quota used up."""
    # safetensors and NumPy write by themselves, and raise errors of their own kinds.
    if re.search(r"\d+ requested and \d+ written", str(error)):
        return True
    found = re.search(r"\(os error (\d+)\)", str(error))
    return (int(found[1]) if found else getattr(error, "errno", None)) in DISK_FULL


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory could not be had, on a CPU or a GPU."""
    # By name, because most commands have not imported torch.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"} or NO_MEMORY.search(str(error)))


def what_takes_memory(stage: str, settings: Mapping[str, Any], error: Exception) -> str:
    """Say in a sentence what was asked for, what the process has, and what to lower.

    Args:
        stage: its name.
        settings: the parameters that it obeys, by their dotted names.
        error: what was raised.
    """
    sizes = {key: value for key, value in settings.items() if key.endswith("batch_size")}
    asked = re.search(r"allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    wish = f" ({asked[1]} more were asked for)" if asked else ""
    remedy = "close other programs, or take smaller models"
    if sizes:
        found = ", ".join(f"{key} {value}" for key, value in sizes.items())
        more = ""
        if any(key.endswith("accumulate") for key in settings):
            more = " and raise accumulate in its section, which keeps what a step learns from"
        remedy = f"it runs with {found}; lower that{more}"
    return (
        f"{stage}: the memory of this machine is not enough; the process had "
        f"{_peak_mb():,.0f} MB{wish}; {remedy}. What was kept is still there"
    )


def _peak_mb() -> float:
    """Give the most memory that this process has had at once."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
