"""Charts are of the levels that there are, and show where the discriminator sets in."""

import pytest

from cvg.report.charts import LEFT, RIGHT, WIDTH
from cvg.report.curves import code_charts, transformer_charts, vqgan_charts

LEVELS = (("bottom",), ("top", "bottom"), ("top", "middle", "bottom"))


def named(charts):
    return {chart.title: chart for chart in charts}


@pytest.mark.parametrize("levels", LEVELS)
def test_each_prefix_has_its_line(source_of, levels):
    source = source_of(levels=levels)
    found = named(vqgan_charts(source.curves["vqgan"], levels))
    lines = [series.name for series in found["Held-out PSNR"].series]
    assert (
        lines
        == [
            ["reconstruction"],
            ["both levels", "top level alone"],
            ["all levels", "top and middle", "top level alone"],
        ][len(levels) - 1]
    )
    assert "Held-out LPIPS" in found


@pytest.mark.parametrize("levels", LEVELS)
def test_each_level_has_its_lines(source_of, levels):
    source = source_of(levels=levels)
    found = named(code_charts(source))
    for title in ("Perplexity while training", "Codes used while training"):
        assert [series.name for series in found[title].series] == list(levels)
    assert len(transformer_charts(source)) == len(levels)
    styles = [series.style for series in found["Perplexity while training"].series]
    assert len(set(styles)) == len(levels)


def test_without_a_discriminator_nothing_marks_its_start(source_of):
    charts = vqgan_charts(source_of().curves["vqgan"], LEVELS[1])
    assert "Discriminator" not in named(charts)
    assert not any(chart.reference for chart in charts)


def test_start_of_the_gradient_stands_on_the_charts_that_it_changes(source_of):
    source = source_of(discriminator=True)
    found = named(vqgan_charts(source.curves["vqgan"], LEVELS[1]))
    assert len(found["Discriminator"].series) == 4
    for title, steps in (("Discriminator", (10, 40)), ("Held-out PSNR", (20, 40))):
        chart = found[title]
        share = (20 - steps[0]) / (steps[1] - steps[0])
        assert chart.reference_upright
        place = LEFT + share * (WIDTH - RIGHT - LEFT)
        assert float(chart.reference_place) == pytest.approx(place, abs=0.1)
    assert "begins at 20" in found["Discriminator"].description


def test_held_out_lpips_is_named_by_its_network():
    rows = [{"step": str(step), "held_out_lpips_vgg": "0.3"} for step in (5, 10)]
    found = named(vqgan_charts(rows, LEVELS[1]))
    assert "Held-out LPIPS on VGG16" in found
    assert "Held-out LPIPS" not in found


def test_gradient_from_the_first_step_is_marked_at_its_start():
    rows = [{"step": str(step), "adversarial": "1", "held_out_psnr": "2"} for step in (5, 10)]
    chart = named(vqgan_charts(rows, LEVELS[1]))["Held-out PSNR"]
    assert float(chart.reference_place) == LEFT
    assert chart.x_ticks[0].text == "0"
