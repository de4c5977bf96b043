"""One picture of what an extraction found: lengths, sizes, rates, motion, skips, conditions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cvg.files import replacing_file
from cvg.frames.report import MOTION_EDGES, ExtractReport
from cvg.segments import SPLITS

INCHES = (14, 9)
DOTS_PER_INCH = 100
LEFT = 0.08  # of the width
MOST_BARS = 10  # what is beyond is one bar, "others"
MOST_BINS = 24
WIDE_RANGE = 20  # longest over shortest video from which on the lengths get a log axis

# Of Okabe and Ito: told apart by those who see few colours, and in grey.
COLOURS = {"train": "#0072b2", "held_out": "#d55e00"}
NAMES = {"train": "train", "held_out": "held out"}
PLAIN = "#5b8db8"
WARM = "#c8553d"
OTHERS = "#b4bcc5"
INK = "#1b1f24"
SOFT = "#57606a"
RULE = "#e3e7eb"

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": RULE,
}


def write_overview(report: ExtractReport, path: Path) -> None:
    """Write a PNG of 1400 by 900 pixels; the same report gives the same picture."""
    # The settings of whoever runs this change nothing.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        _draw(figure, report)
        with replacing_file(path) as temporary:
            # Without it, the file would also tell the version of the program that wrote it.
            canvas.print_png(temporary, metadata={"Software": None})


def _draw(figure: Figure, report: ExtractReport) -> None:
    figure.text(LEFT, 0.945, _first_line(report), fontsize=17, fontweight="bold")
    figure.text(LEFT, 0.91, _second_line(report), fontsize=11.5, color=SOFT)
    grid = figure.add_gridspec(
        2, 3, left=LEFT, right=0.965, top=0.825, bottom=0.085, wspace=0.5, hspace=0.45
    )
    places = [figure.add_subplot(grid[row, column]) for row in range(2) for column in range(3)]
    durations, sizes, rates, motion, skips, conditions = places
    _draw_durations(durations, [video.seconds for video in report.videos])
    _draw_bars(
        sizes,
        {f"{width} × {height}": count for (width, height), count in report.sizes.items()},
        title="Sizes in pixels, videos",
    )
    _draw_bars(
        rates,
        {f"{fps:.7g}": count for fps, count in report.rates.items()},
        title="Frames a second, videos",
    )
    _draw_motion(motion, report)
    _draw_bars(skips, report.skip_codes, title="Skipped by reason, videos", colour=WARM)
    _draw_conditions(conditions, report)


def _first_line(report: ExtractReport) -> str:
    ignored = sum(report.ignored.values())
    rest = f"; {_count(ignored, 'other file')} not tried" if ignored else ""
    skipped = len(report.skips)
    found = _count(report.found, "video")
    return f"{found} found = {report.used:,} used + {skipped:,} skipped{rest}"


def _second_line(report: ExtractReport) -> str:
    sides = [
        f"{NAMES[split]}: {_count(side.frames, 'frame')} in {_count(side.segments, 'segment')} of "
        f"{_count(side.videos, 'video')}, {_length(side.seconds)}"
        for split, side in report.sides.items()
    ]
    return "      ".join(sides)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _draw_durations(axes: Axes, seconds: Sequence[float]) -> None:
    axes.set_title("Lengths of the videos")
    values = np.array([one for one in seconds if one > 0])
    if not len(values):
        _say(axes, "no video was used")
        return
    low, high = float(values.min()), float(values.max())
    count = min(MOST_BINS, max(1, round(2 * len(values) ** 0.5)))
    if low == high:
        edges = np.array([0.9 * low, 1.1 * low])
        axes.set_xlim(0, 2 * low)
    elif high > WIDE_RANGE * low:
        edges = np.geomspace(low, high, count + 1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        edges = np.linspace(low, high, count + 1)
    # Rounding must not push the ends out.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    axes.hist(values, bins=edges.tolist(), color=PLAIN, edgecolor="white", linewidth=0.6)
    middle = float(np.median(values))
    axes.axvline(middle, color=INK, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.set_xlabel(f"seconds; dashed: the median, {middle:.3g}")
    axes.set_ylabel("videos")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")


def _draw_bars(axes: Axes, counts: Mapping[str, int], *, title: str, colour: str = PLAIN) -> None:
    axes.set_title(title)
    if not counts:
        _say(axes, "none")
        return
    shown = _most_frequent(counts)
    places = range(len(shown))
    colours = [colour if name in counts else OTHERS for name in shown]
    axes.barh(places, list(shown.values()), height=0.7, color=colours)
    axes.set_yticks(places, list(shown))
    _lay_bars(axes)
    # Few bars are not thicker than many.
    axes.set_ylim(max(len(shown), 5) - 0.5, -0.6)
    for place, count in zip(places, shown.values(), strict=True):
        _write(axes, count, place, f"{count:,}")
    axes.set_xlim(0, 1.18 * max(shown.values()))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _draw_motion(axes: Axes, report: ExtractReport) -> None:
    axes.set_title("Motion from frame to frame")
    totals = {split: sum(report.motion_counts[split]) for split in SPLITS}
    if not any(totals.values()):
        _say(axes, "no two successive frames")
        return
    # The first bin reaches down to 0, which has no place on a log axis.
    edges = [MOTION_EDGES[1] / 2, *MOTION_EDGES[1:]]
    for split, filled in zip(SPLITS, (True, False), strict=True):
        if not totals[split]:
            continue
        shares = 100 * np.array(report.motion_counts[split]) / totals[split]
        axes.stairs(
            shares,
            edges,
            fill=filled,
            color=COLOURS[split],
            alpha=0.6 if filled else 1.0,
            linewidth=2,
            label=NAMES[split],
        )
    axes.set_xscale("log", base=2)
    ticks = [2.0**power for power in range(-4, 9, 2)]
    axes.set_xticks([edges[0], *ticks[1:]], ["0", *(f"{tick:g}" for tick in ticks[1:])])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("mean absolute change, grey levels")
    axes.set_ylabel("share of the changes, %")
    axes.grid(axis="y")
    axes.legend(frameon=False)


def _draw_conditions(axes: Axes, report: ExtractReport) -> None:
    axes.set_title("Conditions, share of segments")
    total = sum(side.segments for side in report.sides.values())
    conditions = report.conditions
    names = list(conditions)
    shares = [100 * one.segments / max(total, 1) for one in conditions.values()]
    places = range(len(names))
    axes.barh(places, [100] * len(names), height=0.6, color=RULE)
    axes.barh(places, shares, height=0.6, color="#009e73")
    for place, one in zip(places, conditions.values(), strict=True):
        text = f"{_count(one.segments, 'segment')} in {_count(one.videos, 'video')}"
        axes.text(0, place + 0.47, text, fontsize=9, color=SOFT, va="center")
    axes.set_yticks(places, names)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
    _lay_bars(axes)
    axes.set_ylim(len(names) - 0.3, -0.6)


def _lay_bars(axes: Axes) -> None:
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)


def _write(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        color=SOFT,
        fontsize=10,
    )


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)


def _most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """Keep the first entries, and add up the others."""
    if len(counts) <= MOST_BARS:
        return dict(counts)
    pairs = list(counts.items())
    kept, others = pairs[: MOST_BARS - 1], pairs[MOST_BARS - 1 :]
    return {**dict(kept), f"{len(others)} others": sum(count for _, count in others)}
