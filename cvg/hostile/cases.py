"""Cases: an input that may come, and what is declared to happen to it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cvg.videos.skips import NoteCode, SkipCode

Outcome = Literal["used", "skipped", "stopped"]  # that can be declared
Make = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What the stored frames of a film must show.

    Attributes:
        film: its number.
        frames: numbers of its frames, in order.
        at_least: how many of them, from the first, must be there; None for all.
        clear: whether their top must be the background.
    """

    film: int
    frames: tuple[int, ...]
    at_least: int | None = None
    clear: bool = False


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The outcome that is declared for a case.

    Attributes:
        outcome: used, skipped, or the whole run stops.
        code: of the skip.
        says: what the message of the stop holds.
        notes: of a used one, exactly these.
        planted: what the frames of a used one show, None where they show nothing.
        absent: a name beside the corpus that must not have come into being.
    """

    outcome: Outcome
    code: SkipCode | None = None
    says: str = ""
    notes: frozenset[NoteCode] = frozenset()
    planted: Planted | None = None
    absent: str | None = None

    def sentence(self) -> str:
        """Give the outcome as a few words."""
        return few_words(self.outcome, self.code, self.notes)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One hostile input.

    Attributes:
        title: what is wrong with it, in a few words.
        file: as the report names it.
        row: line of the table, None in a folder of videos.
        expected: what is declared.
    """

    title: str
    file: str
    row: int | None = None
    expected: Expected


@dataclass(frozen=True, kw_only=True)
class Run:
    """One extraction, over all its cases at once.

    Attributes:
        name: of its folder.
        cases: what is looked at.
        pieces: what is made in its folder, by path.
        manifest: what is extracted, in its folder.
        others: rows that are no case, by name and row; all must be used.
        changes: values of the section `extract` that differ.
    """

    name: str
    cases: tuple[Case, ...]
    pieces: Mapping[str, Make]
    manifest: str
    others: frozenset[tuple[str, int | None]] = frozenset()
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BadParams:
    """A file of parameters with a mistake: the good one, where `old` (a pattern) is now `new`."""

    case: Case
    old: str
    new: str


def few_words(outcome: str, code: SkipCode | None, notes: Iterable[NoteCode]) -> str:
    """Put an outcome into words.

    >>> few_words("skipped", SkipCode.TRUNCATED, [])
    'skipped TRUNCATED'
    """
    return " ".join([outcome, *([code] if code else []), *sorted(notes)])


def used(planted: Planted | None = None, *notes: NoteCode) -> Expected:
    """Declare that a film is used."""
    return Expected(outcome="used", planted=planted, notes=frozenset(notes))


def skipped(code: SkipCode, *, absent: str | None = None) -> Expected:
    """Declare that a film is left out."""
    return Expected(outcome="skipped", code=code, absent=absent)


def stopped(says: str) -> Expected:
    """Declare that nothing is extracted, and that the message holds `says`."""
    return Expected(outcome="stopped", says=says)


def holding(content: Callable[[], bytes]) -> Make:
    """Give a maker of a file with this content, which is not made before it is asked for."""

    def make(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content())

    return make
