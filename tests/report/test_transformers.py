"""The transformers on the page."""

import pytest

from cvg.report.details import measured_table
from cvg.report.source import read_source
from cvg.report.transformers import drift_table, truth_charts, truth_table

ORDERS = "order,frames_a_second_of_1_video,psnr\nraster,10.5,21.2\nparallel,20.1,20.9\n"


@pytest.fixture
def source(made, tmp_path):
    return read_source(made["write_run"](tmp_path, orders=ORDERS))


def test_what_a_code_costs_is_told_by_truth_seen(source):
    table = truth_table(source.transformers, source.levels)
    assert table.headings == (
        "Seen of the truth",
        "Top, nats a code",
        "Bottom, nats a code",
        "Bits a pixel",
    )
    assert table.rows[0] == ("All before it", "1.500", "1.500", "0.150")
    assert table.rows[2] == ("The given frames alone", "3.500", "3.500", "0.350")


def test_models_without_a_likelihood_have_no_table(source):
    assert truth_table({"drift": {}}, source.levels) is None
    assert truth_charts([]) == []


def test_each_truth_has_a_line(source):
    (chart,) = truth_charts(source.truth)
    assert [series.name for series in chart.series] == [
        "all before it",
        "whole frames before",
        "the given frames alone",
    ]


def test_drift_is_told_by_horizon_and_gaps_are_gaps(source):
    table = drift_table(source.drift)
    assert table.rows == (
        ("3 to 16", "3.50", "4.00", "1.50", "25 %", "21.50"),
        ("17 to 32", "0.75", "4.00", "1.50", "50 %", "–"),
    )
    assert drift_table([]) is None


def test_orders_stand_as_they_were_measured(source):
    table = measured_table("Orders", source.orders)
    assert table.headings == ("Order", "Frames a second of 1 video", "Psnr")
    assert table.rows[1] == ("parallel", "20.1", "20.9")
    assert measured_table("Orders", []) is None


def test_all_of_it_is_on_the_page(made, source):
    from cvg.report.page import render

    page = render(source)
    for text in ("How much of the truth they need", "Drift", "Orders of the codes in a frame"):
        assert text in page
