"""What the page says of the critic."""

import pytest

from cvg.report.critic import critic_charts, critic_table, finetune_charts
from cvg.report.page import render
from cvg.report.source import read_source

FIGURES = {"cross_entropy": 0.2, "auc": 0.95, "auc_shuffled": 0.987, "auc_frozen": 0.91}
STUDY = "way,fresh_auc\nbefore,0.97\nteach,0.91\n"
PRETRAINING = [
    {"step": "10", "cross_entropy": "0.7", "held_out_cross_entropy": "", "held_out_auc": ""},
    {"step": "20", "cross_entropy": "0.5", "held_out_cross_entropy": "0.6", "held_out_auc": "0.8"},
    {"step": "40", "cross_entropy": "0.4", "held_out_cross_entropy": "0.5", "held_out_auc": "0.9"},
]
TUNING = [
    {"step": "0", "held_out_nll_top": "1.5", "held_out_nll_bottom": "2.5", "weight": ""},
    {"step": "9", "held_out_nll_top": "1.4", "held_out_nll_bottom": "2.4", "weight": "0.05"},
]


def test_each_corruption_has_its_row_and_what_was_not_measured_has_a_dash():
    table = critic_table(FIGURES)
    assert ("Frames in another order", "0.987") in table.rows
    assert ("Noise in every frame", "–") in table.rows
    assert critic_table({}) is None


def test_curves_are_drawn_where_there_are_some():
    assert [chart.title for chart in critic_charts(PRETRAINING)] == [
        "Critic",
        "What the critic tells apart",
    ]
    first, *_ = finetune_charts(TUNING, ("top", "bottom"))
    assert first.title == "Held-out while fine-tuning"
    assert critic_charts([]) == finetune_charts([], ("top", "bottom")) == []


@pytest.mark.parametrize("there", [True, False])
def test_the_page_has_the_section_where_there_is_a_critic(made, tmp_path, there):
    given = {"critic": FIGURES, "finetuning": STUDY} if there else {}
    page = render(read_source(made["write_run"](tmp_path, **given)))
    for text in ("Temporal critic", "Frames in another order", 'href="#critic"', "Fresh auc"):
        assert (text in page) == there
