"""TFRecord files of tf.train.Example, read without TensorFlow, every checksum verified.

The framing is length, masked CRC-32C of the length, data, masked CRC-32C of the data.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from cvg.errors import UserError

MAX_RECORD = 1 << 26  # bytes; a record of the largest kind read here has 0.8 MB
MASK_DELTA = 0xA282EAD8
INSTALL = "TFRecord files need crc32c and protobuf; install them with `pip install 'cvg[bair]'`"

CUT = "the file ends within it: the file is cut, fetch it again"
BAD_LENGTH = "wrong checksum of its length: the file is damaged, and what follows is lost"
BAD_DATA = "wrong checksum of its data: the file is damaged, fetch it again"
TOO_LONG = f"longer than {MAX_RECORD} bytes; what follows is not read"


@dataclass(frozen=True)
class Damage:
    """A record that cannot be used, and the reason."""

    reason: str


def read_records(path: Path) -> Iterator[bytes | Damage]:
    """Give each record of a file, or why it cannot be used.

    A damaged record is followed by the next one, unless its length is unknown; then, and where
    the file is cut, nothing follows.

    Raises:
        UserError: the file cannot be read, or the package `crc32c` is not installed.
    """
    checksum = _checksum()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            yield from _records(file, size, checksum)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def read_features(data: bytes, names: Iterable[str]) -> dict[str, Sequence[Any]] | None:
    """Give the values of the named features of a serialised tf.train.Example.

    Returns:
        A sequence of bytes or of floats for each name, empty where there are none; None where the
        data are no such message.

    Raises:
        UserError: the package `protobuf` is not installed.
    """
    example_class, decode_error = _example_class()
    try:
        features = example_class.FromString(data).features.feature
    except decode_error:
        return None
    return {name: _values(features, name) for name in names}


def _values(features: Any, name: str) -> Sequence[Any]:
    # Looking up an absent key of a protobuf map would add it.
    if name not in features:
        return ()
    feature = features[name]
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def _records(
    file: BinaryIO, size: int, checksum: Callable[[bytes], int]
) -> Iterator[bytes | Damage]:
    while header := file.read(12):
        if len(header) < 12:
            yield Damage(CUT)
            return
        length, masked = struct.unpack("<QI", header)
        if _mask(checksum(header[:8])) != masked:
            yield Damage(BAD_LENGTH)
            return
        # Looked at before anything of that length is allocated.
        if length > MAX_RECORD or length + 4 > size - file.tell():
            yield Damage(TOO_LONG if length > MAX_RECORD else CUT)
            return
        data, (masked,) = file.read(length), struct.unpack("<I", file.read(4))
        yield data if _mask(checksum(data)) == masked else Damage(BAD_DATA)


def _mask(crc: int) -> int:
    """Mask a checksum, as TFRecord does because data may hold checksums themselves."""
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def _checksum() -> Callable[[bytes], int]:
    try:
        from crc32c import crc32c
    except ImportError as error:
        raise UserError(INSTALL) from error
    return crc32c


@cache
def _example_class() -> tuple[Any, type[Exception]]:
    """Give the class of tf.train.Example, and the error of its parser.

    The fields are declared here, in a pool of their own, so that other declarations of the same
    message in the process do not matter.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise UserError(INSTALL) from error
    text = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example", package="cvg", syntax="proto3")

    def add(message: Any, name: str, number: int, kind: int, *, many: bool = False) -> Any:
        label = text.LABEL_REPEATED if many else text.LABEL_OPTIONAL
        return message.field.add(name=name, number=number, type=kind, label=label)

    def refer(message: Any, name: str, number: int, to: str, *, many: bool = False) -> Any:
        field = add(message, name, number, text.TYPE_MESSAGE, many=many)
        field.type_name = f".cvg.{to}"
        return field

    lists = (("Bytes", text.TYPE_BYTES), ("Float", text.TYPE_FLOAT), ("Int64", text.TYPE_INT64))
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(lists, 1):
        add(file.message_type.add(name=f"{name}List"), "value", 1, kind, many=True)
        refer(feature, f"{name.lower()}_list", number, f"{name}List").oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, text.TYPE_STRING)
    refer(entry, "value", 2, "Feature")
    refer(features, "feature", 1, "Features.FeatureEntry", many=True)
    refer(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("cvg.Example")), DecodeError
