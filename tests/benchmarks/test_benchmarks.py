"""The benchmarks' own arithmetic, and that what they say of the code is still so."""

import inspect
import re
import sys
from pathlib import Path

import pytest

import benchmarks.__main__ as bench
from benchmarks import growth, profile
from benchmarks.measure import readable, row_of

PROJECT = Path(__file__).parents[2]
TABLE = re.compile(r"<!-- benchmarks -->\n(.*?)<!-- end -->", re.DOTALL)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 1.5])
def test_the_exponent_is_that_of_the_power(power):
    assert growth.exponent({str(n): 3 * n**power for n in (2, 4, 8, 16)}) == pytest.approx(power)


def test_what_is_looked_for_in_a_profile_is_there():
    for heading, path, function in profile.HEADINGS:
        if path.startswith("cvg/") or path.startswith("pipeline/"):
            found = PROJECT / path
            assert found.exists(), heading
            if function:
                assert re.search(rf"def {function}\(", found.read_text()), heading
        elif function:
            source = inspect.getsource(sys.modules[path.removesuffix(".py").replace("/", ".")])
            assert f"def {function}(" in source, heading


def test_the_first_heading_that_fits_counts():
    def look():
        return profile.heading_of(sys._getframe())

    code = compile("def save(look):\n    return look()", "/x/cvg/tracking/journal.py", "exec")
    names = {}
    exec(code, names)
    assert look() == "everything else"
    assert names["save"](look) == "record of runs"


def test_a_ratio_says_how_many_times_as_fast_as_the_peer():
    row = row_of({"ours": [1.0, 2.0, 4.0], "other": [6.0]}, "ours", peer="other", work=12)
    assert (row.value, row.best, row.peer_value, row.ratio) == (6.0, 12.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("value", "shown"), [(124312.5, "124,300"), (67.4987, "67.5"), (1.41e-5, "1.41e-05"), (0, "0")]
)
def test_numbers_are_shown_with_four_digits(value, shown):
    assert readable(value) == shown


def test_the_table_of_the_readme_is_that_of_the_newest_results():
    found = TABLE.search((PROJECT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    assert found[1] == bench.newest()
