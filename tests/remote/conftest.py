"""A web server for the tests of this folder."""

import runpy
from pathlib import Path

# pytest's importlib mode gives test files no common package to import from.
web = runpy.run_path(str(Path(__file__).parents[1] / "web.py"))["web"]
