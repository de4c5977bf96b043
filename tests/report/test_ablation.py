"""The table of variants."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from cvg.report.ablation import ablation_table


def table_of(text):
    return ablation_table(list(csv.DictReader(io.StringIO(text))))


def texts(row):
    return [entry.text for entry in row]


def test_numbers_are_written_as_in_the_other_tables(made):
    table = table_of(made["ABLATION"])
    found = dict(zip(texts(table.headings), texts(table.rows[0]), strict=True))
    assert found["PSNR, dB"] == "22.61"
    assert found["PSNR, top, dB"] == "19.80"
    assert found["LPIPS"] == "0.216"
    assert found["Usage, top"] == "91.0 %"
    assert found["Perplexity, bottom"] == "200.0"
    assert found["Steps a second"] == "1.5"
    assert found["LPIPS, spread over seeds"] == "0.0200"
    assert found["Codes a level"] == "256"


def test_data_and_date_stand_in_the_caption_and_not_in_each_row(made):
    table = table_of(made["ABLATION"])
    assert table.origin == "data/other.csv, 2026-02-03"
    assert not {"Manifest", "Date", table.origin} & set(texts(table.headings))
    assert table_of("name,lpips\nplain,0.2\n").origin == ""


def test_column_that_is_empty_everywhere_is_left_out(made):
    table = table_of(made["ABLATION"])
    headings = texts(table.headings)
    assert "SSIM" not in headings
    assert texts(table.rows[1])[headings.index("PSNR, top, dB")] == "–"


@given(st.lists(st.none() | st.floats(min_value=0, max_value=1), min_size=1, max_size=6))
def test_lowest_lpips_and_nothing_else_is_best(values):
    rows = [
        {"name": str(number), "psnr": "1", "lpips": "" if value is None else repr(value)}
        for number, value in enumerate(values)
    ]
    table = ablation_table(rows)
    known = [value for value in values if value is not None]
    best = [entry.is_best for row in table.rows for entry in row]
    assert sum(best) == (known.count(min(known)) if known else 0)
    for row, value in zip(table.rows, values, strict=True):
        assert any(entry.is_best for entry in row) is (bool(known) and value == min(known))


def test_without_rows_there_is_no_table():
    assert table_of("name,lpips\n") is None
    assert ablation_table([]) is None
