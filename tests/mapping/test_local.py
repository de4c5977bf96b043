"""Parts made by processes of this machine: all of them, or a word on why not."""

from dataclasses import replace

import pytest

from cvg.errors import UserError
from cvg.mapping.local import run_here, run_in_pool
from cvg.progress import Steps

EVERY = range(7)


def contents(job):
    return {path.parent.name: path.read_bytes() for path in job.folder.rglob("*.*")}


def in_pool(job, numbers=EVERY):
    with Steps("letters", total=len(numbers)) as steps:
        run_in_pool(job, numbers, workers=2, steps=steps)
        return steps.done


def test_a_pool_makes_the_parts_of_one_process(job, tmp_path):
    assert in_pool(job) == 7
    found = contents(job)
    alone = replace(job, folder=tmp_path / "alone" / "a1b2")
    with Steps("letters", total=7) as steps:
        run_here(alone, alone.open(), EVERY, steps=steps)
        assert steps.done == 7
    assert found == contents(alone)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("killed", "ended with exit code -9; .* lower --workers. What is done is kept"),
        ("refused", "the letter is not legible"),
    ],
)
def test_a_child_that_fails_is_told_of_and_the_rest_can_be_made(job, letters, how, said):
    failing = replace(job, work=letters(fails_at=6, how=how))
    with pytest.raises(UserError, match=said):
        in_pool(failing)
    assert not job.is_done(6)
    in_pool(job, job.missing(EVERY))
    assert job.missing(EVERY) == []
