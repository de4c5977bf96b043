"""What is left out, what is noted, and why: nothing disappears without a code and a sentence."""

from dataclasses import dataclass
from enum import StrEnum


class SkipCode(StrEnum):
    """The reasons for which a video is left out; the values stand in reports."""

    # The row of the manifest.
    BAD_ROW = "BAD_ROW"
    EMPTY_PATH = "EMPTY_PATH"
    BAD_RANGE = "BAD_RANGE"
    BAD_ACTIONS = "BAD_ACTIONS"
    BAD_MAP = "BAD_MAP"
    DUPLICATE = "DUPLICATE"
    # The file.
    MISSING_FILE = "MISSING_FILE"
    NOT_REGULAR_FILE = "NOT_REGULAR_FILE"
    OUTSIDE_FOLDER = "OUTSIDE_FOLDER"
    UNREADABLE = "UNREADABLE"
    EMPTY_FILE = "EMPTY_FILE"
    CHANGED = "CHANGED"
    # What is in it.
    NOT_MEDIA = "NOT_MEDIA"
    NO_VIDEO_STREAM = "NO_VIDEO_STREAM"
    NO_DECODER = "NO_DECODER"
    HDR = "HDR"
    TRUNCATED = "TRUNCATED"
    CORRUPT = "CORRUPT"
    TOO_SHORT = "TOO_SHORT"
    # Limits.
    TOO_LARGE = "TOO_LARGE"
    TOO_LONG = "TOO_LONG"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DECODER_CRASH = "DECODER_CRASH"


class NoteCode(StrEnum):
    """What a reader should know of a video that is used; the values stand in reports."""

    HDR_NOT_TONE_MAPPED = "HDR_NOT_TONE_MAPPED"
    ALPHA_FLATTENED = "ALPHA_FLATTENED"
    CUT_KEPT = "CUT_KEPT"
    RANGE_CUT = "RANGE_CUT"
    UNEVEN_TIMES = "UNEVEN_TIMES"
    STATIC = "STATIC"
    ALL_FOR_TRAINING = "ALL_FOR_TRAINING"
    SHORT_SHOTS = "SHORT_SHOTS"


@dataclass(frozen=True, kw_only=True)
class Skip:
    """One video that is not used.

    Attributes:
        file: as the manifest names it.
        row: line of the manifest, 1 is its header; None for a folder of videos.
        code: the reason.
        reason: what was found and what was expected, as a sentence.
    """

    file: str
    row: int | None
    code: SkipCode
    reason: str

    def sentence(self) -> str:
        """Give the skip as one line for people."""
        return f"{_place(self.file, self.row)}: {self.code}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something about a video that is used.

    Attributes:
        file: as the manifest names it.
        row: line of the manifest, 1 is its header; None for a folder of videos.
        code: the kind of note.
        text: what was found and what was done, as a sentence.
    """

    file: str
    row: int | None
    code: NoteCode
    text: str

    def sentence(self) -> str:
        """Give the note as one line for people."""
        return f"{_place(self.file, self.row)}: {self.code}: {self.text}"


def _place(file: str, row: int | None) -> str:
    return file if row is None else f"row {row}, {file or '(no path)'}"
