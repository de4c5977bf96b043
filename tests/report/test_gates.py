"""The health gate on the page: no figure is left out, none looks better than it is."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvg.report.gates import flips_sentence, gate_lines, missed_sentences

LEVELS = (("bottom",), ("top", "bottom"), ("top", "middle", "bottom"))

figures = st.sampled_from(
    ["vqgan.psnr", "vqgan.psnr_middle", "vqgan.lpips_vgg", "codes.top.flips", "codes.x.new", "new"]
)
numbers = st.none() | st.floats(min_value=0, max_value=100)
gates = st.builds(
    lambda figure, value, bound, kind, passed: {
        "figure": figure,
        "value": value,
        "bound": bound,
        "kind": kind,
        "key": f"check_vqgan.{kind}_{figure}",
        "passed": None if value is None or bound is None else passed,
    },
    figures,
    numbers,
    numbers,
    st.sampled_from(["min", "max"]),
    st.booleans(),
)


def lines_of(source, found):
    return gate_lines(replace(source, check=replace(source.check, gates=found)))


def by_title(source):
    return {line.title: line for line in gate_lines(source)}


@pytest.fixture
def usual(source_of):
    return source_of()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(gates, max_size=6))
def test_every_gate_has_its_line_and_every_missed_one_its_sentence(usual, found):
    lines = lines_of(usual, found)
    assert [line.key for line in lines] == [gate["key"] for gate in found]
    for gate, line in zip(found, lines, strict=True):
        assert (line.verdict == "passed") is (gate["passed"] is True)
        assert (line.verdict == "missed") is (gate["passed"] is False)
    missed = [line.key for line in lines if line.verdict == "missed"]
    sentences = missed_sentences(lines)
    assert len(sentences) == len(missed)
    assert all(key in sentence for key, sentence in zip(missed, sentences, strict=True))


@pytest.mark.parametrize("levels", LEVELS)
def test_codes_of_each_level_are_named(source_of, levels):
    found = by_title(source_of(levels=levels))
    for level in levels:
        name = level.capitalize()
        assert found[f"{name} codes used at all"].value == "75.0 %"
        assert found[f"{name} codes, perplexity"].bound == "at least 2.4 of 12"
        assert found[f"{name} codes that flip"].verdict == "missed"


def test_verdicts_follow_from_values_and_bounds(usual):
    found = by_title(usual)
    assert found["Reconstruction PSNR"].verdict == "missed"
    assert found["Reconstruction LPIPS"].verdict == "passed"
    assert found["Reconstruction LPIPS"].bound == "at most 0.250"
    assert found["Reconstruction FVD"].verdict == "no bound"
    assert found["Reconstruction FVD"].note == "3 clips of 6 frames"


def test_what_was_not_measured_says_why(source_of):
    why = "lpips_alex is left out: the network is absent"
    found = by_title(source_of(vqgan={"psnr": 30.0}, check_absent=[why]))
    line = found["Reconstruction LPIPS"]
    assert (line.value, line.verdict, line.note) == ("–", "not measured", why)


def test_a_single_level_has_no_line_for_its_top_alone(source_of):
    titles = by_title(source_of(levels=("bottom",)))
    assert "Reconstruction PSNR" in titles
    assert not any("alone" in title for title in titles)


def test_figure_that_is_no_number_is_missed(usual):
    gate = usual.check.gates[0] | {"value": None, "passed": False}
    (line,) = lines_of(usual, [gate])
    assert (line.value, line.verdict) == ("not a number", "missed")


def test_missed_figure_never_looks_like_its_bound(usual):
    gate = usual.check.gates[0] | {"value": 20.9996, "bound": 21.0, "passed": False}
    (line,) = lines_of(usual, [gate])
    assert line.value == "20.9996"


def test_flips_are_explained_where_they_were_measured(usual):
    assert flips_sentence(usual).endswith(
        "What stands still here: 40.0 % of the top cells, 40.0 % of the bottom cells."
    )
    codes = {level: {"usage": 0.5} for level in usual.levels}
    assert not flips_sentence(replace(usual, figures={"codes": codes}))
