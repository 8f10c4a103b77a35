"""The records of HWP 5: tags, nesting, streams, and the cipher of distribution documents. Knows no meaning of them.

Source: Hancom, "한글 문서 파일 형식 5.0" revision 1.3 (records, 2.3 and 4.1–4.3) and "배포용 문서" revision 1.2
(the cipher), both published by Hancom for free use.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from inhouse.core.errors import UnreadableDocument
from inhouse.docs.loaders.package import SAVE_AGAIN

DISTRIBUTION_DATA = 28
_LONG = 0xFFF
_KEY_DATA = 256


@dataclass(slots=True)
class Record:
    """One record with the records below it."""

    tag: int
    data: bytes
    children: list[Record] = field(default_factory=list)

    def u16(self, offset: int) -> int:
        """A number of two bytes; 0 where the record is too short, as those of older versions are."""
        return int.from_bytes(self.data[offset : offset + 2], "little")

    def u32(self, offset: int) -> int:
        """A number of four bytes; 0 where the record is too short."""
        return int.from_bytes(self.data[offset : offset + 4], "little")


def read_tree(data: bytes) -> list[Record]:
    """The records of a stream, those of a higher level under the one before."""
    roots: list[Record] = []
    path: list[tuple[int, Record]] = []
    for level, record in _records(data):
        while path and path[-1][0] >= level:
            path.pop()
        (path[-1][1].children if path else roots).append(record)
        path.append((level, record))
    return roots


def _records(data: bytes) -> Iterator[tuple[int, Record]]:
    at = 0
    while at + 4 <= len(data):
        (head,) = struct.unpack_from("<I", data, at)
        at += 4
        size = head >> 20
        if size == _LONG:
            size = int.from_bytes(data[at : at + 4], "little")
            at += 4
        if at + size > len(data):
            raise UnreadableDocument("The document is cut off", why="a record goes past its end", do=SAVE_AGAIN)
        yield head >> 10 & 0x3FF, Record(head & 0x3FF, data[at : at + size])
        at += size


def inflate(data: bytes, limit: int) -> bytes:
    """A compressed stream, up to a size."""
    unpacker = zlib.decompressobj(-15)
    try:
        text = unpacker.decompress(data, limit)
    except zlib.error as error:
        raise UnreadableDocument("The document is broken", why=str(error), do=SAVE_AGAIN) from None
    if unpacker.unconsumed_tail:
        raise UnreadableDocument("The document unpacks to more than is allowed", why="it may be a zip bomb")
    return text


def decipher(stream: bytes) -> bytes:
    """A stream of a distribution document. Its key is in its first record, hidden but not secret."""
    key_record = next((record for _, record in _records(stream[: 4 + _KEY_DATA])), None)
    if key_record is None or key_record.tag != DISTRIBUTION_DATA or len(key_record.data) != _KEY_DATA:
        raise UnreadableDocument("The distribution document is broken", why="its key is missing", do=SAVE_AGAIN)
    seed = key_record.u32(0)
    plain = bytearray(key_record.data)
    state, left, mask = seed, 0, 0

    def random() -> int:  # the C runtime's rand()
        nonlocal state
        state = (state * 214013 + 2531011) & 0xFFFFFFFF
        return state >> 16 & 0x7FFF

    for place in range(_KEY_DATA):
        if left == 0:
            mask, left = random() & 0xFF, (random() & 0xF) + 1
        if place >= 4:
            plain[place] ^= mask
        left -= 1
    offset = 4 + (seed & 0xF)
    key = bytes(plain[offset : offset + 16])
    body = stream[4 + _KEY_DATA :]
    # The format fixes this mode.
    decryptor = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305
    return decryptor.update(body[: len(body) // 16 * 16]) + decryptor.finalize()
