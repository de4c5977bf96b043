"""Containers: the right frames, upright, in true colours, at their times; nothing cut passes."""

import errno
import shutil
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import av
import av.error
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from PIL import Image

from cvg.videos import decode
from cvg.videos.decode import read_frames, read_header
from cvg.videos.location import UnusableError
from cvg.videos.look import Look, ReadLimits
from cvg.videos.skips import SkipCode

CONTAINERS = {"a.mp4": "libx264", "a.mkv": "libx264", "a.avi": "mjpeg", "a.gif": "gif"}
LIMITS = ReadLimits(pixels=1_000_000, frames=1000)
LOOK = Look(size=64, fit="squash")


def frames(path, *, look=LOOK, limits=LIMITS):
    return list(read_frames(path, look=look, limits=limits))


def numbers(films, path):
    return [films.number_of(frame.pixels()) for frame in frames(path)]


def refused(path, *, limits=LIMITS):
    """The error, and the frames that were given before it."""
    given = []
    with pytest.raises(UnusableError) as caught:
        given.extend(read_frames(path, look=LOOK, limits=limits))
    # `extend` keeps what came before the error.
    return caught.value, given


def far(found, expected):
    return np.abs(found.astype(float) - expected).max()


@pytest.mark.parametrize(("name", "codec"), CONTAINERS.items())
def test_every_frame_comes_once_and_in_order(films, tmp_path, name, codec):
    path = films.write(tmp_path / name, codec=codec)
    assert numbers(films, path) == list(range(40))
    found = frames(path)
    assert [frame.index for frame in found] == list(range(40))
    assert [frame.time_s for frame in found] == pytest.approx([index / 25 for index in range(40)])


