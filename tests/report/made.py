"""A small made-up run, written by the writers of the real stages."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from cvg.config import CheckVqganParams
from cvg.files import write_json
from cvg.frames.report import MOTION_EDGES, ExtractReport, UsedVideo, write_report
from cvg.metrics.drift import Horizon
from cvg.metrics.gates import Codebook, hold_against
from cvg.metrics.health import Health, write_health
from cvg.metrics.intervals import Interval
from cvg.metrics.names import flat_figures
from cvg.metrics.record import write_suite
from cvg.metrics.scores import Network, Protocol, Score
from cvg.metrics.suite import Suite
from cvg.metrics.transformers import write_check as write_transformers
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS, entry
from cvg.report.source import SourcePaths
from cvg.segments import Segment
from cvg.videos.skips import Note, NoteCode, Skip, SkipCode

FIGURES = {
    "sample": {"psnr": 24.0, "ssim": 0.8, "lpips": 0.10, "fvd": 300.0},
    "baseline.repeat_last": {"psnr": 22.0, "ssim": 0.7, "lpips": 0.20, "fvd": 400.0},
    "baseline.nearest": {"psnr": 15.0, "ssim": 0.9, "lpips": 0.40, "fvd": 200.0},
    "control.reconstruction": {"psnr": 28.0, "ssim": 0.95, "lpips": 0.05, "fvd": 90.0},
    "control.real_vs_real": {"fvd": 150.0},
    "control.shuffled": {"fvd": 250.0},
}
NAMES = {"lpips": "lpips_alex"}
NETWORKS = {"lpips": LPIPS_TRUNKS["alex"], "fvd": I3D}
LEVELS = ("top", "bottom")
CODES = 12
VQGAN_FIGURES = {"psnr": 27.5, "ssim": 0.9, "lpips": 0.21, "fvd": 123.0}
BOUNDS = {
    "clips": 4,
    "frames": 9,
    "min_psnr": 28.0,
    "min_psnr_top": 19.5,
    "max_lpips": 0.25,
    "max_fvd": None,
    "min_usage": 0.25,
    "min_perplexity": 0.2,
    "max_flips": 0.01,
    "strict": False,
}
ABLATION = (
    "name,changed,manifest,date,codebook_size,seeds,minutes,steps,steps_per_s,psnr,ssim,lpips,"
    "lpips_spread,psnr_top,usage_top,usage_bottom,perplexity_top,perplexity_bottom\n"
    "plain,nothing,data/other.csv,2026-02-03,256,2,10,900,1.5,22.61,,0.216,0.02,19.8,0.91,1,120.4,"
    "200\n"
    "fsq,vqgan.quantizer=fsq,data/other.csv,2026-02-03,256,2,10,910,1.52,22.4,,0.199,0.011,,,0.99,,"
    "230.1\n"
)
TRAINING = {
    "best_step": 40,
    "steps": 45,
    "stopped_by": "time",
    "comparator": "none",
    "held_out": {},
}
USES = ("usage", "perplexity")
CLIPS, FRAMES, CONTEXT = 3, 6, 2


def write_run(
    root: Path,
    *,
    figures=FIGURES,
    caption="a man talks",
    absent=(),
    intervals=True,
    skipped=(),
    notes=(),
    size=16,
    clips=CLIPS,
    levels=LEVELS,
    vqgan=VQGAN_FIGURES,
    check_absent=(),
    discriminator=False,
    ablation=None,
    orders=None,
    critic=None,
    finetuning=None,
    accepted=None,
):
    """Write the inputs of the page below `root`; give where they are."""
    videos = [f"video{number}.mp4" for number in range(2)]
    suite = Suite(
        figures=nested(figures) | transformer_figures(levels),
        scores=list(scores(figures, intervals, size)),
        horizon=horizon(figures),
        clips=[
            {
                "clip": f"{videos[number % 2]}#{number}",
                "video": videos[number % 2],
                "caption": caption,
                "psnr": 24.0 + number,
            }
            for number in range(clips)
        ],
        pictures=pictures(size, clips),
        absent=list(absent),
    )
    scores_folder = root / "reports/scores"
    write_suite(scores_folder, suite)
    write_json(root / "reports/metrics.json", suite.figures)
    write_frames(root / "data/frames", videos, skipped, notes)
    write_json(root / "data/vqgan/health.json", TRAINING)
    write_check(root / "reports/vqgan", levels, vqgan, check_absent, size)
    write_plots(root / "reports/plots", levels, discriminator)
    transformers = root / "reports/transformers"
    write_check_of_transformers(transformers, levels)
    if orders is not None:
        (root / "reports/orders.csv").write_text(orders)
    if critic is not None:
        (root / "data/critic").mkdir()
        write_json(root / "data/critic/figures.json", critic)
    if finetuning is not None:
        (root / "reports/finetuning.csv").write_text(finetuning)
    if accepted is not None:
        write_json(root / "reports/accepted.json", accepted)
    if ablation is not None:
        (root / "reports/ablation.csv").write_text(ablation)
    return SourcePaths(
        frames=root / "data/frames",
        vqgan=root / "data/vqgan",
        health=root / "reports/vqgan",
        metrics=root / "reports/metrics.json",
        scores=scores_folder,
        plots=root / "reports/plots",
        transformers=transformers,
        ablation=root / "reports/ablation.csv" if ablation is not None else None,
        orders=root / "reports/orders.csv" if orders is not None else None,
        critic=root / "data/critic" if critic is not None else None,
        finetuning=root / "reports/finetuning.csv" if finetuning is not None else None,
        accepted=root / "reports/accepted.json" if accepted is not None else None,
    )


def nested(figures):
    tree = {}
    for candidate, values in figures.items():
        node = tree
        for part in candidate.split("."):
            node = node.setdefault(part, {})
        node |= values
    return tree


def transformer_figures(levels):
    guess = {"nll": 1.5, "accuracy": 0.6, "accuracy_copy": 0.5}
    return {"transformer": dict.fromkeys(levels, guess)}


def check_figures(levels, vqgan):
    """Each prefix of the levels is worse than the next; 1 code in 50 flips."""
    by_prefix = {
        f"{key}_{level}": vqgan[key] * (0.7 + number / 10 if key == "psnr" else 1.3 - number / 10)
        for number, level in enumerate(levels[:-1])
        for key in ("psnr", "lpips")
        if key in vqgan
    }
    use = {"usage": 0.75, "perplexity": 9.0, "still": 0.4, "flips": 0.02}
    return {"vqgan": dict(vqgan) | by_prefix, "codes": {level: dict(use) for level in levels}}


def write_check(folder, levels, vqgan, absent, size):
    figures = check_figures(levels, vqgan)
    gates = hold_against(
        flat_figures(figures),
        CheckVqganParams(**BOUNDS),
        codebooks=dict.fromkeys(levels, Codebook(size=CODES, places=10 * CODES)),
    )
    known = {"vqgan": {key: value for key, value in vqgan.items() if key == "fvd"}}
    random = np.random.default_rng(1)
    names = ("original", "full", *levels[:-1])
    health = Health(
        figures=figures,
        gates=gates,
        scores=list(scores(known, False, size)),
        pictures={f"frames.{name}": noise(random, 4, size) for name in names}
        | {f"counts.{level}": np.arange(CODES) for level in levels},
        absent=list(absent),
    )
    write_health(folder, health, vqgan_hash="0" * 64)


def scores(figures, intervals, size):
    for candidate, values in figures.items():
        for key, value in values.items():
            network = NETWORKS.get(key)
            score = Score(
                metric=NAMES.get(key, key),
                value=value,
                protocol=Protocol(
                    split="held_out",
                    clips=CLIPS,
                    frames=FRAMES,
                    context_frames=CONTEXT,
                    size=size,
                    fps=None,
                    seed=7,
                ),
                scored_frames="predicted",
                interval=interval(value) if intervals and key != "fvd" else None,
                network=Network(name=network, weights_sha256=entry(network).sha256)
                if network
                else None,
                notes=("fewer than 401 clips",) if key == "fvd" else (),
            )
            yield {"candidate": candidate} | score.to_dict()


def interval(value):
    return Interval(low=value * 0.97, high=value * 1.03, level=0.95, unit="clip", units=CLIPS)


def horizon(figures):
    return [
        {"candidate": candidate, "frame": frame + 1, "psnr": 30.0 - frame, "lpips": 0.1 * frame}
        for candidate in figures
        if candidate.startswith(("sample", "baseline"))
        for frame in range(FRAMES - CONTEXT)
    ]


def pictures(size, clips):
    random = np.random.default_rng(0)

    names = ("truth", "sample", "reconstruction", "repeat_last", "nearest")
    return {"chosen": np.arange(clips)} | {
        f"clips.{name}": noise(random, clips, FRAMES, size) for name in names
    }


def noise(random, *shape):
    *_, size = shape
    return random.integers(256, size=(*shape, size, 3), dtype=np.uint8)


def write_frames(folder, videos, skipped, notes):
    used = [used_video(number, name) for number, name in enumerate(videos)]
    still = (0,) * (len(MOTION_EDGES) - 2)
    report = ExtractReport(
        found=len(used) + len(skipped),
        used=len(used),
        skips=tuple(Skip(**skip | {"code": SkipCode(skip["code"])}) for skip in skipped),
        notes=tuple(Note(**note | {"code": NoteCode(note["code"])}) for note in notes),
        videos=tuple(used),
        ignored={".txt": 3},
        motion_counts={"train": (178, *still), "held_out": (*still, 38)},
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_report(report, folder)
    Image.new("RGB", (140, 90), (255, 255, 255)).save(folder / "overview.png")
    for split in ("train", "held_out"):
        Image.new("RGB", (60, 40), (90, 120, 30)).save(folder / f"contact_{split}.png")


def used_video(number, name):
    """A video of 90 frames for training and 20 held out; the first alone has a caption."""
    parts = tuple(
        Segment(
            id=2 * number + side,
            video=name,
            split=split,
            first_frame=0,
            num_frames=frames,
            fps=25.0,
            start_s=4.0 * side,
            motion=3.0,
            first_action=None,
            first_map=None,
            caption=None if number else "a man talks",
            label=None,
            metadata="{}",
        )
        for side, (split, frames) in enumerate((("train", 90), ("held_out", 20)))
    )
    return UsedVideo(
        file=name,
        row=2 + number,
        sha256="0" * 64,
        width=64,
        height=48,
        frames=115,
        fps=25.0,
        seconds=4.6,
        motion=3.0,
        shots=1 + number,
        dropped={"gap": 5, "short_shots": 0},
        segments=parts,
    )


def write_plots(folder, levels, discriminator):
    folder.mkdir(parents=True, exist_ok=True)
    for level in levels:
        write_rows(
            folder / f"transformer_{level}.csv",
            [
                {"step": 10, "nll": 2.0},
                {"step": 20, "nll": 1.5, "held_out_nll": 1.6},
                {"step": 30, "nll": "inf", "held_out_nll": 1.5},
            ],
        )
    write_rows(
        folder / "vqgan.csv", [vqgan_row(step, levels, discriminator) for step in (10, 20, 30, 40)]
    )


def vqgan_row(step, levels, discriminator):
    """From step 20 on the decoder is judged, where there is a discriminator."""
    row = {"step": step, "loss": "nan" if step == 30 else 10 / step}
    suffixes = ("", *(f"_{level}" for level in levels[:-1]))
    if step > 10:
        row |= {f"held_out_psnr{suffix}": 20.0 + step / 10 - len(suffix) for suffix in suffixes}
        row |= {"held_out_lpips": 5 / step}
        row |= {f"held_out_{key}_{level}": step for key in USES for level in levels}
    if discriminator:
        row |= {"discriminator": 2 - step / 40, "discriminator_right": 0.5 + step / 100}
        row |= {"adversarial": 0.1 * step, "adaptive_factor": 0.5} if step > 20 else {}
    return row


def write_rows(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def write_check_of_transformers(folder, levels):
    costs = {"all": 1.5, "frames": 2.25, "context": 3.5}
    likelihoods = {
        truth: dict.fromkeys(levels, nats) | {"bits_per_pixel": nats / 10}
        for truth, nats in costs.items()
    }
    by_frame = [
        {"frame": frame} | {truth: nats / 10 + frame / 100 for truth, nats in costs.items()}
        for frame in (3, 4, 5)
    ]
    drift = [
        Horizon(
            first=2,
            end=16,
            motion=3.5,
            repeated=0.25,
            real_motion=4.0,
            motion_distance=1.5,
            paired={"psnr": 21.5},
        ),
        Horizon(
            first=16,
            end=32,
            motion=0.75,
            repeated=0.5,
            real_motion=4.0,
            motion_distance=1.5,
            paired={},
        ),
    ]
    write_transformers(folder, likelihoods=likelihoods, by_frame=by_frame, drift=drift)
