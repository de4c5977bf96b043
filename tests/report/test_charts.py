"""Charts hold all points, and say in words what they show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Reference,
    Series,
    line_chart,
    tick_values,
)

numbers = st.floats(min_value=-1e6, max_value=1e6).map(lambda value: round(value, 4))


def places(path):
    pairs = path.strip("MZ").split("L")
    return [tuple(float(number) for number in pair.split()) for pair in pairs]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), numbers)
def test_no_point_leaves_the_frame(points, level):
    series = [Series(name="a", style="a", points=tuple(points))]
    reference = Reference(name="level", value=level)
    chart = line_chart("t", series, x_label="x", y_label="y", reference=reference)
    for x, y in [*places(chart.series[0].path), (LEFT, float(chart.reference_place))]:
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM


@given(numbers, st.floats(min_value=1e-3, max_value=1e6))
def test_ticks_are_few_and_inside(low, width):
    values = tick_values(low, low + width, most=8)
    assert 2 <= len(values) <= 9
    assert all(low - 1e-6 * width <= value <= low + width * (1 + 1e-6) for value in values)


def test_steps_are_counted_in_whole_numbers():
    assert tick_values(1, 3, most=6, whole=True) == [1, 2, 3]


def test_higher_values_are_drawn_higher():
    series = [Series(name="a", style="a", points=((0.0, 1.0), (1.0, 2.0)))]
    chart = line_chart("t", series, x_label="x", y_label="y")
    (_, low), (_, high) = places(chart.series[0].path)
    assert high < low


def test_series_without_points_is_left_out_of_the_legend():
    series = [
        Series(name="a", style="a", points=((1.0, 2.0),)),
        Series(name="b", style="b", points=()),
    ]
    chart = line_chart("t", series, x_label="x", y_label="y")
    assert [one.name for one in chart.series] == ["a"]
    assert line_chart("t", series[1:], x_label="x", y_label="y") is None


def test_area_stands_on_zero():
    series = [Series(name="a", style="a", points=((0.0, 5.0), (1.0, 9.0)), filled=True)]
    chart = line_chart("t", series, x_label="x", y_label="y")
    assert chart.y_ticks[0].text == "0"
    assert float(chart.y_ticks[0].place) == pytest.approx(HEIGHT - BOTTOM)


def test_chart_is_told_in_words():
    series = [Series(name="sample", style="a", points=((1.0, 30.0), (2.0, 20.0)))]
    reference = Reference(name="even guess", value=5.5)
    chart = line_chart("PSNR", series, x_label="x", y_label="y", reference=reference)
    assert chart.description == "PSNR: sample from 30 to 20; even guess at 5.5."


def test_named_ticks_stand_at_their_values():
    series = [Series(name="a", style="a", points=((0.0, 5.0), (10.0, 9.0)))]
    chart = line_chart("t", series, x_label="x", y_label="y", x_ticks=[(0.0, "low"), (5.0, "mid")])
    assert [tick.text for tick in chart.x_ticks] == ["low", "mid"]
    assert float(chart.x_ticks[1].place) == pytest.approx((LEFT + WIDTH - RIGHT) / 2)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), numbers)
def test_upright_reference_stands_inside_and_moves_no_value(points, step):
    series = [Series(name="a", style="a", points=tuple(points))]
    reference = Reference(name="from here", value=step, upright=True)
    chart = line_chart("t", series, x_label="x", y_label="y", reference=reference)
    plain = line_chart("t", series, x_label="x", y_label="y")
    assert chart.reference_upright
    assert LEFT <= float(chart.reference_place) <= WIDTH - RIGHT
    assert chart.y_ticks == plain.y_ticks
