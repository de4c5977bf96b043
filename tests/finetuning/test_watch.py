"""A critic that wins, that tells nothing, or that breaks: each is forced, and handled."""

import pytest

from cvg.finetuning.watch import LONG, MOST_RESTARTS, Watch, Weight


def test_a_critic_of_use_goes_on():
    watch = Watch()
    assert {watch.look(area) for area in (0.7, 0.9, 0.98, 0.6, 0.44, 0.3)} == {"go on"}


def test_winning_for_long_lowers_the_weight_again_and_again():
    watch = Watch()
    advice = [watch.look(1.0) for _ in range(2 * LONG)]
    quiet = ["go on"] * (LONG - 1)
    assert advice == [*quiet, "lower the weight", *quiet, "lower the weight"]
    assert not watch.stopped


def test_winning_for_a_moment_changes_nothing():
    watch = Watch()
    areas = ([1.0] * (LONG - 1) + [0.9]) * 3
    assert {watch.look(area) for area in areas} == {"go on"}


@pytest.mark.parametrize("area", [0.5, 0.46, 0.54])
def test_telling_nothing_for_long_begins_the_critic_anew_and_in_the_end_stops(area):
    watch = Watch()
    advice = [watch.look(area) for _ in range((MOST_RESTARTS + 1) * LONG)]
    done = [one for one in advice if one != "go on"]
    assert done == ["restart the critic"] * MOST_RESTARTS + ["stop"]
    assert watch.stopped


def test_breaking_begins_the_critic_anew_at_once():
    watch = Watch()
    assert [watch.broken() for _ in range(MOST_RESTARTS)] == ["restart the critic"] * MOST_RESTARTS
    assert watch.broken() == "stop"


def test_counts_outlast_an_interruption():
    watch, resumed = Watch(), Watch()
    for _ in range(LONG - 1):
        watch.look(0.5)
    resumed.load_state_dict(watch.state_dict())
    assert resumed.look(0.5) == "restart the critic"


def test_a_weight_is_lowered_and_that_is_said(capsys):
    weight = Weight(0.2, back_off=0.5)
    weight.lower("something rose")
    assert weight.value == pytest.approx(0.1)
    assert (
        "something rose; the weight of the adversary is lowered to 0.1" in capsys.readouterr().err
    )
