"""The page as a whole: safe, self-contained, the same every time, readable on a phone."""

import base64
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from cvg.errors import UserError
from cvg.files import write_json
from cvg.report import data
from cvg.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ATTACK = (
    '</h3><script>alert(1)</script><img src=x onerror=alert(1)> " onload=alert(1) x=" {{ 7*7 }}'
)


class Elements(HTMLParser):
    """Collects all elements with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def named(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def links(text):
    """Everything that a browser would follow or load."""
    for _, attributes in Elements(text).found:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            if name in attributes:
                yield attributes[name]
    yield from re.findall(r"url\([\"']?([^\"')]*)", text)
    yield from re.findall(r"@import\s+([^;]+)", text)


def cells(text):
    """The texts of each row of each table."""
    rows = re.findall("<tr>(.*?)</tr>", text)
    return [re.findall(r">([^<]*)</t[hd]>", row) for row in rows]


def test_nothing_is_loaded_from_outside(page):
    found = list(links(page))
    assert found
    assert [link for link in found if not link.startswith(("data:", "#"))] == []


def test_hostile_texts_stay_texts(page_of):
    skip = {"file": ATTACK, "row": 3, "code": "CORRUPT", "reason": ATTACK}
    note = {"file": ATTACK, "row": 3, "code": "STATIC", "text": ATTACK}
    text = page_of(caption=ATTACK, absent=[ATTACK], skipped=[skip], notes=[note])
    elements = Elements(text)
    assert len(elements.named("script")) == 1
    assert not any(
        "onerror" in attributes or "onload" in attributes for _, attributes in elements.found
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text


def test_only_the_script_of_the_page_may_run(page):
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in Elements(page).named("meta") if "content" in meta][:1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_same_inputs_give_the_same_bytes(made, tmp_path):
    paths = made["write_run"](tmp_path / "one")
    write_report(**paths)
    first = paths["out"].read_bytes()
    write_report(**made["write_run"](tmp_path / "two"))
    assert (tmp_path / "two/reports/index.html").read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_no_number_that_is_none_reaches_the_page(page):
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"\b(nan|NaN|inf|None|undefined)\b", text)


def test_each_part_of_the_run_has_its_section(page):
    ids = {attributes.get("id") for attributes in Elements(page).named("section")}
    wanted = {"summary", "data", "vqgan", "codes", "transformers", "samples", "horizon"}
    assert ids >= wanted | {"protocol", "reproduce"}
    assert {link["href"][1:] for link in Elements(page).named("a")} == ids


def test_pictures_have_words_for_those_who_cannot_see_them(page):
    elements = Elements(page)
    assert all(attributes.get("alt") for attributes in elements.named("img"))
    pictures = [a for _, a in elements.found if a.get("role") == "img"]
    assert pictures
    assert all(attributes.get("aria-label") for attributes in pictures)


def test_missed_health_gate_is_shown_before_the_figures(page, made):
    assert page.index(made["WARNING"]) < page.index("Main figures")


def test_skips_are_listed_and_counted(page_of):
    skip = {"file": "b.mp4", "row": 4, "code": "TOO_SHORT", "reason": "has 3 frames"}
    text = page_of(skipped=[skip])
    assert "Found 3 videos = used 2 + skipped 1" in text
    assert "has 3 frames" in text


def test_reasons_and_notes_are_counted_with_an_example_of_each(page_of):
    skips = [
        {"file": f"{number}.mp4", "row": number, "code": code, "reason": f"found {number}"}
        for number, code in enumerate(["TOO_SHORT", "CORRUPT", "TOO_SHORT"], start=2)
    ]
    note = {"file": "9.mp4", "row": 9, "code": "STATIC", "text": "nothing moves"}
    text = page_of(skipped=skips, notes=[note])
    rows = cells(text)
    assert ["TOO_SHORT", "2", "2.mp4, 4.mp4", "found 2"] in rows
    assert ["CORRUPT", "1", "3.mp4", "found 3"] in rows
    assert ["STATIC", "1", "9.mp4", "nothing moves"] in rows


def test_sides_and_conditions_are_shown_in_numbers(page):
    rows = cells(page)
    assert ["Training", "2", "2", "180", "7.2"] in rows
    assert ["Held out", "2", "2", "40", "1.6"] in rows
    assert ["Caption", "2 of 4 (50 %)", "1 of 2 (50 %)"] in rows
    assert "Not tried, by their names: 3 other files (.txt: 3)" in page
    assert "10 frames (10 in the gap between training and held-out part)" in page
    assert "3 shots; cuts in 1 of 2 videos" in page


def test_motion_of_both_sides_is_drawn_and_told(page):
    (told,) = re.findall(r'aria-label="(Mean absolute change[^"]*)"', page)
    assert told.endswith("training, half of them below 0.0625; held out, half of them below 256.")


def test_overview_is_on_the_page_where_there_is_one(made, tmp_path):
    paths = made["write_run"](tmp_path)
    write_report(**paths)
    assert "Overview of the videos" in paths["out"].read_text()
    (paths["frames"] / "overview.png").unlink()
    write_report(**paths)
    assert "Overview of the videos" not in paths["out"].read_text()


def test_long_lists_are_cut_and_say_so(page_of, monkeypatch):
    monkeypatch.setattr(data, "MOST_ROWS", 1)
    skips = [
        {"file": f"{number}.mp4", "row": None, "code": "CORRUPT", "reason": "broken"}
        for number in range(5)
    ]
    text = page_of(skipped=skips)
    assert "Each video left out (5)" in text
    assert "4 more: see skipped.csv" in text
    assert "1 more: see report.json" in text
    assert "4.mp4" not in text


def test_report_of_an_older_version_is_refused(made, tmp_path):
    paths = made["write_run"](tmp_path)
    write_json(paths["frames"] / "report.json", {"found": 1, "used": 1, "skipped": []})
    with pytest.raises(
        UserError, match=r"report\.json: format_version is None.*extract stage again"
    ):
        write_report(**paths)


def test_without_curves_the_page_says_so(made, tmp_path):
    paths = made["write_run"](tmp_path)
    shutil.rmtree(paths["plots"])
    write_report(**paths)
    assert "No curves: vqgan.csv" in paths["out"].read_text()


def test_missing_figures_file_is_named(made, tmp_path):
    paths = made["write_run"](tmp_path)
    paths["metrics"].unlink()
    with pytest.raises(UserError, match=r"metrics\.json: no such file"):
        write_report(**paths)


def test_damaged_pictures_are_named(made, tmp_path):
    paths = made["write_run"](tmp_path)
    (paths["scores"] / "pictures.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match=r"pictures\.safetensors: not readable"):
        write_report(**paths)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_nothing_sticks_out_of_a_phone(made, tmp_path):
    long = "averyverylongwordwithoutanyspace" * 8
    paths = made["write_run"](tmp_path, caption=long, absent=[long])
    write_report(**paths)
    # A window cannot be as narrow as a phone; a frame can.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<iframe id=phone src='{paths['out'].as_uri()}' width=390 height=800></iframe><script>"
        "onload=()=>{const root=document.getElementById('phone').contentDocument.documentElement;"
        "document.title=root.clientWidth+' '+root.scrollWidth}</script>"
    )
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        frame.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    inner, needed = re.search(r"<title>(\d+) (\d+)</title>", done.stdout).groups()
    assert 300 < int(inner) <= 390
    assert int(needed) <= int(inner)
