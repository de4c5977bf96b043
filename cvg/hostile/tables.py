"""The tables of the corpus: rows that are wrong, and manifests of which nothing can be read."""

import csv
import io
import math
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cvg.hostile import damage
from cvg.hostile.cases import Case, Expected, Make, Planted, Run, holding, skipped, stopped, used
from cvg.hostile.media import PQ_TAGS, Recipe, encode, encode_picture, pixels_of
from cvg.videos.skips import NoteCode, SkipCode

FILM = Recipe()
NUMBERS = tuple(range(FILM.frames))
BROKEN = replace(FILM, frames=60)
COLUMNS = ("path", "caption", "split", "start", "end", "fps", "actions", "map")
CLEAR_FILM, MIXED_FILM, ARRAY_FILM = 201, 202, 203  # sources that are no file of film
UNPICKLED = "unpickled"  # a folder that only a pickle would make


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One case of the table of rows.

    Attributes:
        title: what is wrong.
        expected: what is declared.
        cells: of the row, by column; `path` is a good film of its own where it is not given.
        pieces: what else is made.
        extra: cells behind the last column.
    """

    title: str
    expected: Expected
    cells: Mapping[str, str] = field(default_factory=dict)
    pieces: Mapping[str, Make] = field(default_factory=dict)
    extra: tuple[str, ...] = ()


def rows_run() -> Run:
    """Give one table with a row for each case; every row has a film of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    cases, pieces = [], {}
    for film, row in enumerate(_rows(), 1):
        path = row.cells.get("path", f"{film}.mp4")
        line = text.getvalue().count("\n") + 1
        cells = {**row.cells, "path": path}
        writer.writerow([*(cells.get(name, "") for name in COLUMNS), *row.extra])
        expected = _numbered(row.expected, film)
        cases.append(Case(title=row.title, file=path, row=line, expected=expected))
        if "path" not in row.cells:
            pieces[path] = _good(film)
        pieces.update(row.pieces)
    pieces["rows.csv"] = holding(lambda: text.getvalue().encode())
    return Run(name="rows", cases=tuple(cases), pieces=pieces, manifest="rows.csv")


def kept_run() -> Run:
    """Give films that break off, where what stands before the break is kept."""
    recipes: dict[str, Recipe] = {
        "film.mkv": replace(BROKEN, container="matroska"),
        "film.webm": replace(BROKEN, container="webm", codec="libvpx-vp9"),
        "film.gif": replace(BROKEN, container="gif", codec="gif", pixels="rgb8"),
        "film.ts": replace(BROKEN, container="mpegts", codec="mpeg2video"),
        "film.avi": replace(BROKEN, container="avi", codec="mpeg4", width=320, height=240),
        "film.mp4": BROKEN,
    }
    cases, pieces = [], {}
    for film, (name, recipe) in enumerate(recipes.items(), 1):
        planted = Planted(film=film, frames=tuple(range(BROKEN.frames)), at_least=16)
        expected = used(planted, NoteCode.CUT_KEPT)
        cases.append(Case(title=f"{name} cut at 85 %, kept", file=name, expected=expected))
        pieces[f"videos/{name}"] = holding(_cut_film(recipe, film))
    return Run(
        name="kept",
        cases=tuple(cases),
        pieces=pieces,
        manifest="videos",
        changes={"folder_files": "all", "on_truncated": "keep"},
    )


def lone_runs() -> Iterator[Run]:
    """Yield manifests of their own."""
    yield from _texts()
    yield from _parquet()
    yield from _folders()


def _rows() -> Iterator[_Row]:
    yield from _texts_in_cells()
    yield from _paths()
    yield from _ranges()
    yield from _actions()
    yield from _maps()
    yield from _pictures()


