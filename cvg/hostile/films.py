"""The films of the corpus, in one folder of which every file is tried."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cvg.hostile import damage
from cvg.hostile.cases import Case, Expected, Make, Planted, Run, holding, skipped, used
from cvg.hostile.media import FULL_RANGE, HLG_TAGS, PQ_TAGS, Recipe, encode, encode_sound, remux
from cvg.videos.location import shown
from cvg.videos.skips import NoteCode, SkipCode

MANY = 2100  # frames, of films beyond the limit
MAX_FRAMES = 2000
CONTAINERS = {"mp4": "mp4", "mkv": "matroska"}
UNEVEN_MS = (0, 20, 40, 400, 420, 440, 900)
WHITE_OF_RGB8 = 255

MP4 = Recipe()
MKV = Recipe(container="matroska")
WEBM = Recipe(container="webm", codec="libvpx-vp9")
AVI = Recipe(container="avi", codec="mpeg4")
GIF = Recipe(container="gif", codec="gif", pixels="rgb8")
TS = Recipe(container="mpegts", codec="mpeg2video")
MOV = Recipe(container="mov", codec="prores_ks", pixels="yuv422p10le")

Change = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One name in the folder, with its case; `stored` is the name on the disk."""

    case: Case
    make: Make
    stored: str


def films_run() -> Run:
    """Give the films, each with its own number, so that only twins are twins."""
    pieces = [*_good(), *_unusual(), *_broken(), *_no_films(), *_twins(), *_names(), *_special()]
    outside = holding(lambda: encode(MP4, film=255))
    return Run(
        name="films",
        cases=tuple(piece.case for piece in pieces),
        pieces={
            **{f"videos/{piece.stored}": piece.make for piece in pieces},
            "outside.mp4": outside,
        },
        manifest="videos",
        changes={"folder_files": "all"},
    )


def _good() -> Iterator[_Piece]:
    """Yield whole films of every codec; numbers 1 on."""
    recipes = {
        "H.264.mp4": MP4,
        "H.264.mkv": MKV,
        "HEVC.mp4": replace(MP4, codec="libx265"),
        "AV1.mp4": replace(MP4, codec="libsvtav1", width=64, height=64),
        "VP9.webm": WEBM,
        "VP8.webm": replace(WEBM, codec="libvpx"),
        "MPEG-4.avi": AVI,
        "MJPEG.avi": replace(AVI, codec="mjpeg", pixels="yuvj420p"),
        "Huffyuv.avi": replace(AVI, codec="huffyuv", pixels="rgb24"),
        "raw.avi": replace(AVI, codec="rawvideo", pixels="bgr24"),
        "ProRes.mov": MOV,
        "MPEG-2.ts": TS,
        "H.264.ts": replace(TS, codec="libx264"),
        "FFV1.mkv": replace(MKV, codec="ffv1"),
        "GIF.gif": GIF,
        "H.264.flv": replace(MP4, container="flv"),
        "WMV2.wmv": replace(AVI, container="asf", codec="wmv2"),
        "H.264 10 bit.mkv": replace(MKV, pixels="yuv420p10le"),
        "HEVC 10 bit.mp4": replace(MP4, codec="libx265", pixels="yuv420p10le"),
        "HEVC 12 bit.mp4": replace(MP4, codec="libx265", pixels="yuv420p12le"),
        "full range.mp4": replace(MP4, tags=FULL_RANGE),
        "fragments.mp4": replace(MP4, mux={"movflags": "frag_keyframe+empty_moov"}),
        "333x241, 4 4 4.mp4": replace(MP4, width=333, height=241, pixels="yuv444p"),
        "portrait 90x160.mp4": replace(MP4, width=90, height=160),
    }
    for film, (name, recipe) in enumerate(recipes.items(), 1):
        yield _film(f"whole/{name}", f"whole film: {name}", recipe, film)


