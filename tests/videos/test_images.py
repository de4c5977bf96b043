"""Folders of images: the natural order, every kind of pixel, and nothing broken passes."""

import errno
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from cvg.videos.images import natural_key
from cvg.videos.location import UnusableError
from cvg.videos.look import Look, ReadLimits
from cvg.videos.skips import SkipCode
from cvg.videos.source import read_frames, read_header

LIMITS = ReadLimits(pixels=100_000, frames=100)
LOOK = Look(size=16, fit="squash", background=(0, 0, 200))


def frames(folder, *, look=LOOK, limits=LIMITS, fps=None):
    return list(read_frames(folder, look=look, limits=limits, fps=fps))


def only(folder):
    (frame,) = frames(folder)
    return frame.pixels().astype(int)


def refused(folder, *, limits=LIMITS):
    given = []
    with pytest.raises(UnusableError) as caught:
        given.extend(read_frames(folder, look=LOOK, limits=limits))
    assert str(folder) not in caught.value.reason
    return caught.value, given


def save(folder, name, picture, **options):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(folder / name, **options)


def test_names_are_in_natural_order_and_times_follow_the_rate(films, tmp_path):
    for number in range(12):
        save(tmp_path, f"img{number}.png", films.picture(number))
    found = frames(tmp_path, look=Look(size=64, fit="crop"), fps=10.0)
    assert [films.number_of(frame.pixels()) for frame in found] == list(range(12))
    assert [frame.index for frame in found] == list(range(12))
    assert [frame.time_s for frame in found] == pytest.approx([n / 10 for n in range(12)])
    assert frames(tmp_path)[1].time_s == pytest.approx(1 / 25)