def _texts_in_cells() -> Iterator[_Row]:
    captions = {
        "a caption": "a square",
        "no caption": "",
        "caption with markup": "<script>alert(1)</script>",
        "caption that is a formula": "=cmd|' /C calc'!A0",
        "caption with a line break": "two\nlines",
        "caption in many scripts": "ein Bild \N{CLAPPER BOARD} \u4e2d\u6587 \u05e2\u05d1",
    }
    for title, caption in captions.items():
        yield _Row(title=title, expected=_used(), cells={"caption": caption})
    bad = skipped(SkipCode.BAD_ROW)
    yield _Row(title="more cells than columns", expected=bad, extra=("a", "b"))
    yield _Row(title="a split that is none", expected=bad, cells={"split": "test"})
    yield _Row(title="rate that is no number", expected=bad, cells={"fps": "fast"})
    yield _Row(title="rate of 0", expected=bad, cells={"fps": "0"})


def _paths() -> Iterator[_Row]:
    missing = skipped(SkipCode.MISSING_FILE)
    paths = {
        "caption of a film that is not there": ("absent.mp4", missing),
        "the row of another film again": ("1.mp4", skipped(SkipCode.DUPLICATE)),
        "path of a system file": ("/etc/passwd", skipped(SkipCode.NOT_MEDIA)),
        "address": ("http://127.0.0.1:9/film.mp4", missing),
        "protocol of FFmpeg": ("concat:1.mp4|2.mp4", missing),
        "pipe": ("pipe:0", missing),
        "way out of a package": ("package:numpy/../secret", skipped(SkipCode.BAD_ROW)),
        "path of 5000 letters": ("x" * 5000, skipped(SkipCode.UNREADABLE)),
    }
    empty = skipped(SkipCode.EMPTY_PATH)
    yield _Row(title="no path", expected=empty, cells={"path": "", "caption": "a square"})
    for title, (path, expected) in paths.items():
        yield _Row(title=title, expected=expected, cells={"path": path})


def _ranges() -> Iterator[_Row]:
    bad = skipped(SkipCode.BAD_RANGE)
    ranges = {
        "start behind end": ("1", "0.5"),
        "start at end": ("1", "1"),
        "start before 0": ("-1", "1"),
        "start that is no number": ("soon", ""),
        "start that is nan": ("nan", ""),
        "end that is infinite": ("0", "inf"),
        "start behind the last frame": ("60", ""),
    }
    for title, (start, end) in ranges.items():
        yield _Row(title=title, expected=bad, cells={"start": start, "end": end})
    yield _Row(
        title="end behind the last frame",
        expected=_used(NoteCode.RANGE_CUT),
        cells={"start": "0", "end": "60"},
    )
    yield _Row(
        title="a range",
        expected=used(Planted(film=0, frames=NUMBERS[5:25])),
        cells={"start": "0.2", "end": "1"},
    )


def _actions() -> Iterator[_Row]:
    bad, number = skipped(SkipCode.BAD_ACTIONS), len(NUMBERS)
    tables = {
        "actions, a row a frame": (_npy(np.ones((number, 2), np.float32)), _used()),
        "actions with too few rows": (_npy(np.ones((number - 9, 2), np.float32)), bad),
        "actions with NaN": (_npy(np.full((number, 2), math.nan, np.float32)), bad),
        "actions with infinity": (_npy(np.full((number, 2), math.inf, np.float32)), bad),
        "actions that are complex": (_npy(np.ones((number, 2), np.complex64)), bad),
        "actions in three dimensions": (_npy(np.ones((number, 2, 2), np.float32)), bad),
        "actions without a column": (_npy(np.ones((number, 0), np.float32)), bad),
        "actions that are no file of NumPy": (holding(lambda: b"no array"), bad),
        "actions cut off": (holding(lambda: _npy_bytes(np.ones((number, 2)))[:200]), bad),
        "actions that claim 10^18 rows": (holding(lambda: _claim((10**18, 2), "<f4")), bad),
    }
    for index, (title, (make, expected)) in enumerate(tables.items()):
        name = f"actions_{index}.npy"
        yield _Row(title=title, expected=expected, cells={"actions": name}, pieces={name: make})
    yield _Row(
        title="actions that are a pickle",
        expected=skipped(SkipCode.BAD_ACTIONS, absent=UNPICKLED),
        cells={"actions": "pickle.npy"},
        pieces={"pickle.npy": _pickled},
    )
    texts = {
        "actions with ragged rows": b"1,2\n" * (number - 1) + b"1\n",
        "actions with words": b"left,right\n" * number,
        "actions, empty": b"",
    }
    for index, (title, text) in enumerate(texts.items()):
        name = f"actions_{index}.csv"
        make = holding(lambda text=text: text)
        yield _Row(title=title, expected=bad, cells={"actions": name}, pieces={name: make})
    yield _Row(title="actions that are not there", expected=bad, cells={"actions": "absent.npy"})


