"""The record of runs: everything that a stage needs of it."""

from cvg.tracking.tracker import Tracker, open_tracker

__all__ = ["Tracker", "open_tracker"]
