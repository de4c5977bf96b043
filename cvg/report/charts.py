"""Small line charts as geometry: the template only draws what stands here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

# Units of the drawing; the page scales it to the width at hand, near 1 : 1 on a phone.
WIDTH = 320
HEIGHT = 212
LEFT = 50
RIGHT = 12
TOP = 12
BOTTOM = 44
MOST_DOTS = 12  # a line of more points is drawn without a dot at each


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line, or an area where it is filled."""

    name: str
    style: str  # letter of a style of the page
    points: tuple[Point, ...]
    filled: bool = False


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A value to compare with, drawn as a thin line across, or upright where it is one of x."""

    name: str
    value: float
    upright: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The range of values along one side."""

    low: float
    high: float
    start: float  # place of `low` in the drawing
    end: float  # place of `high`

    def place(self, value: float) -> float:
        """Give the place of a value in the drawing."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A value that an axis names."""

    place: str
    text: str


@dataclass(frozen=True, kw_only=True)
class DrawnSeries:
    """A series as a path."""

    name: str
    style: str
    path: str
    filled: bool
    dots: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart ready to be drawn."""

    title: str
    x_label: str
    y_label: str
    series: tuple[DrawnSeries, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    reference: str  # name of the reference line, empty where there is none
    reference_place: str
    reference_upright: bool
    description: str  # for those who cannot see it


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    reference: Reference | None = None,
    x_ticks: Sequence[tuple[float, str]] = (),
) -> Chart | None:
    """Lay out a chart of the series that have points; None where none has.

    The axes hold all points and the reference; the vertical one starts at 0 only for areas. Where
    `x_ticks` are given, values and what to call them, they name the horizontal axis.
    """
    shown = [one for one in series if one.points]
    if not shown:
        return None
    xs = [x for one in shown for x, _ in one.points]
    ys = [y for one in shown for _, y in one.points]
    if reference:
        (xs if reference.upright else ys).append(reference.value)
    ys += [0.0] if any(one.filled for one in shown) else []
    across = Axis(
        low=min(xs),
        high=max(xs) if max(xs) > min(xs) else min(xs) + 1,
        start=LEFT,
        end=WIDTH - RIGHT,
    )
    margin = 0.06 * (max(ys) - min(ys)) or max(0.06 * abs(max(ys)), 1e-3)
    low = 0.0 if any(one.filled for one in shown) else min(ys) - margin
    up = Axis(low=low, high=max(ys) + margin, start=HEIGHT - BOTTOM, end=TOP)
    along = across if reference and reference.upright else up
    return Chart(
        title=title,
        x_label=x_label,
        y_label=y_label,
        series=tuple(_drawn(one, across, up) for one in shown),
        x_ticks=tuple(Tick(place=_number(across.place(x)), text=text) for x, text in x_ticks)
        or _ticks(across, whole=True),
        y_ticks=_ticks(up),
        reference=reference.name if reference else "",
        reference_place=_number(along.place(reference.value)) if reference else "",
        reference_upright=along is across,
        description=_description(title, shown, reference),
    )


def tick_values(low: float, high: float, *, most: int, whole: bool = False) -> list[float]:
    """Give round values between two bounds, 1, 2 or 5 times a power of ten apart.

    >>> tick_values(0.0, 10.0, most=6)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _ticks(axis: Axis, *, whole: bool = False) -> tuple[Tick, ...]:
    values = tick_values(axis.low, axis.high, most=6 if whole else 8, whole=whole)
    gap = values[1] - values[0] if len(values) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9))
    return tuple(
        Tick(place=_number(axis.place(value)), text=f"{value:.{decimals}f}") for value in values
    )


def _drawn(series: Series, across: Axis, up: Axis) -> DrawnSeries:
    places = [(_number(across.place(x)), _number(up.place(y))) for x, y in series.points]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    if series.filled:
        floor = _number(up.place(0.0))
        path += f"L{places[-1][0]} {floor}L{places[0][0]} {floor}Z"
    dots = () if series.filled or len(places) > MOST_DOTS else tuple(places)
    return DrawnSeries(
        name=series.name, style=series.style, path=path, filled=series.filled, dots=dots
    )


def _description(title: str, series: Sequence[Series], reference: Reference | None) -> str:
    parts = [f"{one.name} from {one.points[0][1]:.3g} to {one.points[-1][1]:.3g}" for one in series]
    parts += [f"{reference.name} at {reference.value:.3g}"] if reference else []
    return f"{title}: {'; '.join(parts)}."


def _number(value: float) -> str:
    return f"{value:.1f}"
