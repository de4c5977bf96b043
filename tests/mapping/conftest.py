"""A job of seven letters."""

import sys
from pathlib import Path

import pytest

from cvg.mapping.job import Job, traits

# Child processes import the work by its name; they take the path of their parent.
sys.path.insert(0, str(Path(__file__).parent))

from letters import LettersWork


@pytest.fixture
def letters():
    return LettersWork


@pytest.fixture
def job(tmp_path):
    work = LettersWork()
    return Job(work=work, folder=tmp_path / "a1b2", traits=traits(work.open()))
