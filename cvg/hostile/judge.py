"""Judging a run: what happened to each case, and whether it is what was declared."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from cvg.frames.report import ExtractReport, UsedVideo
from cvg.frames.store import FrameStore
from cvg.hostile.cases import Case, Outcome, Planted, Run, few_words
from cvg.hostile.pictures import film_of, frame_of, is_upright
from cvg.videos.skips import NoteCode, SkipCode

DARK = 40  # grey levels; a background of black is below

BadOutcome = Literal["lost", "hung", "crashed"]
BAD_OUTCOMES = get_args(BadOutcome)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What happened to a case.

    Attributes:
        outcome: used, skipped or stopped; lost: in no list; hung, crashed: as it says.
        code: of the skip.
        text: the reason or the message.
        notes: of a used one.
        wrong: what is wrong with its stored frames, or with what was left behind.
    """

    outcome: Outcome | BadOutcome
    code: SkipCode | None = None
    text: str = ""
    notes: frozenset[NoteCode] = frozenset()
    wrong: str = ""

    def sentence(self) -> str:
        """Give the outcome as a few words."""
        words = few_words(self.outcome, self.code, self.notes)
        return words + (f", but {self.wrong}" if self.wrong else "")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A case, what was declared and what was seen."""

    run: str
    case: Case
    seen: Seen

    @property
    def holds(self) -> bool:
        """Tell whether what was seen is what was declared."""
        expected, seen = self.case.expected, self.seen
        return (
            (seen.outcome, seen.code, seen.notes)
            == (expected.outcome, expected.code, expected.notes)
            and expected.says in seen.text
            and not seen.wrong
        )


def sum_sentence(verdicts: Sequence[Verdict]) -> str:
    """Give the line that counts everything."""
    seen = Counter(verdict.seen.outcome for verdict in verdicts)
    parts = " + ".join(f"{name} {seen[name]}" for name in ("used", "skipped", "stopped"))
    bad = "; ".join(f"{name} {seen[name]}" for name in BAD_OUTCOMES)
    holding = sum(verdict.holds for verdict in verdicts)
    return f"tried {len(verdicts)} = {parts}; {bad}; as declared {holding} of {len(verdicts)}"


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, object]]:
    """Give verdicts as plain values."""
    return [
        {
            "run": one.run,
            "case": one.case.title,
            "file": one.case.file,
            "row": one.case.row,
            "declared": one.case.expected.sentence(),
            "seen": one.seen.sentence(),
            "text": one.seen.text,
            "ok": one.holds,
        }
        for one in verdicts
    ]


Key = tuple[str, int | None]


def look_up(run: Run, report: ExtractReport, store: FrameStore) -> list[Seen]:
    """Give what happened to each case of a run that ended."""
    used = {_key(video.file, video.row): video for video in report.videos}
    skips = {_key(skip.file, skip.row): skip for skip in report.skips}
    cases = {_key(case.file, case.row) for case in run.cases}
    others = {_key(*other) for other in run.others}
    extra = (used.keys() | skips.keys()) - cases - others
    missed = others - used.keys()
    account = " and ".join(
        [f"{name} is not of this corpus" for name in map(str, sorted(extra, key=str))]
        + [f"{name} is not used" for name in map(str, sorted(missed, key=str))]
    )
    seen = []
    for case in run.cases:
        key = _key(case.file, case.row)
        if key in skips:
            one = Seen(outcome="skipped", code=skips[key].code, text=skips[key].reason)
        elif key in used:
            one = _look_at(case, used[key], report, store)
        else:
            one = Seen(outcome="lost")
        seen.append(replace(one, wrong=one.wrong or account))
    return seen


def _key(file: str, row: int | None) -> Key:
    """Name a row by its line, a file of a folder by its name."""
    return ("" if row else file, row)


def _look_at(case: Case, video: UsedVideo, report: ExtractReport, store: FrameStore) -> Seen:
    notes = [note for note in report.notes if (note.file, note.row) == (video.file, video.row)]
    planted = case.expected.planted
    return Seen(
        outcome="used",
        text="; ".join(note.text for note in notes),
        notes=frozenset(note.code for note in notes),
        wrong="" if planted is None else _what_is_wrong(planted, video, store),
    )


def _what_is_wrong(planted: Planted, video: UsedVideo, store: FrameStore) -> str:
    """Compare the stored frames of a film with what was planted in it; empty where all is right."""
    parts = sorted(video.segments, key=lambda part: part.start_s)
    frames = np.concatenate([store.window(part, 0, part.num_frames) for part in parts])
    numbers = tuple(frame_of(frame) for frame in frames)
    least = len(planted.frames) if planted.at_least is None else planted.at_least
    if numbers != planted.frames[: len(numbers)] or len(numbers) < least:
        return f"its frames are {list(numbers)}"
    films = {film_of(frame) for frame in frames}
    if films != {planted.film}:
        return f"its frames are of the films {sorted(films)}, not of {planted.film}"
    if not all(is_upright(frame) for frame in frames):
        return "its frames are not upright"
    if planted.clear and frames[:, : frames.shape[1] // 16].mean() > DARK:
        return "what is transparent does not show the background"
    return ""