def _unusual() -> Iterator[_Piece]:
    """Yield films that are sound, but not what a reader may take for granted; numbers 30 on."""
    yield _film("tags/Latin-1.avi", "tag that is not UTF-8", AVI, 30, change=_latin_1)
    times = (*UNEVEN_MS, *range(1000, 2000, 40))
    odd = replace(MP4, times_ms=times, frames=len(times))
    for film, turns in enumerate((1, 2, 3), 31):
        recipe = replace(MP4, turns=turns)
        yield _film(
            f"turned/{90 * turns}.mp4",
            f"turned by {90 * turns} degrees by the display matrix",
            recipe,
            film,
            change=_turner(recipe),
        )
    for film, (suffix, container) in enumerate(CONTAINERS.items(), 34):
        recipe = replace(odd, container=container)
        expected = _whole(recipe, film, NoteCode.UNEVEN_TIMES)
        yield _film(f"times/uneven.{suffix}", f"uneven times, {suffix}", recipe, film, expected)
    late = replace(MP4, times_ms=range(5000, 5000 + 32 * 40, 40))
    for film, (suffix, container) in enumerate(CONTAINERS.items(), 36):
        recipe = replace(late, container=container)
        yield _film(f"times/late.{suffix}", f"begins at 5 s, {suffix}", recipe, film)
    yield _film(
        "times/10 hours.mp4",
        "declares 10 hours, holds 1.3 s",
        MP4,
        38,
        change=lambda data: damage.claim_seconds(data, seconds=36000, edits=True),
    )
    yield _film(
        "times/0.1 s.mp4",
        "declares 0.1 s, holds 1.3 s",
        MP4,
        39,
        change=lambda data: damage.claim_seconds(data, seconds=0.1, edits=False),
    )
    deep = replace(MP4, codec="libx265", pixels="yuv420p10le")
    for film, (name, tags) in enumerate({"PQ": PQ_TAGS, "HLG": HLG_TAGS}.items(), 40):
        recipe = replace(deep, tags=tags)
        expected = _whole(recipe, film, NoteCode.HDR_NOT_TONE_MAPPED)
        yield _film(f"hdr/{name}.mp4", f"high dynamic range, {name}", recipe, film, expected)
    yield from _transparent()
    yield from _joined()
    yield _film("still/black.mp4", "all black", replace(MP4, flat=0), 46, expected=_static())
    same = Planted(film=47, frames=(0,) * MP4.frames)
    yield _film(
        "still/same.mp4",
        "all frames the same",
        replace(MP4, still=True),
        47,
        expected=_static(same),
    )
    large = replace(
        AVI, codec="mjpeg", pixels="yuvj420p", width=8192, height=4320, frames=16, flat=90
    )
    yield _film("size/8192x4320.avi", "8192x4320", large, 48, expected=_static())


def _joined() -> Iterator[_Piece]:
    """Yield files of two recordings, the second of another size and again from 0 s on."""
    pictures = Recipe(container="mjpeg", codec="mjpeg", pixels="yuvj420p")
    expected = used(Planted(film=49, frames=tuple(range(32)) * 2))
    title = "two recordings of two sizes in one file"
    yield _piece("size/joined.mjpeg", title, expected, holding(_two_sizes(pictures, 49)))
    # The numbers of its packets do not go on, as if some were lost.
    expected, title = skipped(SkipCode.CORRUPT), "two recordings in one MPEG-TS"
    yield _piece("size/joined.ts", title, expected, holding(_two_sizes(TS, 50)))


def _two_sizes(recipe: Recipe, film: int) -> Callable[[], bytes]:
    parts = [recipe, replace(recipe, width=96, height=80)]
    return lambda: b"".join(encode(part, film=film) for part in parts)


def _transparent() -> Iterator[_Piece]:
    recipes = {
        "VP9.webm": replace(WEBM, pixels="yuva420p", clear=True),
        "ProRes 4444.mov": replace(MOV, pixels="yuva444p10le", clear=True),
        "animation.mov": replace(MOV, codec="qtrle", pixels="argb", clear=True),
        "GIF.gif": replace(GIF, clear=True),
    }
    for film, (name, recipe) in enumerate(recipes.items(), 42):
        change = _clear_white if recipe.container == "gif" else bytes
        expected = _whole(recipe, film, NoteCode.ALPHA_FLATTENED)
        yield _film(f"alpha/{name}", f"transparent: {name}", recipe, film, expected, change)


def _broken() -> Iterator[_Piece]:
    """Yield films that are damaged, lie, or are beyond a limit; numbers 51 on."""
    truncated, corrupt = skipped(SkipCode.TRUNCATED), skipped(SkipCode.CORRUPT)
    yield _film("cut/no index.mp4", "MP4 cut in half, no index", MP4, 51, truncated, _half)
    for film, (name, recipe) in enumerate(CUT_FILMS.items(), 52):
        title = f"{name} cut at 60 %"
        yield _film(f"cut/{name}", title, recipe, film, truncated, _sixty)
    yield _film(
        "cut/streaming.mp4",
        "MP4 with its index first cut at 60 %",
        MP4,
        59,
        truncated,
        lambda data: _sixty(damage.index_first(data)),
    )
    yield _film(
        "cut/first frame.mp4", "MP4 cut within its first frame", MP4, 60, truncated, _first_frame
    )
    yield _film(
        "flipped.mp4",
        "60 bytes of the media data flipped",
        replace(MP4, width=320, height=240),
        61,
        corrupt,
        damage.flip,
    )
    yield _film(
        "2 billion samples.mp4",
        "sample table claims 2 000 000 000 samples",
        MP4,
        62,
        corrupt,
        lambda data: damage.claim_samples(data, count=2_000_000_000),
    )
    short = skipped(SkipCode.TOO_SHORT)
    yield _film("one frame.mp4", "a single frame", replace(MP4, frames=1), 63, short)
    bomb = replace(MOV, codec="png", pixels="monob", width=16000, height=16000, frames=3, flat=0)
    yield _film("size/bomb.mov", "16000x16000", bomb, 64, skipped(SkipCode.TOO_LARGE))
    long = Recipe(
        container="avi", codec="rawvideo", pixels="gray", frames=MANY, width=16, height=16
    )
    too_long = skipped(SkipCode.TOO_LONG)
    yield _film("size/long.avi", f"{MANY} frames, declared", long, 65, too_long)
    no_decoder = skipped(SkipCode.NO_DECODER)
    yield _film("codec.mp4", "codec that nobody knows", MP4, 67, no_decoder, damage.rename_codec)
    undeclared = replace(long, container="mpegts", codec="mpeg2video", pixels="yuv420p")
    yield _film("size/long.ts", f"{MANY} frames, not declared", undeclared, 66, too_long)


