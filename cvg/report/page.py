"""One self-contained page: everything inside, nothing loaded from anywhere."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cvg.files import replacing_file
from cvg.report import charts
from cvg.report.ablation import ablation_table
from cvg.report.about import About
from cvg.report.accepted import since_accepted
from cvg.report.candidates import CANDIDATES
from cvg.report.critic import FINETUNING, critic_charts, critic_table, finetune_charts
from cvg.report.curves import code_charts, horizon_charts, transformer_charts, vqgan_charts
from cvg.report.data import (
    conditions_table,
    data_sentences,
    motion_charts,
    note_codes_table,
    notes_listing,
    sides_table,
    skip_codes_table,
    skips_listing,
    videos_listing,
)
from cvg.report.details import (
    codes_table,
    measured_table,
    protocol_table,
    transformer_table,
    vqgan_table,
)
from cvg.report.gates import flips_sentence, gate_lines, missed_sentences
from cvg.report.levels import grids_sentence, writers_sentence
from cvg.report.markdown import markdown
from cvg.report.pictures import contact_sheet, films, overview, strips
from cvg.report.source import Source, SourcePaths, read_source
from cvg.report.summary import interval_sentence, main_table, run_sentence, training_sentence
from cvg.report.transformers import ORDERS, drift_table, truth_charts, truth_table
from cvg.report.verdict import judge

FOLDER = Path(__file__).parent
FILMS_PER_SECOND = 6  # frames; slower than life, so that single frames can be seen
LARGE = 192  # pixels on a wide screen, at most, of a frame that moves


def write_report(
    paths: SourcePaths, *, out: Path, summary: Path | None = None, about: About | None = None
) -> None:
    """Write the page; the same inputs give the same bytes.

    Args:
        paths: what the other stages wrote.
        out: the page to write.
        summary: the same in short, in Markdown; None writes none.
        about: what makes it.

    Raises:
        UserError: an input is missing or cannot be read.
    """
    source = read_source(paths)
    texts = {out: render(source, about)}
    if summary is not None:
        texts[summary] = markdown(source, about)
    for path, text in texts.items():
        with replacing_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def render(source: Source, about: About | None = None) -> str:
    """Give the page as HTML; `about` says what made it."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (FOLDER / "player.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        # These two are files of this package, so they are the only texts that are not escaped.
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # The page may run this script and no other, whatever a caption says.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        candidates=CANDIDATES,
        drawing=charts,
        about=about,
        **_content(source),
        **_data(source),
        **_vqgan(source),
        **_critic(source),
    )


def _content(source: Source) -> dict[str, Any]:
    scores = source.scores
    moving = films(source)
    return {
        "run_sentence": run_sentence(source),
        "verdict": judge(source),
        "since": since_accepted(source),
        "table": main_table(source),
        "interval_sentence": interval_sentence(scores),
        "absent": list(dict.fromkeys([*source.absent, *source.check.absent])),
        "writers_sentence": writers_sentence(source.levels),
        "transformer": transformer_table(source),
        "transformer_charts": transformer_charts(source),
        "truth": truth_table(source.transformers, source.levels),
        "truth_charts": truth_charts(source.truth),
        "drift": drift_table(source.drift),
        "orders": measured_table(ORDERS, source.orders),
        "films": moving,
        "context_frames": scores[0]["protocol"]["context_frames"] if scores else 0,
        "rate": FILMS_PER_SECOND,
        "cell": _cell_size(moving.size) if moving else LARGE,
        "horizon_charts": horizon_charts(source.horizon),
        "protocol": protocol_table([*scores, *source.check.scores]),
    }


def _vqgan(source: Source) -> dict[str, Any]:
    gates = gate_lines(source)
    curve = source.curves["vqgan"]
    return {
        "grids_sentence": grids_sentence(source.levels),
        "training_sentence": training_sentence(source.training),
        "gates": gates,
        "missed": missed_sentences(gates),
        "flips_sentence": flips_sentence(source),
        "strips": strips(source.pictures, source.levels),
        "vqgan": vqgan_table(source),
        "vqgan_charts": vqgan_charts(curve, source.levels),
        "ablation": ablation_table(source.ablation),
        "codes": codes_table(source),
        "code_charts": code_charts(source),
    }


def _critic(source: Source) -> dict[str, Any]:
    return {
        "critic": critic_table(source.critic),
        "critic_charts": critic_charts(source.curves["critic"]),
        "finetune_charts": finetune_charts(source.curves["finetune"], source.levels),
        "finetuning": measured_table(FINETUNING, source.finetuning),
    }


def _data(source: Source) -> dict[str, Any]:
    extraction = source.extraction
    return {
        "data_sentences": data_sentences(extraction),
        "sides": sides_table(extraction),
        "conditions": conditions_table(extraction),
        "skip_codes": skip_codes_table(extraction),
        "note_codes": note_codes_table(extraction),
        "skips": skips_listing(extraction),
        "notes": notes_listing(extraction),
        "videos": videos_listing(extraction),
        "motion_charts": motion_charts(extraction),
        "overview": overview(source.overview) if source.overview else None,
        "sheets": {split: contact_sheet(path) for split, path in source.contact_sheets.items()},
    }


def _cell_size(size: int) -> int:
    """Give the width of a frame on the page: a multiple of its own, so that pixels stay square."""
    return size * (LARGE // size) if size <= LARGE else LARGE