def _maps() -> Iterator[_Row]:
    bad = skipped(SkipCode.BAD_MAP)
    yield _Row(
        title="map with as many frames",
        expected=_used(),
        cells={"map": "map.mkv"},
        pieces={"map.mkv": _map(len(NUMBERS))},
    )
    yield _Row(
        title="map with fewer frames",
        expected=bad,
        cells={"map": "short.mkv"},
        pieces={"short.mkv": _map(len(NUMBERS) - 9)},
    )
    yield _Row(title="map that is not there", expected=bad, cells={"map": "absent.mkv"})
    yield _Row(
        title="map that is no film",
        expected=bad,
        cells={"map": "map.txt"},
        pieces={"map.txt": holding(lambda: b"no map\n" * 99)},
    )


def _pictures() -> Iterator[_Row]:
    clear = Recipe(clear=True)
    yield _Row(
        title="folder of transparent pictures",
        expected=used(
            Planted(film=CLEAR_FILM, frames=NUMBERS, clear=True), NoteCode.ALPHA_FLATTENED
        ),
        cells={"path": "clear"},
        pieces={f"clear/{number:03d}.png": _picture(number, clear) for number in NUMBERS},
    )
    mixed = {f"mixed/{number:03d}.png": _picture(number, Recipe()) for number in NUMBERS}
    mixed["mixed/010.png"] = _picture(10, Recipe(width=32, height=32))
    yield _Row(
        title="folder of pictures of two sizes",
        expected=used(Planted(film=MIXED_FILM, frames=NUMBERS)),
        cells={"path": "mixed"},
        pieces=mixed,
    )
    damaged: dict[str, Make] = {name.replace("mixed", "damaged"): mixed[name] for name in mixed}
    damaged["damaged/020.png"] = holding(
        lambda: damage.cut(encode_picture(MIXED_FILM, 20, recipe=Recipe()), share=0.5)
    )
    yield _Row(
        title="folder of pictures of which one is cut off",
        expected=skipped(SkipCode.CORRUPT),
        cells={"path": "damaged"},
        pieces=damaged,
    )
    yield _Row(
        title="folder of a picture that declares 60000x60000",
        expected=skipped(SkipCode.TOO_LARGE),
        cells={"path": "large"},
        pieces={
            "large/0.png": holding(
                lambda: damage.claim_png_size(encode_picture(0, 0, recipe=Recipe()), 60000)
            )
        },
    )
    yield _Row(
        title="folder without a picture",
        expected=skipped(SkipCode.NOT_REGULAR_FILE),
        cells={"path": "nothing"},
        pieces={"nothing": _empty_folder},
    )
    not_media = skipped(SkipCode.NOT_MEDIA)
    yield _Row(
        title="array of frames",
        expected=used(Planted(film=ARRAY_FILM, frames=NUMBERS)),
        cells={"path": "frames.npy", "fps": "10"},
        pieces={"frames.npy": _frames_array},
    )
    yield _Row(
        title="array of frames that is a pickle",
        expected=replace(not_media, absent=UNPICKLED),
        cells={"path": "object.npy"},
        pieces={"object.npy": _pickled},
    )
    arrays = {
        "array of numbers with a point": (lambda: _npy_bytes(np.zeros((32, 8, 8))), not_media),
        "array that claims 10^18 frames": (
            lambda: _claim((10**18, 8, 8), "|u1"),
            skipped(SkipCode.TOO_LONG),
        ),
        "array that claims frames of 60000x60000": (
            lambda: _claim((32, 60000, 60000), "|u1"),
            skipped(SkipCode.TOO_LARGE),
        ),
        "array cut off": (
            lambda: _npy_bytes(np.zeros((32, 48, 64, 3), np.uint8))[:-999],
            skipped(SkipCode.TRUNCATED),
        ),
    }
    for index, (title, (content, expected)) in enumerate(arrays.items()):
        name = f"array_{index}.npy"
        yield _Row(
            title=title, expected=expected, cells={"path": name}, pieces={name: holding(content)}
        )