CUT_FILMS = {
    "film.mkv": MKV,
    "film.webm": WEBM,
    "film.avi": replace(AVI, width=320, height=240),
    "film.gif": GIF,
    "film.ts": TS,
}


def _no_films() -> Iterator[_Piece]:
    """Yield files that are something else, whatever their names say."""
    contents: dict[str, tuple[str, Callable[[], bytes], SkipCode]] = {
        "zero bytes": ("empty.mp4", bytes, SkipCode.EMPTY_FILE),
        "text named .mp4": ("text.mp4", lambda: b"hello\n" * 99, SkipCode.NOT_MEDIA),
        "HTML named .mp4": ("page.mp4", lambda: HTML * 9, SkipCode.NOT_MEDIA),
        "notes of the author": ("notes.txt", lambda: b"a note\n" * 99, SkipCode.NOT_MEDIA),
        "subtitles": ("film.srt", lambda: SUBTITLES, SkipCode.NO_VIDEO_STREAM),
        "program": ("setup.exe", lambda: b"MZ" + bytes(4000), SkipCode.NOT_MEDIA),
        "zeros named .mp4": ("zeros.mp4", lambda: bytes(10_000), SkipCode.NOT_MEDIA),
        "sound only": ("sound.mp4", encode_sound, SkipCode.NO_VIDEO_STREAM),
        "sound with the cover of an album": (
            "cover.mp4",
            lambda: encode_sound(cover=True),
            SkipCode.NO_VIDEO_STREAM,
        ),
        "playlist named .mp4, of a system file": (
            "playlist.mp4",
            lambda: PLAYLIST.replace(b"NAME", b"file:///etc/passwd"),
            SkipCode.NOT_MEDIA,
        ),
        "playlist, of another film": (
            "playlist.m3u8",
            lambda: PLAYLIST.replace(b"NAME", b"../whole/H.264.ts"),
            SkipCode.NOT_MEDIA,
        ),
        "list of ffconcat, of another film": (
            "list.ffconcat",
            lambda: b"ffconcat version 1.0\nfile '../whole/H.264.mp4'\n",
            SkipCode.NOT_MEDIA,
        ),
        "list of ffconcat named .mp4, of a system file": (
            "list.mp4",
            lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
            SkipCode.NOT_MEDIA,
        ),
        "GIF that declares 16000x16000": ("bomb.gif", lambda: GIF_BOMB, SkipCode.TOO_LARGE),
    }
    for title, (name, content, code) in contents.items():
        yield _piece(f"other/{name}", title, skipped(code), holding(content))
    yield _film("other/film.txt", "film named .txt", MP4, 80)


HTML = b"<!doctype html><html><body><video src='film.mp4'></video></body></html>\n"
SUBTITLES = b"1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\nBye\n\n"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.3,\nNAME\n#EXT-X-ENDLIST\n"
GIF_BOMB = (  # 0x3e80 is 16000
    b"GIF89a\x80\x3e\x80\x3e\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    b"\x2c\x00\x00\x00\x00\x80\x3e\x80\x3e\x00\x02\x02\x44\x01\x00\x3b"
)


def _twins() -> Iterator[_Piece]:
    """Yield the same film three times; number 81."""
    data = cache(lambda: encode(MP4, film=81))
    duplicate = skipped(SkipCode.DUPLICATE)
    planted = used(Planted(film=81, frames=tuple(range(MP4.frames))))
    yield _piece("twins/a.mp4", "first of three twins", planted, holding(data))
    yield _piece("twins/b.mp4", "same bytes, another name", duplicate, holding(data))
    again = holding(lambda: remux(data(), container="matroska"))
    yield _piece("twins/c.mkv", "same packets, another container", duplicate, again)


