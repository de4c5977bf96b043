"""The health gate: each bound, no bound, nothing measured, NaN, strict."""

import json
import math

import pytest

from cvg.config import CheckVqganParams
from cvg.errors import UserError
from cvg.metrics.gates import Codebook, enforce, hold_against

CODEBOOKS = {
    "top": Codebook(size=200, places=1000),
    "bottom": Codebook(size=100, places=1000),
}
ANY = Codebook(size=10, places=10)
BOUNDS = CheckVqganParams(
    clips=2,
    frames=4,
    min_psnr=21.0,
    min_psnr_top=19.0,
    max_lpips=0.25,
    max_fvd=300.0,
    min_usage=0.5,
    min_perplexity=0.2,
    max_flips=0.1,
    strict=False,
)
AT_THE_BOUNDS = {
    "vqgan.psnr": 21.0,
    "vqgan.psnr_top": 19.0,
    "vqgan.lpips": 0.25,
    "vqgan.fvd": 300.0,
    "codes.top.usage": 0.5,
    "codes.top.perplexity": 40.0,
    "codes.top.flips": 0.1,
    "codes.bottom.usage": 0.5,
    "codes.bottom.perplexity": 20.0,
    "codes.bottom.flips": 0.1,
}
KEYS = ("min_psnr", "min_psnr_top", "max_lpips", "max_fvd", "min_usage", "min_perplexity")


def hold(changes=None, **bounds):
    figures = {k: v for k, v in (AT_THE_BOUNDS | (changes or {})).items() if v is not None}
    return hold_against(figures, BOUNDS.model_copy(update=bounds), codebooks=CODEBOOKS)


def missed(gates):
    return [gate.figure for gate in gates if gate.passed is False]


def test_figures_at_their_bounds_pass_in_silence(capsys):
    gates = hold()
    assert {gate.figure for gate in gates} == set(AT_THE_BOUNDS)
    assert all(gate.passed for gate in gates)
    enforce(gates, strict=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("figure", AT_THE_BOUNDS)
def test_each_figure_beyond_its_bound_is_missed_alone(figure):
    is_cost = figure.endswith(("lpips", "fvd", "flips"))
    beyond = AT_THE_BOUNDS[figure] * (1.01 if is_cost else 0.99)
    assert missed(hold({figure: beyond})) == [figure]
    within = AT_THE_BOUNDS[figure] * (0.99 if is_cost else 1.01)
    assert missed(hold({figure: within})) == []


@pytest.mark.parametrize("figure", AT_THE_BOUNDS)
def test_nan_never_passes(figure):
    assert missed(hold({figure: math.nan})) == [figure]


def test_where_there_is_no_bound_nothing_is_missed():
    nothing = dict.fromkeys((*KEYS, "max_flips"))
    gates = hold(dict.fromkeys(AT_THE_BOUNDS, math.nan), **nothing)
    assert [gate.passed for gate in gates] == [None] * len(AT_THE_BOUNDS)
    enforce(gates, strict=True)


def test_what_was_not_measured_is_listed_and_neither_passed_nor_missed(capsys):
    gates = hold(dict.fromkeys(AT_THE_BOUNDS))
    rows = [gate.to_dict() for gate in gates]
    assert {row["figure"] for row in rows} == set(AT_THE_BOUNDS)
    assert all(row["value"] is None and row["passed"] is None for row in rows)
    enforce(gates, strict=False)
    assert capsys.readouterr().err == ""


def test_a_strict_gate_asks_for_every_figure_that_has_a_bound():
    expected = r"vqgan\.lpips could not be measured, but check_vqgan\.max_lpips bounds it\."
    with pytest.raises(UserError, match=expected):
        enforce(hold({"vqgan.lpips": None}), strict=True)
    enforce(hold({"vqgan.lpips": None}, max_lpips=None), strict=True)


def test_a_single_level_is_not_asked_for_its_top_alone():
    figures = [gate.figure for gate in hold_against({}, BOUNDS, codebooks={"bottom": ANY})]
    assert "vqgan.psnr" in figures
    assert "vqgan.psnr_top" not in figures


def test_a_row_says_everything_that_a_reader_needs():
    rows = {gate.figure: gate.to_dict() for gate in hold({"vqgan.fvd": 400.0})}
    json.dumps(rows, allow_nan=False)
    assert rows["vqgan.fvd"] == {
        "figure": "vqgan.fvd",
        "value": 400.0,
        "bound": 300.0,
        "kind": "max",
        "key": "check_vqgan.max_fvd",
        "passed": False,
    }
    assert rows["vqgan.psnr"]["kind"] == "min"
    assert rows["codes.top.perplexity"]["bound"] == 40
    assert rows["codes.bottom.perplexity"]["bound"] == 20


@pytest.mark.parametrize(
    ("figure", "value", "sentence"),
    [
        ("vqgan.psnr", 20.1, "held-out vqgan.psnr is 20.1, below check_vqgan.min_psnr = 21"),
        ("vqgan.lpips", 0.3, "held-out vqgan.lpips is 0.3, above check_vqgan.max_lpips = 0.25"),
        (
            "codes.top.perplexity",
            7.0,
            "held-out codes.top.perplexity is 7, below check_vqgan.min_perplexity = 0.2 of "
            "200 codes",
        ),
    ],
)
def test_a_missed_bound_warns_and_a_strict_one_stops(capsys, figure, value, sentence):
    gates = hold({figure: value})
    enforce(gates, strict=False)
    warning = f"WARNING: health gate: {sentence}; what follows can be no better\n"
    assert capsys.readouterr().err == warning
    with pytest.raises(UserError) as stopped:
        enforce(gates, strict=True)
    assert str(stopped.value).startswith(f"the VQGAN is not fit for use: {sentence}. docs/")


def test_few_frames_are_not_asked_for_more_codes_than_they_have_places():
    few = Codebook(size=200, places=50)
    figures = {"codes.top.usage": 0.125, "codes.top.perplexity": 10.0}
    gates = {g.figure: g for g in hold_against(figures, BOUNDS, codebooks={"top": few})}
    usage, perplexity = gates["codes.top.usage"], gates["codes.top.perplexity"]
    assert (usage.bound, perplexity.bound) == (0.5 * 50 / 200, 0.2 * 50)
    assert usage.passed
    assert perplexity.passed
    (gate,) = (
        gate
        for gate in hold_against({"codes.top.usage": 0.1}, BOUNDS, codebooks={"top": few})
        if gate.passed is False
    )
    assert gate.sentence.endswith("check_vqgan.min_usage = 0.5 of 0.25, the share in reach")


def test_a_strict_gate_names_all_that_is_missed():
    with pytest.raises(UserError, match=r"vqgan\.psnr is .*; held-out codes\.top\.usage is "):
        enforce(hold({"vqgan.psnr": 1.0, "codes.top.usage": 0.0}), strict=True)


@pytest.mark.parametrize("levels", [("bottom",), ("top", "middle", "bottom")])
def test_every_level_has_its_gates(levels):
    gates = hold_against({}, BOUNDS, codebooks=dict.fromkeys(levels, ANY))
    named = [gate.figure for gate in gates if gate.figure.startswith("codes.")]
    figures = ("usage", "perplexity", "flips")
    assert named == [f"codes.{level}.{figure}" for level in levels for figure in figures]