def test_pixels_stay_right_while_later_frames_are_decoded(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", options={"movflags": "faststart"})
    held = frames(path)
    backwards = [films.number_of(frame.pixels()) for frame in reversed(held)]
    assert backwards == list(reversed(range(40)))
    assert np.array_equal(held[7].pixels(), held[7].pixels())


def test_only_what_is_taken_is_decoded(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", frames=200, options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    # Damage behind the middle is met only by who reads so far.
    middle = (data.index(b"mdat") + len(data)) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(bytes(data))
    source = read_frames(path, look=LOOK, limits=LIMITS)
    taken = [films.number_of(next(source).pixels()) for _ in range(5)]
    assert taken == list(range(5))


def test_red_is_red_and_left_is_left(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", width=96, height=64, frames=1)
    (frame,) = frames(path)
    pixels = frame.pixels()
    assert pixels.shape == (64, 64, 3)
    assert far(pixels[50, 10], (200, 30, 30)) < 12
    assert far(pixels[50, 54], (30, 30, 200)) < 12


def test_a_turned_video_comes_upright(films, tmp_path):
    path = films.turn(films.write(tmp_path / "a.mp4", width=96, height=64, frames=3), side=64)
    pixels = frames(path)[0].pixels()
    # Turned clockwise, what stood at the bottom left is at the top left.
    assert pixels[10, 10, 0] > 150
    assert pixels[54, 10, 2] > 150
    header = read_header(path, limits=LIMITS)
    assert (header.width, header.height) == (96, 64)


@pytest.mark.parametrize(
    ("matrix", "operation"),
    [
        ((-1, 0, 0, 1), lambda upright: upright[:, ::-1]),
        ((1, 0, 0, -1), lambda upright: upright[::-1]),
        ((-1, 0, 0, -1), lambda upright: upright[::-1, ::-1]),
        ((0, -1, 1, 0), lambda upright: np.rot90(upright)),
        ((0, 1, -1, 0), lambda upright: np.rot90(upright, -1)),
        ((0, 1, 1, 0), lambda upright: upright.swapaxes(0, 1)),
    ],
)
def test_mirrored_videos_come_upright_too(films, tmp_path, matrix, operation):
    path = films.write(tmp_path / "a.mp4", frames=2)
    plain = frames(path)[1].pixels()
    data = path.read_bytes()
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    words = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    shown = b"".join(word.to_bytes(4, "big", signed=True) for word in words)
    path.write_bytes(data[:start] + shown + data[start + 36 :])
    assert np.array_equal(frames(path)[1].pixels(), operation(plain))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_times_of_an_uneven_video_are_its_own_and_start_at_zero(films, tmp_path, name):
    times_ms = [5000, 5100, 5120, 5500, 5510, 5900]
    path = films.write(tmp_path / name, frames=6, times_ms=times_ms)
    found = [frame.time_s for frame in frames(path)]
    assert found == pytest.approx([0, 0.1, 0.12, 0.5, 0.51, 0.9])
    assert numbers(films, path) == list(range(6))


def test_times_go_on_where_two_recordings_were_joined(films, tmp_path):
    first = films.write(tmp_path / "1.ts", frames=10)
    times_ms = [0, 40, 50, 90, 200, 210, 250, 300, 310, 400]
    second = films.write(tmp_path / "2.ts", frames=10, first=10, times_ms=times_ms)
    joined = tmp_path / "a.ts"
    joined.write_bytes(count_on(first.read_bytes() + second.read_bytes()))
    found = frames(joined)
    assert [films.number_of(frame.pixels()) for frame in found] == list(range(20))
    steps = np.diff([frame.time_s for frame in found])
    assert steps[:9] == pytest.approx(0.04, abs=0.002)
    assert 0.01 < steps[9] < 0.11
    assert steps[10:] == pytest.approx(np.diff(times_ms) / 1000, abs=0.002)


def count_on(stream):
    """Number the packets of a transport stream anew, as if nothing had been joined."""
    data, counts = bytearray(stream), {}
    for start in range(0, len(data), 188):
        pid = bytes([data[start + 1] & 0x1F, data[start + 2]])
        if data[start + 3] & 0x10:
            counts[pid] = (counts.get(pid, -1) + 1) % 16
        data[start + 3] = data[start + 3] & 0xF0 | counts.get(pid, 0)
    return bytes(data)


def test_frames_without_times_come_at_the_declared_rate(films, tmp_path):
    path = films.write(tmp_path / "a.h264", fps=10, frames=8)
    found = [frame.time_s for frame in frames(path)]
    assert len(found) == 8
    assert found[0] == 0
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.gif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_refused_as_cut(films, tmp_path, name, share):
    path = films.cut(films.write(tmp_path / name, codec=CONTAINERS[name]), share=share)
    assert refused(path)[0].code == SkipCode.TRUNCATED


@pytest.mark.parametrize("left", [1, 100, 187])
def test_a_transport_stream_cut_within_a_packet_is_refused_as_cut(films, tmp_path, left):
    path = films.write(tmp_path / "a.ts")
    assert len(frames(path)) == 40
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 // 188 * 188 + left])
    error, given = refused(path)
    assert error.code == SkipCode.TRUNCATED
    assert f"{left} bytes into a packet" in error.reason
    assert 0 < len(given) < 40


def test_a_cut_file_gives_its_whole_frames_first_and_tells_how_many(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", options={"movflags": "faststart"})
    error, given = refused(films.cut(path, share=0.6))
    assert error.code == SkipCode.TRUNCATED
    assert f"{len(given)} frames decoded of 40 declared" in error.reason
    assert [films.number_of(frame.pixels()) for frame in given] == list(range(len(given)))
    assert len(given) > 10


def reordered(films, path):
    """A film in which frames wait in the decoder for those that are shown before them."""
    return films.write_pictures(
        path,
        [films.picture(number) for number in range(40)],
        codec="libx264",
        pix_fmt="yuv420p",
        options={"bf": "2", "b_strategy": "0", "b-pyramid": "none", "g": "100"},
        container={"movflags": "faststart"},
    )


def packets_of(path):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def shown_before(packets, broken):
    """The number of frames that come before the one of a packet, in the file and when shown."""
    return sum(packet.pts < broken.pts and packet.pos < broken.pos for packet in packets)


@pytest.mark.parametrize("number", range(20, 26))
def test_frames_that_wait_in_the_decoder_are_given_before_a_cut(films, tmp_path, number):
    path = reordered(films, tmp_path / "a.mp4")
    packets = packets_of(path)
    broken = packets[number]
    path.write_bytes(path.read_bytes()[: broken.pos + broken.size // 2])
    error, given = refused(path)
    assert error.code == SkipCode.TRUNCATED
    seen = [films.number_of(frame.pixels()) for frame in given]
    assert seen == list(range(shown_before(packets, broken)))


@pytest.mark.parametrize("number", range(20, 26))
def test_frames_that_wait_in_the_decoder_are_given_before_damage(films, tmp_path, number):
    path = reordered(films, tmp_path / "a.mp4")
    packets = packets_of(path)
    broken = packets[number]
    data = bytearray(path.read_bytes())
    data[broken.pos : broken.pos + broken.size] = b"\xff" * broken.size
    path.write_bytes(bytes(data))
    error, given = refused(path)
    assert error.code == SkipCode.CORRUPT
    seen = [films.number_of(frame.pixels()) for frame in given]
    assert seen == list(range(shown_before(packets, broken)))


def test_a_frame_that_the_decoder_calls_damaged_is_not_given(films, tmp_path):
    path = films.write(tmp_path / "a.mpg", codec="mpeg2video", height=256, width=256)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        damaged = [frame.is_corrupt for frame in container.decode(video=0)]
    assert True in damaged
    error, given = refused(path)
    assert error.code == SkipCode.CORRUPT
    assert len(given) == damaged.index(True)


def test_damage_in_the_middle_is_refused_as_corrupt(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", frames=80, options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    for place in range(middle, middle + 60):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    error, given = refused(path)
    assert error.code == SkipCode.CORRUPT
    # Wrong bits may make another valid picture; only what follows it cannot be decoded.
    seen = [films.number_of(frame.pixels()) for frame in given[:-1]]
    assert seen == list(range(len(seen)))
    assert 20 < len(seen) < 60


def test_a_lost_packet_of_a_transport_stream_is_refused_as_corrupt(films, tmp_path):
    path = films.write(tmp_path / "a.ts")
    data = path.read_bytes()
    packets = [data[start : start + 188] for start in range(0, len(data), 188)]
    of_film = [number for number, packet in enumerate(packets) if packet[1] & 0x1F == 1]
    packets.pop(of_film[len(of_film) // 2])
    path.write_bytes(b"".join(packets))
    error, given = refused(path)
    assert error.code == SkipCode.CORRUPT
    assert 5 < len(given) < 35


def test_text_is_no_media_and_its_start_is_shown(tmp_path):
    path = tmp_path / "page.mp4"
    path.write_text("<html>not found</html>")
    error, _ = refused(path)
    assert error.code == SkipCode.NOT_MEDIA
    assert "<html>" in error.reason
    assert str(tmp_path) not in error.reason


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.6,\na.ts\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.txt"])
@pytest.mark.parametrize("text", [HLS, "ffconcat version 1.0\nfile a.ts\n"])
def test_playlists_are_refused_and_named(films, tmp_path, name, text):
    films.write(tmp_path / "a.ts")
    path = tmp_path / name
    path.write_text(text)
    error, _ = refused(path)
    assert error.code == SkipCode.NOT_MEDIA
    assert "playlist" in error.reason or "concat" in error.reason


def test_text_is_not_drawn_as_a_video(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("some notes\n" * 100)
    assert refused(path)[0].code == SkipCode.NOT_MEDIA


@pytest.mark.parametrize(
    "name", ["concat:a|b.mp4", "img%03d.mp4", "subfile,,start,0,end,9,,:x.mp4"]
)
def test_a_name_is_never_taken_for_an_address(films, tmp_path, monkeypatch, name):
    shutil.copy(films.write(tmp_path / "a.mp4", frames=3), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert numbers(films, tmp_path / name) == [0, 1, 2]
    assert numbers(films, Path(name)) == [0, 1, 2]


def test_sound_alone_is_no_video(films, tmp_path):
    error, _ = refused(films.write_sound(tmp_path / "a.mp4"))
    assert error.code == SkipCode.NO_VIDEO_STREAM
    assert "found audio" in error.reason


def write_streams(path, films, *, cover_first, film=True):
    """Sound, cover art, and a film beside them."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        kinds = ["cover", "film"] if cover_first else ["film", "cover"]
        streams = {}
        for kind in kinds if film else ["cover"]:
            streams[kind] = container.add_stream("mjpeg" if kind == "cover" else "libx264", rate=25)
            streams[kind].width = streams[kind].height = 64
            streams[kind].pix_fmt = "yuvj420p" if kind == "cover" else "yuv420p"
        streams["cover"].disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 8000, 0
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
        for kind, stream in streams.items():
            for number in range(1 if kind == "cover" else 5):
                picture = films.picture(200 if kind == "cover" else number)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("cover_first", [True, False])
def test_cover_art_is_not_taken_for_the_film(films, tmp_path, cover_first):
    path = write_streams(tmp_path / "a.mp4", films, cover_first=cover_first)
    assert numbers(films, path) == list(range(5))


def test_sound_with_cover_art_is_no_video(films, tmp_path):
    error, _ = refused(write_streams(tmp_path / "a.mp4", films, cover_first=True, film=False))
    assert error.code == SkipCode.NO_VIDEO_STREAM
    assert "audio, cover art" in error.reason


def test_the_first_of_two_films_is_read(films, tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(5):
            for stream, first in zip(streams, (0, 100), strict=True):
                frame = av.VideoFrame.from_ndarray(films.picture(first + number), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    assert numbers(films, path) == list(range(5))


def test_a_codec_without_a_decoder_is_named(films, tmp_path):
    path = films.write(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xyz9"))
    error, _ = refused(path)
    assert error.code == SkipCode.NO_DECODER
    assert "xyz9" in error.reason
    assert av.logging.get_level() is None


def test_a_single_frame_is_a_whole_video(films, tmp_path):
    assert numbers(films, films.write(tmp_path / "a.mkv", frames=1)) == [0]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_large_frames_are_refused_before_any_is_decoded(films, tmp_path, name):
    path = films.write(tmp_path / name, width=96, frames=20)
    for read in (
        lambda limits: read_header(path, limits=limits),
        lambda limits: frames(path, limits=limits),
    ):
        read(ReadLimits(pixels=96 * 64, frames=20))
        with pytest.raises(UnusableError, match=r"96 x 64 = 6144 .* at most 6143") as caught:
            read(ReadLimits(pixels=96 * 64 - 1, frames=20))
        assert caught.value.code == SkipCode.TOO_LARGE


def test_frames_beyond_the_limit_are_counted_not_taken_from_the_header(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", frames=10)
    assert len(frames(path, limits=ReadLimits(pixels=5000, frames=10))) == 10
    error, given = refused(path, limits=ReadLimits(pixels=5000, frames=9))
    assert error.code == SkipCode.TOO_LONG
    assert len(given) == 9


def test_a_wrong_declared_number_of_frames_changes_nothing(films, tmp_path):
    path = films.write(tmp_path / "a.avi", codec="mjpeg", frames=10)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        start = data.index(mark) + place
        assert int.from_bytes(data[start : start + 4], "little") == 10
        data[start : start + 4] = (3).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert read_header(path, limits=LIMITS).num_frames != 10
    assert numbers(films, path) == list(range(10))


def test_the_header_is_told_without_decoding(films, tmp_path):
    header = read_header(films.write(tmp_path / "a.mp4", width=96), limits=LIMITS)
    assert (header.width, header.height, header.num_frames) == (96, 64, 40)
    assert header.fps == pytest.approx(25)
    assert header.duration_s == pytest.approx(1.6)
    assert header.hdr is None
    assert not header.alpha


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (1, None)])
def test_hdr_is_known_from_the_header(films, tmp_path, transfer, name):
    path = films.write_pictures(
        tmp_path / "a.mp4",
        [np.full((64, 64, 3), 99, np.uint8)],
        codec="libx264",
        pix_fmt="yuv420p10le",
        colours={"color_trc": transfer},
    )
    assert read_header(path, limits=LIMITS).hdr == name
    assert len(frames(path)) == 1


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("libx264", "yuv420p10le"), ("libx265", "yuv420p12le"), ("ffv1", "yuv444p16le")],
)
@pytest.mark.parametrize("full", [False, True])
def test_deep_colour_comes_out_at_its_own_grey_levels(films, tmp_path, codec, pix_fmt, full):
    levels = [0, 16, 64, 128, 200, 235, 255]
    options = {"libx264": {"qp": "0"}, "libx265": {"x265-params": "lossless=1:log-level=none"}}
    path = films.write_pictures(
        tmp_path / "a.mkv",
        [np.full((64, 64, 3), level, np.uint8) for level in levels],
        codec=codec,
        pix_fmt=pix_fmt,
        options=options.get(codec),
        colours={"color_range": 2 if full else 1},
    )
    for level, frame in zip(levels, frames(path), strict=True):
        assert far(frame.pixels(), level) <= 2


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("b.mov", "qtrle", "argb"),
        ("c.mov", "png", "rgba"),
    ],
)
def test_transparent_pixels_show_the_background(films, tmp_path, name, codec, pix_fmt):
    picture = np.zeros((64, 64, 4), dtype=np.uint8)
    picture[:, :32] = (255, 0, 0, 51)
    picture[:, 32:] = (0, 255, 0, 255)
    path = films.write_pictures(
        tmp_path / name, [picture] * 2, codec=codec, pix_fmt=pix_fmt, tags={"alpha_mode": "1"}
    )
    assert read_header(path, limits=LIMITS).alpha
    look = Look(size=16, fit="crop", background=(0, 0, 200))
    for frame in frames(path, look=look):
        assert far(frame.pixels()[:, :7], (51, 0, 160)) <= 3
        assert far(frame.pixels()[:, 9:], (0, 255, 0)) <= 3


def test_a_gif_is_transparent_where_its_first_picture_is(films, tmp_path):
    opaque = films.write(tmp_path / "a.gif", codec="gif", frames=2)
    assert not read_header(opaque, limits=LIMITS).alpha
    indexed = Image.new("P", (64, 64), 0)
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    indexed.paste(1, (32, 0, 64, 64))
    path = tmp_path / "b.gif"
    indexed.save(path, transparency=0, save_all=True, append_images=[indexed])
    assert read_header(path, limits=LIMITS).alpha
    pixels = frames(path, look=Look(size=16, fit="crop", background=(9, 8, 7)))[0].pixels()
    assert (pixels[:, :8] == (9, 8, 7)).all()
    assert (pixels[:, 8:] == (0, 255, 0)).all()


def commented(gif, place):
    """Move the first extension of a GIF to a place, by comments before it."""
    start = 13 + (3 << (gif[10] & 7) + 1)
    assert gif[start] == ord("!")
    comment = bytearray(gif[:start])
    while (room := place - len(comment)) > 0:
        length = min(room - 4, 255) if room - 4 - 255 >= 5 or room - 4 <= 255 else 200
        comment += b"!\xfe" + bytes([length]) + b"c" * length + b"\0"
    assert len(comment) == place
    return bytes(comment) + gif[start:]


@pytest.mark.parametrize("place", [65532, 65533, 65534, 65535, 65536])
def test_an_extension_of_a_gif_may_begin_anywhere(films, tmp_path, place):
    path = films.write(tmp_path / "a.gif", codec="gif", frames=3)
    path.write_bytes(commented(path.read_bytes(), place))
    assert not read_header(path, limits=LIMITS).alpha
    assert numbers(films, path) == [0, 1, 2]


@pytest.mark.parametrize("left", range(1, 10))
def test_a_gif_cut_within_its_first_extension_is_refused(films, tmp_path, left):
    data = films.write(tmp_path / "a.gif", codec="gif", frames=3).read_bytes()
    path = tmp_path / "b.gif"
    path.write_bytes(data[: 13 + (3 << (data[10] & 7) + 1) + left])
    refused(path)


@pytest.mark.parametrize("digits", [10, 400, 5000])
def test_a_declared_length_that_no_number_holds_counts_as_none(films, tmp_path, digits):
    path = films.write_pictures(
        tmp_path / "a.mkv",
        [films.picture(number) for number in range(40)],
        codec="libx264",
        pix_fmt="yuv420p",
        tags={"DURATION-x": "9" * digits + ":00:00"},
    )
    with av.open(str(path)) as container:
        assert "9" * digits in str(container.streams.video[0].metadata)
    assert read_header(path, limits=LIMITS).duration_s == pytest.approx(1.6)
    assert len(frames(path)) == 40


def test_a_title_that_is_not_utf_8_is_no_fault(films, tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "caf~"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(films.picture(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert data.count(b"caf~") == 1
    path.write_bytes(data.replace(b"caf~", b"caf\xe9"))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert read_header(path, limits=LIMITS).num_frames == 5
    assert numbers(films, path) == list(range(5))


SHORTAGE = av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")
DAMAGE = av.error.InvalidDataError(1, "Invalid data found")


@pytest.mark.parametrize("errors", [[SHORTAGE], [DAMAGE, SHORTAGE]])
def test_a_shortage_of_memory_is_no_break_of_the_file(films, tmp_path, monkeypatch, errors):
    path = films.write(tmp_path / "a.mp4", frames=10)
    packets, opened = packets_of(path), decode._opened

    @contextmanager
    def failing(*arguments):
        with opened(*arguments) as film:
            results = [*map(film.decoder.decode, packets[:5]), *errors]
            decoder = Mock(spec=VideoCodecContext, decode=Mock(side_effect=results))
            yield replace(film, decoder=decoder)

    monkeypatch.setattr(decode, "_opened", failing)
    with pytest.raises(MemoryError):
        frames(path)


def test_a_file_that_cannot_be_opened_for_lack_of_memory_is_not_called_damaged(
    films, tmp_path, monkeypatch
):
    path = films.write(tmp_path / "a.mp4", frames=2)

    def short(*_, **__):
        raise SHORTAGE

    monkeypatch.setattr(av, "open", short)
    assert refused(path)[0].code == SkipCode.OUT_OF_MEMORY


def smooth(height, width):
    """A picture without edges, which codecs leave as it is."""
    down, across = np.meshgrid(
        (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
    )
    waves = [np.sin(5 * across + 1), np.cos(4 * down), np.sin(3 * across) * np.cos(5 * down)]
    return (128 + 100 * np.stack(waves, axis=-1)).round().astype(np.uint8)


def write_smooth(films, path, height, width, *, codec="libx264", aspect=None):
    fine = {"libx264": {"crf": "4"}, "mpeg4": {"qmin": "1", "qmax": "1"}}
    return films.write_pictures(
        path,
        [smooth(height, width)] * 2,
        codec=codec,
        pix_fmt="yuv420p",
        options=fine[codec],
        colours={} if aspect is None else {"sample_aspect_ratio": aspect},
    )


# Stored width, and that of the same picture in square pixels.
ANAMORPHIC = {"4/3": (144, 192), "16/11": (88, 128), "8/9": (144, 128)}


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
@pytest.mark.parametrize("aspect", ANAMORPHIC)
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_pixels_that_are_not_square_come_as_they_are_shown(
    films, tmp_path, name, codec, aspect, fit
):
    stored, shown = ANAMORPHIC[aspect]
    path = write_smooth(films, tmp_path / name, 96, stored, codec=codec, aspect=Fraction(aspect))
    plain = write_smooth(films, tmp_path / f"plain {name}", 96, shown, codec=codec)
    look = Look(size=48, fit=fit, background=(255, 255, 255))
    found, expected = (frames(one, look=look)[1].pixels() for one in (path, plain))
    assert far(found, expected) <= 8
    assert read_header(path, limits=LIMITS).width == stored


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_shape_of_pixels_belongs_to_the_stored_picture_and_turns_with_it(films, tmp_path, fit):
    path = write_smooth(films, tmp_path / "a.mp4", 96, 144, aspect=Fraction(4, 3))
    plain = write_smooth(films, tmp_path / "b.mp4", 96, 192)
    look = Look(size=48, fit=fit, background=(255, 255, 255))
    found, expected = (
        frames(films.turn(one, side=96), look=look)[1].pixels() for one in (path, plain)
    )
    assert far(found, expected) <= 8
    upright = frames(write_smooth(films, tmp_path / "c.mp4", 96, 192), look=look)[1].pixels()
    assert far(found, np.rot90(upright, -1)) <= 8


@pytest.mark.parametrize("aspect", [Fraction(9), Fraction(1, 9)])
def test_shapes_of_pixels_that_nobody_means_count_as_not_given(films, tmp_path, aspect):
    look = Look(size=48, fit="crop")
    path = write_smooth(films, tmp_path / "a.mp4", 64, 96, aspect=aspect)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect
    plain = write_smooth(films, tmp_path / "b.mp4", 64, 96)
    found, expected = (frames(one, look=look)[0].pixels() for one in (path, plain))
    assert np.array_equal(found, expected)


def test_the_pixels_of_a_gif_are_square_whatever_it_says(films, tmp_path):
    look = Look(size=48, fit="crop")
    path = films.write(tmp_path / "a.gif", codec="gif", frames=1, width=96)
    plain = frames(path, look=look)[0].pixels()
    data = bytearray(path.read_bytes())
    data[12] = 113
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    assert np.array_equal(frames(path, look=look)[0].pixels(), plain)