@given(st.lists(st.text(st.sampled_from("ab01２٣ 9_.-"), max_size=8), unique=True), st.randoms())
def test_the_natural_order_is_one_order_for_all_names(names, random):
    mixed = random.sample(names, len(names))
    assert sorted(mixed, key=natural_key) == sorted(names, key=natural_key)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_in_names_are_ordered_as_numbers(numbers):
    names = sorted((f"f{number}.png" for number in numbers), key=natural_key)
    assert names == [f"f{number}.png" for number in sorted(numbers)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff"])
def test_colours_are_right_in_every_format(films, tmp_path, suffix):
    save(tmp_path, f"a.{suffix}", films.picture(0, height=64, width=96))
    pixels = only(tmp_path)
    assert np.abs(pixels[12, 3] - (200, 30, 30)).max() < 12
    assert np.abs(pixels[12, 12] - (30, 30, 200)).max() < 12


def test_the_content_counts_not_the_suffix(films, tmp_path):
    save(tmp_path, "a.jpg", films.picture(0), format="PNG")
    assert np.abs(only(tmp_path)[12, 3] - (200, 30, 30)).max() <= 2


def test_images_of_different_sizes_are_each_fitted(tmp_path):
    for number, shape in enumerate([(20, 30), (64, 16), (1, 1)]):
        save(tmp_path, f"{number}.png", np.full((*shape, 3), 50 * number, np.uint8))
    assert [frame.pixels().mean() for frame in frames(tmp_path)] == [0, 50, 100]


KINDS = {
    "bits": (Image.new("1", (20, 20), 1), (255, 255, 255)),
    "grey": (Image.new("L", (20, 20), 77), (77, 77, 77)),
    "deep": (Image.fromarray(np.full((20, 20), 77 * 257, np.uint16)), (77, 77, 77)),
    "palette": (Image.new("RGB", (20, 20), (9, 99, 199)).quantize(4), (9, 99, 199)),
    "alpha": (Image.new("RGBA", (20, 20), (255, 0, 0, 51)), (51, 0, 160)),
    "grey alpha": (Image.new("LA", (20, 20), (255, 51)), (51, 51, 211)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pixel_gives_its_colour(tmp_path, kind):
    image, colour = KINDS[kind]
    save(tmp_path, "a.png", image)
    assert np.abs(only(tmp_path) - colour).max() <= 1
    assert read_header(tmp_path, limits=LIMITS).alpha == ("alpha" in kind)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_sixteen_bits_become_the_nearest_of_eight(tmp_path, level):
    save(tmp_path, "a.png", Image.fromarray(np.full((20, 20), level * 257, np.uint16)))
    assert (only(tmp_path) == level).all()


def test_cmyk_gives_its_colour(tmp_path):
    save(tmp_path, "a.tif", Image.new("CMYK", (20, 20), (0, 255, 255, 0)))
    assert np.abs(only(tmp_path) - (255, 0, 0)).max() <= 2


def test_a_transparent_palette_entry_shows_the_background(tmp_path):
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (10, 0, 20, 20))
    save(tmp_path, "a.png", image, transparency=0)
    pixels = only(tmp_path)
    assert (pixels[:, :7] == (0, 0, 200)).all()
    assert (pixels[:, 9:] == (0, 255, 0)).all()


def test_numbers_with_a_point_are_refused(tmp_path):
    save(tmp_path, "a.tif", Image.fromarray(np.ones((20, 20), np.float32)))
    assert refused(tmp_path)[0].code == SkipCode.NOT_MEDIA


def test_the_camera_s_orientation_is_applied(films, tmp_path):
    image = Image.fromarray(films.picture(0))
    exif = image.getexif()
    exif[0x0112] = 6  # turned clockwise when shown
    save(tmp_path, "a.png", image, exif=exif)
    pixels = only(tmp_path)
    assert pixels[3, 3, 0] > 150
    assert pixels[12, 3, 2] > 150


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_of_an_animated_image_the_first_picture_counts(tmp_path, suffix):
    pictures = [Image.new("RGB", (20, 20), (value, value, value)) for value in (90, 200)]
    options = {"save_all": True, "append_images": pictures[1:]}
    if suffix == "webp":
        options["lossless"] = True
    save(tmp_path, f"a.{suffix}", pictures[0], **options)
    assert np.abs(only(tmp_path) - 90).max() <= 1


def test_other_files_hidden_files_and_folders_are_ignored(films, tmp_path):
    save(tmp_path, "b.png", films.picture(1))
    save(tmp_path, ".a.png", films.picture(2))
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "c.png").mkdir()
    assert len(frames(tmp_path)) == 1
    assert read_header(tmp_path, limits=LIMITS).num_frames == 1


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    assert refused(tmp_path)[0].code == SkipCode.NOT_REGULAR_FILE


def test_a_broken_image_is_named_after_the_whole_ones(films, tmp_path):
    for number in range(3):
        save(tmp_path, f"{number}.png", films.picture(number))
    films.cut(tmp_path / "2.png", share=0.6)
    error, given = refused(tmp_path)
    assert (error.code, len(given)) == (SkipCode.CORRUPT, 2)
    assert "2.png" in error.reason
    (tmp_path / "1.png").write_text("no image")
    error, given = refused(tmp_path)
    assert (error.code, len(given)) == (SkipCode.CORRUPT, 1)
    assert "1.png" in error.reason


@pytest.mark.parametrize("share", [1.01, 1.5, 4])
def test_large_images_are_refused_before_they_are_decoded(tmp_path, share):
    save(tmp_path, "a.png", np.zeros((40, 50, 3), np.uint8))
    limits = ReadLimits(pixels=int(2000 / share), frames=10)
    before = Image.MAX_IMAGE_PIXELS
    error, given = refused(tmp_path, limits=limits)
    assert (error.code, given) == (SkipCode.TOO_LARGE, [])
    assert "2000 pixels" in error.reason
    assert f"at most {limits.pixels}" in error.reason
    assert before == Image.MAX_IMAGE_PIXELS
    with pytest.raises(UnusableError):
        read_header(tmp_path, limits=limits)
    assert len(frames(tmp_path, limits=ReadLimits(pixels=2000, frames=10))) == 1


def test_too_many_images_are_refused(films, tmp_path):
    save(tmp_path, "0.png", films.picture(0))
    for number in range(1, 5):
        shutil.copy(tmp_path / "0.png", tmp_path / f"{number}.png")
    assert refused(tmp_path, limits=ReadLimits(pixels=10**6, frames=4))[0].code == SkipCode.TOO_LONG


def test_the_header_tells_size_number_and_length(tmp_path):
    for number in range(5):
        save(tmp_path, f"{number}.png", np.zeros((20, 30, 3), np.uint8))
    header = read_header(tmp_path, fps=10.0, limits=LIMITS)
    assert (header.width, header.height, header.num_frames) == (30, 20, 5)
    assert (header.fps, header.duration_s) == (10, 0.5)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("out of memory when reading image file"),
    ],
)
def test_a_shortage_of_memory_is_no_damage(films, tmp_path, monkeypatch, error):
    save(tmp_path, "a.png", films.picture(0))

    def load(image):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(MemoryError):
        frames(tmp_path)
