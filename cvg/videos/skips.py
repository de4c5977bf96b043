"""What is left out, and why: no file disappears without a code and a sentence."""

from dataclasses import dataclass
from enum import StrEnum


class SkipCode(StrEnum):
    """The reasons for which a video is left out; the values stand in reports."""

    BAD_ROW = "BAD_ROW"
    EMPTY_PATH = "EMPTY_PATH"
    MISSING_FILE = "MISSING_FILE"
    NOT_REGULAR_FILE = "NOT_REGULAR_FILE"
    UNREADABLE = "UNREADABLE"
    EMPTY_FILE = "EMPTY_FILE"
    NOT_MEDIA = "NOT_MEDIA"
    NO_VIDEO_STREAM = "NO_VIDEO_STREAM"
    NO_DECODER = "NO_DECODER"
    TRUNCATED = "TRUNCATED"
    CORRUPT = "CORRUPT"
    TOO_SHORT = "TOO_SHORT"
    DUPLICATE = "DUPLICATE"


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
        place = self.file if self.row is None else f"row {self.row}, {self.file or '(no path)'}"
        return f"{place}: {self.code}: {self.reason}"
