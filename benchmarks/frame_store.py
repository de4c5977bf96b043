"""How fast windows come out of the frame store: `python -m benchmarks.frame_store [--json FILE]`.

The peer reads the same windows straight from an H.264 file with PyAV: it seeks to the key frame
before, decodes forwards and resizes. It has two files: one as cameras and encoders leave them, and
one that suits it best (small already, a key frame every window).
"""

import random
import tempfile
import time
from itertools import islice
from pathlib import Path

import av  # noqa: TID251 - it is the peer
import numpy as np
from av.video.reformatter import VideoReformatter  # noqa: TID251

from benchmarks.measure import alternate, main, row_of
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.segments import Segment, Windows

SIZE = 64  # pixels
WINDOW = 16  # frames
FPS = 25
SHARD_BYTES = 256_000_000
SHORT_FRAMES = 200
STORE_WINDOWS, FILM_WINDOWS, PAIRS = 2_000, 20, 4_000
REPEATS = 50  # of ours for one of the peer's, which is that much slower at least
# name of the file, its width and height, frames from key frame to key frame (None: the default)
FILMS = (("320x240, key frames of x264", 320, 240, None), ("64x64, key every 16", SIZE, SIZE, 16))


def pictures(count, *, height, width, seed=0):
    """A texture that slides and brightens, with some noise, as films have."""
    draws = np.random.default_rng(seed)
    coarse = draws.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    texture = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    for number in range(count):
        noise = draws.integers(0, 12, (height, width, 3))
        moved = np.roll(texture, (number, 2 * number), axis=(0, 1)) * (0.6 + 0.2 * np.sin(number))
        yield np.clip(moved + noise, 0, 255).astype(np.uint8)


def write_film(path, *, frames, width, height, key_every):
    options = {"threads": "1"} | ({"g": str(key_every)} if key_every else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures(frames, height=height, width=width):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


class Film:
    """Reads a video file as suits it best: it stays open, and one scaler does for all frames."""

    def __init__(self, path):
        self.container = av.open(str(path))
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "NONE"
        self.ticks = round(1 / (FPS * self.stream.time_base))
        self.scaler = VideoReformatter()

    def frames(self, first):
        """Give the frames from number `first` on."""
        pts = first * self.ticks
        self.container.seek(pts, stream=self.stream, backward=True)
        for frame in self.container.decode(self.stream):
            if frame.pts >= pts:
                yield self.scaler.reformat(frame, SIZE, SIZE, "rgb24").to_ndarray()

    def window(self, start):
        return np.stack(list(islice(self.frames(start), WINDOW)))


def write_store(folder, videos):
    """Write videos, each an iterable of blocks of frames."""
    folder.mkdir()
    with FrameWriter(folder, height=SIZE, width=SIZE, shard_bytes=SHARD_BYTES) as writer:
        for number, blocks in enumerate(videos):
            first = writer.num_frames
            for block in blocks:
                writer.append(block)
            writer.add(
                Segment(
                    id=number,
                    video=str(number),
                    split="train",
                    first_frame=first,
                    num_frames=writer.num_frames - first,
                    fps=float(FPS),
                    start_s=0.0,
                    motion=0.0,
                    first_action=None,
                    first_map=None,
                    caption=None,
                    label=None,
                    metadata="{}",
                )
            )
    return FrameStore.open(folder)


def noise(num_frames):
    """Blocks of random frames, `num_frames` in all."""
    block = np.random.default_rng(0).integers(0, 256, (100, SIZE, SIZE, 3), dtype=np.uint8)
    return (block for _ in range(num_frames // len(block)))


def touch(store):
    """Read every frame once, so that checksums are verified and the page cache is warm."""
    for segment in store.segments("train"):
        for start in range(0, segment.num_frames, WINDOW):
            store.window(segment, start, min(WINDOW, segment.num_frames - start))


def against_film(folder, name, *, frames, width, height, key_every):
    """Compare windows a second with decoding the same windows from a file."""
    path = folder / f"{width}.mp4"
    write_film(path, frames=frames, width=width, height=height, key_every=key_every)
    film = Film(path)
    store = write_store(folder / f"store-{width}", [[np.stack(list(film.frames(0)))]])
    touch(store)
    (segment,) = store.segments("train")
    draws = random.Random(0)
    starts = [draws.randrange(frames - WINDOW + 1) for _ in range(FILM_WINDOWS)]
    for start in starts:  # both give the same frames
        assert np.array_equal(store.window(segment, start, WINDOW), film.window(start))

    def read_store():
        for start in REPEATS * starts:
            store.window(segment, start, WINDOW)

    def read_film():
        for start in starts:
            film.window(start)

    ours, peer = f"windows of H.264 {name}", "PyAV: seek, decode, resize"
    times = alternate({ours: read_store, peer: read_film})
    times[ours] = [seconds / REPEATS for seconds in times[ours]]
    film.container.close()
    return row_of(times, ours, peer=peer, work=FILM_WINDOWS, unit="windows/s")


def random_access(store):
    """Measure windows a second anywhere in a store."""
    windows = Windows(store.segments("train"), length=WINDOW)
    draws = random.Random(1)

    def read():
        for _ in range(STORE_WINDOWS):
            window = windows[draws.randrange(len(windows))]
            store.window(window.segment, window.start, WINDOW)

    gigabytes = store.num_frames("train") * SIZE * SIZE * 3 / 1e9
    name = f"windows anywhere in {gigabytes:.1f} GB"
    return row_of(alternate({name: read}), name, work=STORE_WINDOWS, unit="windows/s")


def long_against_short(store, long_frames):
    """Compare a window of a long video with one of many short videos in the same store."""
    segments = store.segments("train")
    kinds = {
        f"one of a {frames}-frame video": Windows(
            [s for s in segments if s.num_frames == frames], length=WINDOW
        )
        for frames in (long_frames, SHORT_FRAMES)
    }
    draws = random.Random(2)
    times = {name: [] for name in kinds}
    for _ in range(PAIRS):
        for name, windows in kinds.items():
            window = windows[draws.randrange(len(windows))]
            start = time.perf_counter()
            store.window(window.segment, window.start, WINDOW)
            times[name].append(time.perf_counter() - start)
    ours, peer = kinds
    return row_of(times, ours, peer=peer)


def rows(*, long_frames=100_000, short_videos=100, film_frames=1_500):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = [long_frames, *[SHORT_FRAMES] * short_videos]
        store = write_store(folder / "store", map(noise, videos))
        touch(store)
        yield random_access(store)
        yield long_against_short(store, long_frames)
        for title, width, height, key_every in FILMS:
            yield against_film(
                folder, title, frames=film_frames, width=width, height=height, key_every=key_every
            )


def small():
    return rows(long_frames=1_000, short_videos=2, film_frames=60)


if __name__ == "__main__":
    main(rows, small=small)
