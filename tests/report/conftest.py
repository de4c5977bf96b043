"""A made-up run, and the page of it."""

import runpy
from pathlib import Path

import pytest

from cvg.report.page import render, write_report
from cvg.report.source import read_source

MADE = runpy.run_path(str(Path(__file__).with_name("made.py")))


@pytest.fixture(scope="session")
def made():
    """What the made-up run consists of."""
    return MADE


@pytest.fixture
def source_of(tmp_path):
    """Give what the page is made of, for a run that differs from the usual one."""

    def build(**differences):
        return read_source(MADE["write_run"](tmp_path, **differences))

    return build


@pytest.fixture
def page_of(source_of):
    """Give the page of a run that differs from the usual one."""
    return lambda **differences: render(source_of(**differences))


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The page of the usual run."""
    root = tmp_path_factory.mktemp("run")
    write_report(MADE["write_run"](root), out=root / "page.html")
    return (root / "page.html").read_text(encoding="utf-8")
