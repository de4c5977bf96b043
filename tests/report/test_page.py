"""The page as a whole: safe, self-contained, the same every time, readable on a phone."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cvg.errors import UserError
from cvg.files import write_json
from cvg.report import data
from cvg.report.about import About
from cvg.report.accepted import since_accepted
from cvg.report.markdown import markdown
from cvg.report.page import render, write_report
from cvg.report.source import read_source

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LEVELS = (("bottom",), ("top", "bottom"), ("top", "middle", "bottom"))
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


def visible(text):
    """What people see or are told of."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    told = " ".join(re.findall(r'aria-label="([^"]*)"', body))
    return f"{re.sub('<[^>]*>', ' ', body)} {told}"


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
    variants = f'name,changed,lpips\n"{ATTACK.replace(chr(34), chr(34) * 2)}",a,{1}\n'
    text = page_of(
        caption=ATTACK,
        absent=[ATTACK],
        check_absent=[ATTACK],
        skipped=[skip],
        notes=[note],
        ablation=variants,
    )
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
    one, two = (tmp_path / f"{name}.html" for name in ("one", "two"))
    write_report(made["write_run"](tmp_path / "one"), out=one)
    write_report(made["write_run"](tmp_path / "two"), out=two)
    first = one.read_bytes()
    assert two.read_bytes() == first
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


def test_missed_gates_are_shown_before_the_figures(page):
    missed = "Reconstruction PSNR: 27.50 dB; check_vqgan.min_psnr asks for at least 28.00 dB"
    assert page.index(missed) < page.index("Main figures")


def test_without_a_missed_gate_nothing_is_said_of_one(source_of):
    source = source_of()
    passed = [gate for gate in source.check.gates if gate["passed"] is not False]
    source = replace(source, check=replace(source.check, gates=passed))
    assert "missed" not in visible(render(source))


@pytest.mark.parametrize("levels", LEVELS)
def test_page_speaks_of_the_levels_that_there_are(page_of, levels):
    text = visible(page_of(levels=levels, discriminator=True))
    words = set(re.findall("[a-z_]+", text.lower()))
    # The key of a bound and the question for the PSNR of the top level are always there.
    always = {"top"}
    assert words & {"top", "middle", "bottom"} - always == set(levels) - always
    assert ("both" in words) is (len(levels) == 2)
    assert ("transformers were trained" in text) is (len(levels) > 1)
    for level in levels:
        assert f"{level.capitalize()} transformer" in text
        assert f"Use of the {level} codes" in text


@pytest.mark.parametrize("levels", LEVELS)
def test_strips_are_one_a_prefix(page_of, levels):
    names = re.findall(r'alt="([^"]*): 4 held-out frames"', page_of(levels=levels))
    assert names == [
        "Original",
        *{
            1: ["Reconstruction"],
            2: ["Top level alone", "Both levels"],
            3: ["Top level alone", "Top and middle", "All levels"],
        }[len(levels)],
    ]


@pytest.mark.parametrize("levels", LEVELS)
def test_every_level_has_its_row_of_codes(page_of, levels):
    rows = cells(page_of(levels=levels))
    for level in levels:
        assert [level.capitalize(), "12", "75.0 %", "9.0", "2.0 %", "40.0 %"] in rows
        assert [level.capitalize(), "1.500", "60.0 %", "50.0 %"] in rows


def test_reconstruction_is_measured_on_every_prefix(page_of):
    rows = {row[0]: row[1:] for row in cells(page_of(levels=LEVELS[2])) if row}
    assert rows["PSNR"] == ["27.50 dB", "higher is better"]
    assert rows["PSNR, top level alone"][0] == "19.25 dB"
    assert rows["PSNR, top and middle"][0] == "22.00 dB"
    assert rows["LPIPS, top level alone"][0] == "0.273"
    assert rows["LPIPS, top and middle"][0] == "0.252"
    assert rows["Reconstruction FVD"] == ["123", "lower is better; 3 clips of 6 frames"]


def test_absent_reconstruction_fvd_says_why(page_of, made):
    figures = {key: value for key, value in made["VQGAN_FIGURES"].items() if key != "fvd"}
    why = "fvd is left out: the network i3d is absent"
    text = page_of(vqgan=figures, check_absent=[why])
    assert ["Reconstruction FVD", "not computed", why] in cells(text)
    assert f"<li>{why}</li>" in text


def test_end_of_the_training_is_told(page):
    assert "It was trained for 45 steps, until its time was over (vqgan.max_minutes)." in page
    assert "The weights kept are those of step 40" in page


def test_variants_are_shown_where_they_are_given(page, page_of, made):
    assert "Variants of the VQGAN" not in page
    text = page_of(ablation=made["ABLATION"])
    assert "same wall time" in text
    assert re.search(r'<td class="best">0.199 <span class="best-mark">best</span></td>', text)
    assert text.count('class="best">0.') == 1 + page.count('class="best">0.')


def test_variants_that_are_not_where_they_should_be_are_named(made, tmp_path):
    paths = made["write_run"](tmp_path, ablation="")
    paths.ablation.unlink()
    with pytest.raises(UserError, match=r"ablation\.csv: no such file"):
        read_source(paths)


def test_a_table_that_is_no_text_is_named(made, tmp_path):
    paths = made["write_run"](tmp_path, ablation="")
    paths.ablation.write_bytes(b"variant,psnr\n\x80\x81,1\n")
    with pytest.raises(UserError, match=r"ablation\.csv: not CSV"):
        read_source(paths)


def test_variant_with_a_comma_out_of_quotes_is_named(source_of):
    with pytest.raises(UserError, match=r"ablation\.csv: row 2 has more fields"):
        source_of(ablation="name,changed\na,b\nc,[8,8]\n")


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
    assert "Overview of the videos" in render(read_source(paths))
    (paths.frames / "overview.png").unlink()
    assert "Overview of the videos" not in render(read_source(paths))


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
    write_json(paths.frames / "report.json", {"found": 1, "used": 1, "skipped": []})
    with pytest.raises(
        UserError, match=r"report\.json: format_version is None.*extract stage again"
    ):
        read_source(paths)


def test_without_curves_the_page_says_so(made, tmp_path):
    paths = made["write_run"](tmp_path)
    shutil.rmtree(paths.plots)
    assert "No curves: vqgan.csv" in render(read_source(paths))


def test_missing_figures_file_is_named(made, tmp_path):
    paths = made["write_run"](tmp_path)
    paths.metrics.unlink()
    with pytest.raises(UserError, match=r"metrics\.json: no such file"):
        read_source(paths)


def test_damaged_pictures_are_named(made, tmp_path):
    paths = made["write_run"](tmp_path)
    (paths.scores / "pictures.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match=r"pictures\.safetensors: not readable"):
        read_source(paths)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_nothing_sticks_out_of_a_phone(made, tmp_path):
    long = "averyverylongwordwithoutanyspace" * 8
    paths = made["write_run"](
        tmp_path,
        caption=long,
        absent=[long],
        levels=("top", "middle", "bottom"),
        discriminator=True,
        ablation=made["ABLATION"],
    )
    page = tmp_path / "index.html"
    write_report(paths, out=page)
    inner, needed = looked_at(
        page,
        "const root = phone.contentDocument.documentElement;"
        "return [root.clientWidth, root.scrollWidth]",
    )
    assert 300 < inner <= 390
    assert needed <= inner


def looked_at(page, script):
    """Open a page as on a phone, run a script beside it, and give what that returns.

    A window cannot be as narrow as a phone; a frame can. The script reaches the page as people do:
    by its controls.
    """
    frame = page.with_name("frame.html")
    frame.write_text(
        f"<iframe id=phone src='{page.as_uri()}' width=390 height=800></iframe><script>"
        "const errors = [], wait = (ms) => new Promise((done) => setTimeout(done, ms));"
        "onload = async () => {"
        "  const phone = document.getElementById('phone');"
        "  const within = (id) => phone.contentDocument.getElementById(id);"
        "  phone.contentWindow.addEventListener('error', (e) => errors.push(e.message));"
        "  phone.contentDocument.addEventListener('securitypolicyviolation',"
        "    (e) => errors.push(`policy: ${e.blockedURI}`));"
        "  try { const found = await (async () => {" + script + "})();"
        "    document.title = JSON.stringify({found, errors}); }"
        "  catch (error) { document.title = JSON.stringify({errors: [String(error)]}); }"
        "}</script>"
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
        "--enable-logging=stderr",
        f"--user-data-dir={page.with_name('profile')}",
        "--virtual-time-budget=4000",
        "--dump-dom",
        frame.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    assert "CONSOLE" not in done.stderr
    result = json.loads(html.unescape(re.search("<title>(.*)</title>", done.stdout)[1]))
    assert result["errors"] == []
    return result["found"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_controls_do_what_they_say(made, tmp_path):
    page = tmp_path / "index.html"
    write_report(made["write_run"](tmp_path), out=page)
    found = looked_at(
        page,
        """
        const style = (element) => phone.contentWindow.getComputedStyle(element);
        const frame = () => Number(within("frame").value);
        const key = (name) => phone.contentDocument.dispatchEvent(
            new KeyboardEvent("keydown", {key: name, bubbles: true}));
        const films = [...phone.contentDocument.querySelectorAll(".film")];
        const paper = () => style(phone.contentDocument.body).backgroundColor;
        const result = {paper: [paper()], theme: [within("theme").textContent]};
        for (let i = 0; i < 2; i++) {
          within("theme").click();
          result.paper.push(paper());
          result.theme.push(within("theme").textContent);
        }
        result.play = [within("play").textContent];
        within("play").click();
        result.play.push(within("play").textContent);
        const before = frame();
        within("on").click();
        result.on = frame() - before;
        within("back").click();
        result.back = frame() - before;
        key("l"); key("l");
        result.keys = frame() - before;
        key("j");
        result.keyBack = frame() - before;
        const slider = within("frame");
        slider.value = "2";
        slider.dispatchEvent(new Event("input"));
        result.where = within("where").textContent;
        result.together = new Set(films.map((film) => style(film).backgroundPositionX)).size;
        key("k");
        result.play.push(within("play").textContent);
        const strips = phone.contentDocument.querySelector(".all");
        result.every = [style(strips).display];
        within("every").click();
        result.every.push(style(strips).display);
        return result;
        """,
    )
    count = made["FRAMES"]
    assert found["theme"][0] == found["theme"][2] != found["theme"][1]
    assert found["paper"][0] == found["paper"][2] != found["paper"][1]
    assert found["play"] == ["Pause", "Play", "Pause"]
    assert found["on"] % count == 1
    assert found["back"] == 0
    assert found["keys"] % count == 2
    assert found["keyBack"] % count == 1
    assert found["where"].startswith(f"frame 2 of {count}")
    assert found["together"] == 1
    assert found["every"] == ["none", "block"]


ABOUT = About(
    commit="0123456789abcdef",
    changed=True,
    command="dvc repro",
    lines=(("Python", "3.11"), ("Packages", "torch 2")),
)


def test_what_made_it_is_told(source_of):
    text = visible(render(source_of(), ABOUT))
    assert "0123456789ab, and changes since" in text
    assert "torch 2" in text


def test_the_summary_has_verdict_figures_and_what_made_it(source_of):
    text = markdown(source_of(absent=["fvd is left out: no network"]), ABOUT)
    assert text.startswith("# Report\n")
    assert "**The samples beat" in text
    assert re.search(r"\| Sample \| .*24", text)
    assert "- fvd is left out: no network" in text
    assert "- Commit: 0123456789ab, and changes since" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({row.count("|") for row in rows}) == 1


def test_the_summary_is_safe_to_paste(source_of):
    text = markdown(source_of(absent=[ATTACK, "a | b\nc"]))
    assert "<script" not in text
    assert "<img" not in text
    assert "- a \\| b c" in text


def test_the_last_accepted_run_is_compared_with(source_of, made):
    before = json.loads(json.dumps(made["nested"](made["FIGURES"])))
    before["sample"]["psnr"] += 1
    before["sample"]["fvd"] += 50
    accepted = {
        "date": "2026-01-02",
        "commit": "abc",
        "protocol": {"clips": 999},
        "figures": before,
    }
    source = source_of(accepted=accepted)
    verdicts = {change.title: change.verdict for change in since_accepted(source).changes}
    assert verdicts["Sample, PSNR"] == "worse"
    assert verdicts["Sample, FVD"] == "better"
    assert verdicts["Sample, SSIM"] == "same"
    text = visible(render(source))
    assert "accepted on 2026-01-02 (abc): 1 figures better, 1 worse" in text
    assert "The protocols differ in" in text
    assert "2026-01-02" in markdown(source)


def test_without_an_accepted_run_nothing_is_said_of_one(source_of):
    assert since_accepted(source_of(accepted={})) is None
    assert "last accepted run" not in visible(render(source_of()))


def test_figures_that_warn_judge_nothing(page_of, made):
    figures = {name: dict(values) for name, values in made["FIGURES"].items()}
    for name in ("sample", "baseline.repeat_last"):
        figures[name]["repeated"] = figures[name]["copied"] = 0.25
    text = page_of(figures=figures)
    assert "Repeated frames" in visible(text)
    assert "On Repeated frames" not in text
    assert "On Copied" not in text