def _texts() -> Iterator[Run]:
    """Yield tables that stop the run, and two that look odd and are read."""
    good = b"path,split\na.mp4,train\nb.mp4,held_out\n"
    stops = {
        "no column of paths": (b"file,split\na.mp4,train\n", "needs a column `path`"),
        "two columns of paths": (b"path,path_to_video\na.mp4,a.mp4\n", "keep one of them"),
        "a column twice": (b"path,split,split\na.mp4,train,train\n", "twice"),
        "semicolons": (good.replace(b",", b";"), "needs a column `path`"),
        "only a header": (b"path,split\n", "no rows"),
        "an empty table": (b"", "needs a column `path`"),
        "a NUL byte": (good + b"c\x00.mp4,train\n", ":4: "),
        "Latin-1": (good + b"caf\xe9.mp4,train\n", ":4: "),
        "UTF-16": ("path\na.mp4\n".encode("utf-16"), "not UTF-8"),
        "a quote that is not closed": (good + b'"c.mp4,train\n', "not valid CSV"),
    }
    for title, (text, says) in stops.items():
        yield _lone_table(title, "table.csv", holding(lambda text=text: text), stopped(says))
    reads = {
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "Windows line ends": good.replace(b"\n", b"\r\n"),
        "blank lines at the end": good + b"\n\n,\n",
    }
    for title, text in reads.items():
        expected = used(Planted(film=1, frames=NUMBERS))
        yield _lone_table(title, "table.csv", holding(lambda text=text: text), expected)
    long = holding(lambda: good + b"c.mp4," + b"x" * 10_000_000 + b"\n")
    others = frozenset({("a.mp4", 2), ("b.mp4", 3)})
    case = Case(title="a cell of 10 MB", file="c.mp4", row=4, expected=skipped(SkipCode.BAD_ROW))
    pieces = {"a.mp4": _good(1), "b.mp4": _good(2), "table.csv": long}
    yield Run(name=case.title, cases=(case,), pieces=pieces, manifest="table.csv", others=others)
    yield _lone_table("table that is a film", "table.csv", _good(9), stopped("NUL"))
    yield _lone_table("table that is a named pipe", "table.csv", _fifo, stopped("named pipe"))
    yield _lone_table("table that is not there", "table.csv", None, stopped("no such"))
    one_side = good.replace(b"held_out", b"train")
    yield _lone_table(
        "all rows on one side", "table.csv", holding(lambda: one_side), stopped("held_out")
    )


