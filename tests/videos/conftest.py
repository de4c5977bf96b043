"""Tiny videos for the tests of this folder."""

import runpy
from pathlib import Path

# pytest's importlib mode gives test files no common package to import from.
films = runpy.run_path(str(Path(__file__).parents[1] / "films.py"))["films"]
web = runpy.run_path(str(Path(__file__).parents[1] / "web.py"))["web"]
