"""What the page says of the data: sums, reasons, sides, conditions, motion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from cvg.report.charts import Chart, Point, Series, line_chart
from cvg.report.details import Table

MOST_ROWS = 200  # of a list; all of them are in report.json
MOST_EXAMPLES = 3
SIDES = {"train": ("Training", "a"), "held_out": ("Held out", "b")}
NAMED_EDGES = (0.0, 0.25, 1.0, 4.0, 16.0, 64.0, 256.0)  # of the bins of motion, grey levels
DROPPED = {
    "gap": "in the gap between training and held-out part",
    "short_shots": "in shots that are too short",
}

Extraction = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table that may be cut short."""

    table: Table
    total: int
    file: str  # where all of it is

    @property
    def left_out(self) -> int:
        """Count the rows that the table does not show."""
        return self.total - len(self.table.rows)


def data_sentences(extraction: Extraction) -> list[str]:
    """Give the sum that holds, and what else can be said in a line."""
    skipped = len(extraction["skipped"])
    sentences = [
        f"Found {_count(extraction['found'], 'video')} = used {extraction['used']} + skipped "
        f"{skipped}."
    ]
    if ignored := extraction["ignored"]:
        kinds = ", ".join(f"{suffix or 'no suffix'}: {count}" for suffix, count in ignored.items())
        total = sum(ignored.values())
        sentences.append(f"Not tried, by their names: {_count(total, 'other file')} ({kinds}).")
    if extraction["used"]:
        sentences += [_lengths(extraction["durations_s"]), _shots(extraction)]
    if dropped := {name: count for name, count in extraction["dropped"].items() if count}:
        parts = "; ".join(f"{count} {DROPPED.get(name, name)}" for name, count in dropped.items())
        total = sum(dropped.values())
        sentences.append(f"Read, but not stored: {_count(total, 'frame')} ({parts}).")
    return sentences


def sides_table(extraction: Extraction) -> Table:
    """Give what each side of the split holds."""
    return Table(
        caption="What is stored",
        headings=("Side", "Videos", "Segments", "Frames", "Seconds"),
        rows=tuple(
            (
                name,
                str(side["videos"]),
                str(side["segments"]),
                str(side["frames"]),
                f"{side['seconds']:.1f}",
            )
            for split, (name, _) in SIDES.items()
            for side in [extraction["sides"][split]]
        ),
    )


def conditions_table(extraction: Extraction) -> Table:
    """Give how many segments and videos have each condition."""
    segments = sum(side["segments"] for side in extraction["sides"].values())
    return Table(
        caption="Conditions",
        headings=("Condition", "Segments that have it", "Videos that have it"),
        rows=tuple(
            (
                name.capitalize(),
                _share(have["segments"], segments),
                _share(have["videos"], extraction["used"]),
            )
            for name, have in extraction["conditions"].items()
        ),
    )


def skip_codes_table(extraction: Extraction) -> Table:
    """Give the reasons for which videos were left out, with the first of each."""
    return _codes_table(
        extraction["skip_codes"],
        extraction["skipped"],
        said="reason",
        caption="Videos left out, by reason",
        headings=("Reason", "Videos", "The first of them", "What was found there"),
    )


def note_codes_table(extraction: Extraction) -> Table:
    """Give the kinds of notes on used videos, with the first of each."""
    return _codes_table(
        extraction["note_codes"],
        extraction["notes"],
        said="text",
        caption="Notes on videos used, by kind",
        headings=("Kind", "Notes", "The first of them", "What was found there"),
    )


def skips_listing(extraction: Extraction) -> Listing:
    """Give each video that was left out, and why."""
    skips = extraction["skipped"]
    table = Table(
        caption="Videos left out",
        headings=("File", "Row of the manifest", "Code", "Reason"),
        rows=tuple(
            (_name(skip), str(skip["row"] or "–"), skip["code"], skip["reason"])
            for skip in skips[:MOST_ROWS]
        ),
    )
    return Listing(table=table, total=len(skips), file="skipped.csv")


