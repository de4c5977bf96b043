"""What a training run tells people, one line each on stderr."""

import sys


def tell(sentence: str) -> None:
    """Tell people how a run goes."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def warn(sentence: str) -> None:
    """Tell people what is wrong, but does not stop the run."""
    tell(f"WARNING: {sentence}")
