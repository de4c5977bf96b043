"""The sentences of the verdict follow from the figures."""

from copy import deepcopy

from cvg.report.verdict import judge


def test_headline_counts_the_figures_that_are_better(source_of):
    assert judge(source_of()).headline == (
        "The samples beat repeating the last frame on 4 of 4 figures, "
        "and the nearest training clip on 2 of 4 figures."
    )


def test_lower_is_better_for_distances(source_of):
    findings = {one.sentence.split()[1]: one for one in judge(source_of()).findings}
    assert findings["LPIPS"].outcome == "beats"
    assert findings["LPIPS"].sentence.startswith(
        "On LPIPS the samples (0.100) beat repeating the last frame (0.200) "
        "and the nearest training clip (0.400)."
    )
    assert findings["FVD"].outcome == "mixed"
    assert findings["FVD"].sentence == (
        "On FVD the samples (300) beat repeating the last frame (400), "
        "but do not beat the nearest training clip (200)."
    )


def test_equal_is_not_better(source_of, made):
    figures = deepcopy(made["FIGURES"])
    for name in ("baseline.repeat_last", "baseline.nearest"):
        figures[name]["psnr"] = 24.0
    first = judge(source_of(figures=figures)).findings[0]
    assert first.outcome == "loses"
    assert "do not beat repeating the last frame (24.00) or the nearest" in first.sentence


def test_overlapping_intervals_are_a_doubt(source_of, made):
    figures = deepcopy(made["FIGURES"])
    figures["baseline.repeat_last"]["psnr"] = 23.5
    psnr = judge(source_of(figures=figures)).findings[0].sentence
    assert psnr.endswith(
        "The intervals of the samples and of repeating the last frame overlap: it may be chance."
    )
    assert "chance" not in judge(source_of()).findings[0].sentence


def test_controls_say_whether_fvd_sees_time(source_of, made):
    assert "it sees time" in judge(source_of()).cautions[0]
    figures = deepcopy(made["FIGURES"])
    figures["control.shuffled"]["fvd"] = 20.0
    assert "more about what is seen" in judge(source_of(figures=figures)).cautions[0]


def test_a_note_of_a_figure_stands_under_its_name(source_of):
    (note,) = [one for one in judge(source_of()).cautions if "401" in one]
    assert note == "FVD: fewer than 401 clips."


def test_without_baselines_nothing_is_claimed(source_of, made):
    verdict = judge(source_of(figures={"sample": made["FIGURES"]["sample"]}))
    assert verdict.headline == "No figure was computed for both the samples and a baseline."
    assert verdict.findings == ()