def _parquet() -> Iterator[Run]:
    table = {"path": ["a.mp4", "b.mp4"], "split": ["train", "held_out"]}
    whole = _parquet_bytes(table)
    no_path = _parquet_bytes({"file": ["a.mp4"]})
    expected = used(Planted(film=1, frames=NUMBERS))
    yield _lone_table("Parquet", "table.parquet", holding(lambda: whole), expected)
    contents = {
        "Parquet cut in half": (whole[: len(whole) // 2], "Parquet"),
        "Parquet without a column of paths": (no_path, "needs a column `path`"),
        "Parquet that is text": (b"path\na.mp4\n", "Parquet"),
    }
    for title, (content, says) in contents.items():
        make = holding(lambda content=content: content)
        yield _lone_table(title, "table.parquet", make, stopped(says))


def _folders() -> Iterator[Run]:
    nothing = stopped("holds no video")
    yield _lone_folder("a folder without files", {"videos": _empty_folder}, nothing)
    loop = {"videos/here": _loop}
    yield _lone_folder("a folder that holds a link to itself", loop, nothing)
    texts = {f"videos/{name}.mp4": holding(lambda: b"text\n" * 99) for name in "ab"}
    yield _lone_folder("a folder of which all is left out", texts, stopped("none of its 2"))
    many = {**texts, "videos/c.mp4": _good(1), "videos/d.mp4": _good(2)}
    too_many = stopped("max_skipped")
    yield _lone_folder("more left out than allowed", many, too_many, {"max_skipped": 0.1})
    hdr = Recipe(codec="libx265", pixels="yuv420p10le", tags=PQ_TAGS)
    good = frozenset[tuple[str, int | None]]({("c.mp4", None), ("d.mp4", None)})
    yield Run(
        name="hdr that is to be skipped",
        cases=(
            Case(
                title="high dynamic range, to be skipped",
                file="a.mp4",
                expected=skipped(SkipCode.HDR),
            ),
        ),
        pieces={
            "videos/a.mp4": holding(lambda: encode(hdr, film=3)),
            "videos/c.mp4": _good(1),
            "videos/d.mp4": _good(2),
        },
        manifest="videos",
        others=good,
        changes={"hdr": "skip"},
    )
    unknown = {"videos/film.xyz": _good(1)}
    yield _lone_folder("a folder of unknown names", unknown, nothing, {"folder_files": "videos"})


def _lone_table(title: str, name: str, make: Make | None, expected: Expected) -> Run:
    pieces = {"a.mp4": _good(1), "b.mp4": _good(2)}
    if make is not None:
        pieces[name] = make
    stops = expected.outcome == "stopped"
    case = Case(
        title=title, file="" if stops else "a.mp4", row=None if stops else 2, expected=expected
    )
    others = frozenset() if stops else frozenset({("b.mp4", 3)})
    return Run(name=title, cases=(case,), pieces=pieces, manifest=name, others=others)


def _lone_folder(
    title: str,
    pieces: Mapping[str, Make],
    expected: Expected,
    changes: Mapping[str, object] | None = None,
) -> Run:
    case = Case(title=title, file="", expected=expected)
    return Run(name=title, cases=(case,), pieces=pieces, manifest="videos", changes=changes or {})


def _used(*notes: NoteCode) -> Expected:
    """Declare that the whole film is used; its number is put in later."""
    return used(Planted(film=0, frames=NUMBERS), *notes)


def _numbered(expected: Expected, film: int) -> Expected:
    if expected.planted is None or expected.planted.film != 0:
        return expected
    return replace(expected, planted=replace(expected.planted, film=film))


def _good(film: int) -> Make:
    return holding(lambda: encode(FILM, film=film))


def _map(frames: int) -> Make:
    recipe = Recipe(container="matroska", codec="ffv1", pixels="gray", frames=frames)
    return holding(lambda: encode(recipe, film=200))


def _picture(number: int, recipe: Recipe) -> Make:
    # Its own number of the film: a folder of pictures is a film as well.
    film = CLEAR_FILM if recipe.clear else MIXED_FILM
    return holding(lambda: encode_picture(film, number, recipe=recipe))


def _frames_array(path: Path) -> None:
    frames = [pixels_of(FILM, film=ARRAY_FILM, number=number) for number in NUMBERS]
    path.write_bytes(_npy_bytes(np.stack(frames)))


def _cut_film(recipe: Recipe, film: int) -> Callable[[], bytes]:
    def content() -> bytes:
        data = encode(recipe, film=film)
        return damage.cut(
            damage.index_first(data) if recipe.container == "mp4" else data, share=0.85
        )

    return content


def _npy(values: np.ndarray) -> Make:
    return holding(lambda: _npy_bytes(values))


def _npy_bytes(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _claim(shape: tuple[int, ...], kind: str) -> bytes:
    """Give an .npy file whose header claims more than there is."""
    buffer = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(4096)


def _pickled(path: Path) -> None:
    """Write an .npy file that makes a folder beside the corpus where it is unpickled."""
    buffer = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (len(NUMBERS), 2)}
    np.lib.format.write_array_header_1_0(buffer, header)
    # The corpus itself is made under another name than it has later; what holds it is not.
    trap = path.resolve().parents[2] / UNPICKLED
    path.write_bytes(buffer.getvalue() + pickle.dumps(_Trap(str(trap))))


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self._path,)


def _parquet_bytes(columns: Mapping[str, list[str]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), buffer)
    return buffer.getvalue()


def _empty_folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(".")


def _fifo(path: Path) -> None:
    os.mkfifo(path)
