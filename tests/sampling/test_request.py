"""Asked videos on disk, and the files that ask for them."""

import av
import numpy as np
import pytest
from PIL import Image

from cvg.conditions.condition import Condition
from cvg.errors import UserError
from cvg.files import read_json
from cvg.sampling.generator import Generator, Request
from cvg.sampling.models import Models
from cvg.sampling.request import (
    read_action_rows,
    read_first_frames,
    read_maps,
    write_requested,
)

SIZE = 16


@pytest.fixture
def generator(toys, transformers, settings):
    models = Models(vqgan=toys.toy_vqgan(), vqgan_hash="toy", transformers=transformers)
    return Generator(models, settings)


def length(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_videos_come_as_files_for_people_and_as_pixels(generator, tmp_path):
    requests = [Request(frames=20, condition=Condition(caption="a red disc"))] * 2
    preview = tmp_path / "preview.gif"
    out = tmp_path / "out"
    out.mkdir()
    paths = write_requested(out, generator, requests, seed=3, fps=10, preview=preview)
    assert [path.name for path in paths] == ["video_00.mp4", "video_01.mp4", "grid.gif"]
    assert [length(path) for path in paths[:2]] == [20, 20]
    videos = np.load(out / "videos.npy")
    expected = np.concatenate(list(generator.stream(requests, seed=3)), axis=1)
    assert np.array_equal(videos, expected)
    assert not np.array_equal(videos[0], videos[1])
    told = read_json(out / "request.json")
    assert told["seed"] == 3
    assert told["videos"][0]["conditions"]["0"] == {"caption": "a red disc"}


def test_a_preview_is_there_before_the_end_and_gone_after_it(generator, tmp_path, monkeypatch):
    preview = tmp_path / "preview.gif"
    stream, seen = Generator.stream, []

    def watch(self, *args, **kwargs):
        for chunk in stream(self, *args, **kwargs):
            seen.append(preview.exists())
            yield chunk

    monkeypatch.setattr(Generator, "stream", watch)
    write_requested(tmp_path, generator, [Request(frames=40)], seed=0, fps=10, preview=preview)
    assert seen == [False, True, True]
    assert not preview.exists()


def test_nothing_is_written_where_something_is_refused(generator, tmp_path):
    with pytest.raises(UserError, match="label 'x'"):
        write_requested(
            tmp_path,
            generator,
            [Request(frames=4, condition=Condition(label="x"))],
            seed=0,
            fps=10,
            preview=tmp_path / "preview.gif",
        )
    assert list(tmp_path.iterdir()) == []


def read(path, toys, **changes):
    values = {"count": 1, "size": SIZE, "extract": toys.toy_params().extract} | changes
    return read_first_frames(path, **values)


def test_first_frames_are_those_of_a_picture_or_a_video(toys, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(picture + np.uint8(number)).save(folder / f"{number}.png")
    np.save(tmp_path / "video.npy", np.stack([picture, picture]))
    assert np.array_equal(read(folder / "0.png", toys)[0], picture)
    assert np.array_equal(read(folder, toys, count=3)[2], picture + np.uint8(2))
    assert np.array_equal(read(tmp_path / "video.npy", toys, count=2)[1], picture)


def test_too_few_frames_and_files_that_are_none_are_refused(toys, tmp_path):
    np.save(tmp_path / "video.npy", np.zeros((2, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(UserError, match=r"video\.npy: has 2 frames; expected 3 at least"):
        read(tmp_path / "video.npy", toys, count=3)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"text\.mp4: "):
        read(tmp_path / "text.mp4", toys)
    with pytest.raises(UserError, match=r"absent\.mp4: "):
        read(tmp_path / "absent.mp4", toys)


def test_maps_and_actions_are_read_as_extraction_reads_them(toys, tmp_path):
    maps = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE)).astype(np.uint8)
    np.save(tmp_path / "map.npy", maps)
    found = read_maps(tmp_path / "map.npy", size=SIZE, extract=toys.toy_params().extract)
    assert np.array_equal(found, maps)
    (tmp_path / "actions.csv").write_text("x,y\n1,2\n3,4\n")
    assert read_action_rows(tmp_path / "actions.csv").tolist() == [[1, 2], [3, 4]]
    (tmp_path / "actions.csv").write_text("1,2\n3,x\n")
    with pytest.raises(UserError, match=r"actions\.csv: line 2, column 2"):
        read_action_rows(tmp_path / "actions.csv")
