"""The examples in docstrings are run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[1] / "cvg"
MODULES = [
    ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
    for path in sorted(LIBRARY.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_there_are_examples():
    assert {"cvg.conditions.vocabulary", "cvg.training.schedule"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
