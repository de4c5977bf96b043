"""Work of a few letters, for tests of who makes which part."""

import os
import signal
from dataclasses import dataclass, field

from cvg.errors import UserError


@dataclass
class Letters:
    """Part i is a file with the i-th letter of a word; what was made is counted."""

    word: str
    made: list[int] = field(default_factory=list)
    fails_at: int | None = None
    how: str = ""

    @property
    def inputs(self):
        return {"data": self.word}

    @property
    def sizes(self):
        return [1] * len(self.word)

    def machine(self):
        return {"threads": 1}

    def make(self, number, folder, *, advance):
        (folder / "letter.txt").write_text(self.word[number])
        if number == self.fails_at:
            fail(self.how)
        self.made.append(number)
        advance(1)


def fail(how):
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "refused":
        raise UserError("the letter is not legible")
    raise KeyboardInterrupt


@dataclass(frozen=True)
class LettersWork:
    word: str = "seven77"
    fails_at: int | None = None
    how: str = ""

    def open(self):
        return Letters(self.word, fails_at=self.fails_at, how=self.how)
