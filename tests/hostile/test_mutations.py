"""Random damage to films of seven containers: each ends as frames or as a skip with a code."""

import os
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cvg.hostile import damage
from cvg.hostile.media import Recipe, encode
from cvg.videos.location import UnusableError
from cvg.videos.pool import run_in_order
from cvg.videos.skips import SkipCode

HERE = Path(__file__).parent

NUMBER = int(os.environ.get("CVG_MUTATIONS", "300"))
SECONDS = 10

SEEDS = {
    "mp4": Recipe(),
    "mkv": Recipe(container="matroska"),
    "webm": Recipe(container="webm", codec="libvpx-vp9"),
    "avi": Recipe(container="avi", codec="mpeg4"),
    "ts": Recipe(container="mpegts", codec="mpeg2video"),
    "gif": Recipe(container="gif", codec="gif", pixels="rgb8"),
    "mov": Recipe(container="mov", codec="prores_ks", pixels="yuv422p10le"),
}


def mutate(data, generator):
    """Damage bytes in one to three ways."""
    for _ in range(generator.integers(1, 4)):
        data = generator.choice([flip, cut, insert, swap, blank])(data, generator)
    return data


def flip(data, generator):
    broken = np.frombuffer(data, np.uint8).copy()
    places = generator.integers(0, len(broken), generator.integers(1, 30))
    broken[places] ^= generator.integers(1, 256, len(places)).astype(np.uint8)
    return broken.tobytes()


def cut(data, generator):
    return damage.cut(data, share=generator.uniform(0.05, 1))


def insert(data, generator):
    place = generator.integers(0, len(data))
    return data[:place] + generator.bytes(generator.integers(1, 200)) + data[place:]


def swap(data, generator):
    one, two, three = sorted(generator.integers(0, len(data), 3).tolist())
    return data[:one] + data[two:three] + data[one:two] + data[three:]


def blank(data, generator):
    place = generator.integers(0, len(data))
    size = generator.integers(1, 100)
    return data[:place] + bytes([generator.choice([0, 255])]) * size + data[place + size :]


@pytest.fixture
def mutants(monkeypatch):
    """The module of the functions that run in children, which look for it where we do."""
    monkeypatch.syspath_prepend(str(HERE))
    return __import__("mutants")


@cache
def seed_film(suffix, index_first):
    data = encode(SEEDS[suffix], film=1)
    return damage.index_first(data) if index_first and suffix in ("mp4", "mov") else data


def mutated_files(folder):
    """Write the files one by one, as the children ask for them."""
    for number in range(NUMBER):
        generator = np.random.default_rng(number)
        suffix = list(SEEDS)[number % len(SEEDS)]
        path = folder / f"{number}.{suffix}"
        path.write_bytes(mutate(seed_film(suffix, bool(number % 2)), generator))
        yield path


@pytest.mark.slow
@pytest.mark.ci
def test_damaged_films_end_as_frames_or_as_a_skip(mutants, tmp_path):
    outcomes, last = Counter(), []
    films = run_in_order(
        mutants.count_frames, mutated_files(tmp_path), workers=2, seconds=SECONDS, memory_mb=1024
    )
    for path, result in films:
        if isinstance(result, UnusableError):
            assert isinstance(result.code, SkipCode)
            assert result.reason
            outcomes[result.code] += 1
            if result.code in (SkipCode.TIMEOUT, SkipCode.DECODER_CRASH, SkipCode.OUT_OF_MEMORY):
                last.append((path.name, result.code, result.reason))
        else:
            assert result > 0, path.name
            outcomes["frames"] += 1
        path.unlink()
    print(dict(outcomes), last)
    assert sum(outcomes.values()) == NUMBER
    # The damage neither spares all films nor leaves none of them whole.
    assert outcomes["frames"] < NUMBER - 10
    assert outcomes["frames"] > 0


def test_damage_is_the_same_every_time():
    film = seed_film("avi", False)
    one, two = (mutate(film, np.random.default_rng(3)) for _ in range(2))
    assert one == two != film
