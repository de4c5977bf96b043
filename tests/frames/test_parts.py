"""Extraction in parts: the same store as by one process, whoever decoded what."""

import random

import pytest

from cvg.frames.extract import extract
from cvg.frames.parts import Extraction
from cvg.params import load_params


@pytest.fixture(scope="module")
def params(root):
    return load_params(root / "params.yaml").extract.model_copy(
        update={"frame_size": 32, "min_frames": 6, "shots": "none", "max_skipped": 1.0}
    )


@pytest.fixture
def manifest(films, tmp_path):
    """Six videos, one of them twice, one that is none, one cut short, with actions and maps."""
    folder = tmp_path / "in"
    rows = []
    for number in range(5):
        films.write(folder / f"{number}.mp4", first=10 * number, frames=40)
        rows.append(f"{number}.mp4,video {number}")
    (folder / "copy.mp4").write_bytes((folder / "1.mp4").read_bytes())
    (folder / "text.mp4").write_text("hello")
    data = (folder / "4.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    rows[2:2] = ["copy.mp4,again", "text.mp4,no", "cut.mp4,cut", "missing.mp4,gone"]
    (folder / "m.csv").write_text("path,caption\n" + "\n".join(rows) + "\n")
    return folder / "m.csv"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make(extraction, folder, numbers):
    for number in numbers:
        part = folder / f"{number}"
        part.mkdir(parents=True)
        extraction.make(number, part, advance=lambda _: None)


def test_parts_made_in_any_order_give_the_store_of_one_process(manifest, params, tmp_path):
    whole = extract(manifest, out=tmp_path / "whole", params=params, seed=0, workers=1)
    assert {skip.code for skip in whole.skips} >= {"DUPLICATE", "NOT_MEDIA", "MISSING_FILE"}
    extraction = Extraction(manifest, params, workers=1)
    numbers = list(range(len(extraction.sizes)))
    assert len(numbers) > 5
    make(extraction, tmp_path / "parts", random.Random(0).sample(numbers, len(numbers)))
    parts = [tmp_path / "parts" / f"{number}" for number in numbers]
    before = [contents(part) for part in parts]
    for _ in range(2):  # The parts are not spoilt by the one who reads them.
        out = tmp_path / "out"
        again = extract(manifest, out=out, params=params, seed=0, workers=1, parts=parts)
        assert contents(out) == contents(tmp_path / "whole")
        assert again.skips == whole.skips
    assert [contents(part) for part in parts] == before


def test_the_size_of_parts_changes_nothing(manifest, params, tmp_path, monkeypatch):
    extract(manifest, out=tmp_path / "whole", params=params, seed=0, workers=1)
    monkeypatch.setattr("cvg.frames.parts.PARTS", 2)
    extraction = Extraction(manifest, params, workers=2)
    assert len(extraction.sizes) in (2, 3)
    numbers = range(len(extraction.sizes))
    make(extraction, tmp_path / "parts", numbers)
    parts = [tmp_path / "parts" / f"{number}" for number in numbers]
    extract(manifest, out=tmp_path / "out", params=params, seed=0, workers=1, parts=parts)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_another_file_or_another_row_is_another_run(manifest, params):
    def found():
        return Extraction(manifest, params, workers=1).inputs

    before = found()
    assert found() == before
    film = manifest.parent / "0.mp4"
    film.write_bytes(film.read_bytes() + b"\0")
    after = found()
    assert after != before
    manifest.write_text(manifest.read_text().replace("video 3", "another"))
    assert found() != after