def _names() -> Iterator[_Piece]:
    """Yield good films with bad names; numbers 91 on."""
    names = {
        "emoji": "\N{CLAPPER BOARD}\N{VARIATION SELECTOR-16}.mp4",
        "quotes": 'it\'s "quoted".mp4',
        "line break": "two\nlines.mp4",
        "leading dash": "-i.mp4",
        "255 bytes": "n" * 251 + ".mp4",
        "not UTF-8": os.fsdecode(b"caf\xe9.mp4"),
        "percent sign": "%03d.mp4",
        "name of a formula": "=cmd|' /C calc'!A0.mp4",
        "markup": "<img src=x onerror=alert(1)>.mp4",
        "terminal codes": "\x1b[2J\x1b[31m.mp4",
        "as a protocol of FFmpeg": "concat:a.mp4|b.mp4",
        "as an address": "http:127.0.0.1:9.mp4",
        "as a pipe": "pipe:0.mp4",
        "no suffix": "film",
        "hidden": ".film.mp4",
        "spaces around": " film .mp4",
    }
    for film, (title, name) in enumerate(names.items(), 91):
        yield _film(f"names/{name}", f"name: {title}", MP4, film)


def _special() -> Iterator[_Piece]:
    """Yield names behind which there is no regular file, or none that may be read."""
    irregular = skipped(SkipCode.NOT_REGULAR_FILE)
    links = {
        "dangling.mp4": ("link to nothing", "absent.mp4", SkipCode.MISSING_FILE),
        "outside.mp4": ("link out of the folder", "../../outside.mp4", SkipCode.OUTSIDE_FOLDER),
        "loop.mp4": ("link to itself", "loop.mp4", SkipCode.UNREADABLE),
    }
    for name, (title, target, code) in links.items():
        yield _piece(f"special/{name}", title, skipped(code), _link(target))
    yield _piece("special/fifo.mp4", "named pipe", irregular, _node(stat.S_IFIFO))
    yield _piece("special/socket.mp4", "socket", irregular, _node(stat.S_IFSOCK))
    yield _piece("special/folder.mp4", "folder named .mp4", irregular, _folder)
    locked = skipped(SkipCode.UNREADABLE)
    if os.geteuid() == 0:  # whom no mode stops
        locked = used(Planted(film=120, frames=tuple(range(MP4.frames))))
    yield _piece("special/locked.mp4", "mode 000", locked, _locked)


def _link(target: str) -> Make:
    def make(path: Path) -> None:
        path.symlink_to(target)

    return make


def _node(kind: int) -> Make:
    def make(path: Path) -> None:
        os.mknod(path, kind | 0o600)

    return make


def _folder(path: Path) -> None:
    path.mkdir()


def _locked(path: Path) -> None:
    path.write_bytes(encode(MP4, film=120))
    path.chmod(0)


def _clear_white(data: bytes) -> bytes:
    return damage.make_transparent(data, colour=WHITE_OF_RGB8)


def _half(data: bytes) -> bytes:
    return damage.cut(data, share=0.5)


def _sixty(data: bytes) -> bytes:
    return damage.cut(data, share=0.6)


def _first_frame(data: bytes) -> bytes:
    data = damage.index_first(data)
    return data[: data.index(b"mdat") + 40]


def _turner(recipe: Recipe) -> Change:
    sides = (recipe.width, recipe.height)
    width, height = sides[::-1] if recipe.turns % 2 else sides
    return lambda data: damage.turn(data, turns=recipe.turns, width=width, height=height)


def _latin_1(data: bytes) -> bytes:
    """Spoil the name of the program that wrote an AVI."""
    place = data.index(b"Lavf")
    return data[:place] + "café".encode("latin-1") + data[place + 4 :]


def _static(planted: Planted | None = None) -> Expected:
    return used(planted, NoteCode.STATIC)


def _film(
    file: str,
    title: str,
    recipe: Recipe,
    film: int,
    expected: Expected | None = None,
    change: Change = bytes,
) -> _Piece:
    make = holding(lambda: change(encode(recipe, film=film)))
    return _piece(file, title, expected or _whole(recipe, film), make)


def _whole(recipe: Recipe, film: int, *notes: NoteCode) -> Expected:
    """Declare that all frames are used, and which notes there are."""
    frames = tuple(range(recipe.frames))
    return used(Planted(film=film, frames=frames, clear=recipe.clear), *notes)


def _piece(file: str, title: str, expected: Expected, make: Make) -> _Piece:
    case = Case(title=title, file=shown(file), expected=expected)
    return _Piece(case=case, make=make, stored=file)