def notes_listing(extraction: Extraction) -> Listing:
    """Give each note on a used video."""
    notes = extraction["notes"]
    table = Table(
        caption="Notes on videos used",
        headings=("File", "Row of the manifest", "Code", "Note"),
        rows=tuple(
            (_name(note), str(note["row"] or "–"), note["code"], note["text"])
            for note in notes[:MOST_ROWS]
        ),
    )
    return Listing(table=table, total=len(notes), file="notes.csv")


def videos_listing(extraction: Extraction) -> Listing:
    """Give each video in the store."""
    videos = extraction["videos"]
    table = Table(
        caption="Videos used",
        headings=(
            "File",
            "Pixels",
            "Frames a second",
            "Seconds",
            "Shots",
            "Motion, grey levels",
            "Training frames",
            "Held-out frames",
            "Frames not stored",
        ),
        rows=tuple(_video_row(video) for video in videos[:MOST_ROWS]),
    )
    return Listing(table=table, total=len(videos), file="report.json")


def motion_charts(extraction: Extraction) -> list[Chart]:
    """Give how much changes from frame to frame on each side; none where nothing was counted.

    The axis counts the bins, so that it is logarithmic as they are.
    """
    motion = extraction["motion"]
    series: list[Series] = []
    medians: list[str] = []
    for split, (name, style) in SIDES.items():
        if not sum(motion[split]):
            continue
        points = _steps(motion[split])
        series.append(Series(name=name, style=style, points=points, filled=split == "train"))
        medians.append(f"{name.lower()}, half of them below {_median_edge(motion, split):g}")
    chart = line_chart(
        "Motion",
        series,
        x_label="change from frame to frame, grey levels",
        y_label="share of all changes, %",
        x_ticks=[
            (float(number), f"{edge:g}")
            for number, edge in enumerate(motion["edges"])
            if edge in NAMED_EDGES
        ],
    )
    if chart is None:
        return []
    told = f"Mean absolute change from frame to frame, grey levels: {'; '.join(medians)}."
    return [replace(chart, description=told)]


def _lengths(durations: Mapping[str, float]) -> str:
    return (
        f"Videos last {durations['min']:.3g} to {durations['max']:.3g} s, the median "
        f"{durations['median']:.3g} s; together {durations['total']:.1f} s."
    )


def _shots(extraction: Extraction) -> str:
    shots = extraction["shots"]
    return (
        f"{_count(shots['total'], 'shot')}; cuts in {shots['videos_with_cuts']} of "
        f"{_count(extraction['used'], 'video')}."
    )


def _codes_table(
    counts: Mapping[str, int],
    items: Sequence[Mapping[str, Any]],
    *,
    said: str,
    caption: str,
    headings: tuple[str, ...],
) -> Table:
    rows: list[tuple[str, ...]] = []
    for code, count in counts.items():
        examples = [item for item in items if item["code"] == code][:MOST_EXAMPLES]
        names = ", ".join(_name(item) for item in examples)
        more = " …" if count > len(examples) else ""
        rows.append((code, str(count), f"{names}{more}", examples[0][said] if examples else ""))
    return Table(caption=caption, headings=headings, rows=tuple(rows))


def _video_row(video: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        video["file"],
        f"{video['width']} × {video['height']}",
        f"{video['fps']:.4g}",
        f"{video['seconds']:.1f}",
        str(video["shots"]),
        f"{video['motion']:.2f}",
        *(str(_stored_frames(video, split)) for split in SIDES),
        str(sum(video["dropped"].values())),
    )


def _stored_frames(video: Mapping[str, Any], split: str) -> int:
    return sum(part["frames"] for part in video["segments"] if part["split"] == split)


def _steps(counts: Sequence[int]) -> tuple[Point, ...]:
    total = sum(counts)
    return tuple(
        (float(number + side), 100 * count / total)
        for number, count in enumerate(counts)
        for side in (0, 1)
    )


def _median_edge(motion: Mapping[str, Any], split: str) -> float:
    counts = motion[split]
    half = sum(counts) / 2
    number = next(place for place, below in enumerate(accumulate(counts)) if below >= half)
    return motion["edges"][number + 1]


def _name(item: Mapping[str, Any]) -> str:
    return item["file"] or "(no path)"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({100 * part / whole:.0f} %)" if whole else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
