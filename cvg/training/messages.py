"""What a training run tells people, one line each on stderr; of several processes the first."""

import sys

from cvg import launch


def tell(sentence: str) -> None:
    """Tell people how a run goes."""
    if launch.is_first():
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()


def warn(sentence: str) -> None:
    """Tell people what is wrong, but does not stop the run."""
    tell(f"WARNING: {sentence}")
