"""The table of the main figures."""

from copy import deepcopy

from cvg.report.summary import interval_sentence, main_table, run_sentence


def cells(source):
    table = main_table(source)
    return {
        (line.candidate.name, metric.key): cell
        for line in table.lines
        for metric, cell in zip(table.metrics, line.cells, strict=True)
    }


def test_best_is_never_a_control(source_of):
    best = {place for place, cell in cells(source_of()).items() if cell.is_best}
    assert best == {
        ("sample", "psnr"),
        ("baseline.nearest", "ssim"),
        ("sample", "lpips"),
        ("baseline.nearest", "fvd"),
    }


def test_control_that_equals_the_best_is_not_marked(source_of, made):
    figures = deepcopy(made["FIGURES"])
    figures["control.reconstruction"]["psnr"] = figures["sample"]["psnr"]
    found = cells(source_of(figures=figures))
    assert found["sample", "psnr"].is_best
    assert not found["control.reconstruction", "psnr"].is_best


def test_absent_figure_is_not_computed_and_says_why(source_of, made):
    figures = deepcopy(made["FIGURES"])
    for values in figures.values():
        values.pop("fvd")
    why = "fvd is left out: it needs 9 frames, the clips have 6"
    found = cells(source_of(figures=figures, absent=[why]))["sample", "fvd"]
    assert found.text == "not computed"
    assert found.why_empty == why


def test_reason_for_absence_names_the_network_it_lacks(source_of, made):
    figures = deepcopy(made["FIGURES"])
    for values in figures.values():
        values.pop("lpips", None)
    why = "lpips_alex is left out: the network is absent"
    found = cells(source_of(figures=figures, absent=[why]))["baseline.nearest", "lpips"]
    assert (found.text, found.why_empty) == ("not computed", why)


def test_figure_of_pairs_does_not_apply_to_sets(source_of):
    assert cells(source_of())["control.shuffled", "psnr"].text == "–"


def test_figure_on_another_network_is_named_after_it(source_of, made):
    figures = deepcopy(made["FIGURES"])
    for values in figures.values():
        values.pop("fvd")
    source = source_of(figures=figures)
    source.figures["sample"]["fvd_random"] = 5.0
    titles = [metric.title for metric in main_table(source).metrics]
    assert titles == ["PSNR", "SSIM", "LPIPS", "FVD on random"]


def test_intervals_stand_beside_the_figures(source_of):
    found = cells(source_of())
    assert found["sample", "lpips"].interval == "0.0970 to 0.103"
    assert found["sample", "fvd"].interval == ""


def test_sentence_says_what_was_resampled(source_of):
    sentence = interval_sentence(source_of().scores)
    assert "95 % interval, by resampling 3 clips" in sentence
    assert "not about other videos" in sentence


def test_run_is_told_in_numbers(source_of):
    sentence = run_sentence(source_of())
    assert "180 frames (7 s) of 2 videos" in sentence
    assert "3 held-out clips at 16 × 16 pixels: 2 frames were given, the next 4" in sentence
