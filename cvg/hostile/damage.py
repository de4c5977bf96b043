"""Damage to the bytes of a film: cuts, flips, and MP4 boxes that lie."""

import zlib

import numpy as np

ONE = 1 << 16  # 1.0 in the 16.16 numbers of an MP4 matrix
HEADERS = ("mvhd", "tkhd", "mdhd")
DURATION_AT = {"mvhd": 20, "tkhd": 24, "mdhd": 20, "elst": 12}  # behind the name of the box


def cut(data: bytes, *, share: float) -> bytes:
    """Keep the first `share` of the bytes."""
    return data[: int(len(data) * share)]


def flip(data: bytes, *, count: int = 60) -> bytes:
    """Invert `count` bytes of the media data of an MP4, behind its first fifth."""
    broken = bytearray(data)
    start = data.index(b"mdat") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big") - 8
    places = np.random.default_rng(0).integers(size // 5, size, count)
    for place in places:
        broken[start + int(place)] ^= 0xFF
    return bytes(broken)


def turn(data: bytes, *, turns: int, width: int, height: int) -> bytes:
    """Patch the display matrix of an MP4: players turn the picture clockwise by `turns` quarters.

    Args:
        data: the file.
        turns: 1 to 3.
        width: pixels as stored.
        height: pixels as stored.
    """
    a, b, c, d, x, y = {
        1: (0, 1, -1, 0, height, 0),
        2: (-1, 0, 0, -1, width, height),
        3: (0, -1, 1, 0, 0, width),
    }[turns]
    values = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, x * ONE, y * ONE, 1 << 30]
    start = data.index(b"tkhd") + 4 + 40
    return _patch(data, start, b"".join(value.to_bytes(4, "big", signed=True) for value in values))


def index_first(data: bytes) -> bytes:
    """Move the index of an MP4 before its media data, as for streaming."""
    start = data.index(b"moov") - 4
    index = bytearray(data[start:])
    table = index.index(b"stco") + 8
    for number in range(int.from_bytes(index[table : table + 4], "big")):
        place = table + 4 + 4 * number
        offset = int.from_bytes(index[place : place + 4], "big") + len(index)
        index[place : place + 4] = offset.to_bytes(4, "big")
    head = data.index(b"mdat") - 4
    return data[:head] + bytes(index) + data[head:start]


def claim_samples(data: bytes, *, count: int) -> bytes:
    """Let the table of sample sizes of an MP4 claim `count` samples."""
    return _patch(data, data.index(b"stsz") + 12, count.to_bytes(4, "big"))


def claim_seconds(data: bytes, *, seconds: float, edits: bool) -> bytes:
    """Let all headers of an MP4 claim a length; `edits`: its edit list as well."""
    scales = {name: _scale(data, name) for name in ("mvhd", "mdhd")}
    for name in (*HEADERS, *(["elst"] if edits else [])):
        ticks = round(seconds * scales["mdhd" if name == "mdhd" else "mvhd"])
        data = _patch(data, data.index(name.encode()) + DURATION_AT[name], ticks.to_bytes(4, "big"))
    return data


def claim_png_size(png: bytes, side: int) -> bytes:
    """Let the header of a PNG file claim a square; its checksum is that of the lie."""
    header = png[12:16] + 2 * side.to_bytes(4, "big") + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


def rename_codec(data: bytes) -> bytes:
    """Give the codec of an MP4 with H.264 a name that stands for none."""
    return _patch(data, data.index(b"avc1", data.index(b"stsd")), b"zzzz")


def make_transparent(gif: bytes, *, colour: int) -> bytes:
    """Let one colour of a GIF's palette be transparent, in all frames."""
    parts = gif.split(b"\x21\xf9\x04")
    changed = [bytes([part[0] | 1]) + part[1:3] + bytes([colour]) + part[4:] for part in parts[1:]]
    return b"\x21\xf9\x04".join([parts[0], *changed])


def _scale(data: bytes, name: str) -> int:
    start = data.index(name.encode()) + 16
    return int.from_bytes(data[start : start + 4], "big")


def _patch(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]
