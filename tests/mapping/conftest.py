"""Work of a few letters, for tests of who makes which part."""

from dataclasses import dataclass, field

import pytest

from cvg.mapping.job import Job, traits
from cvg.mapping.machine import computing


@dataclass
class Letters:
    """Part i is a file with the i-th letter of a word; what was made is counted."""

    word: str
    made: list[int] = field(default_factory=list)
    fails_at: int | None = None

    @property
    def inputs(self):
        return {"data": self.word}

    @property
    def sizes(self):
        return [1] * len(self.word)

    def machine(self):
        return computing()

    def make(self, number, folder, *, advance):
        (folder / "letter.txt").write_text(self.word[number])
        if number == self.fails_at:
            raise KeyboardInterrupt
        self.made.append(number)
        advance(1)


@dataclass(frozen=True)
class LettersWork:
    word: str = "seven77"

    def open(self):
        return Letters(self.word)


@pytest.fixture
def letters():
    return LettersWork


@pytest.fixture
def job(tmp_path):
    work = LettersWork()
    return Job(work=work, folder=tmp_path / "a1b2", traits=traits(work.open()))
