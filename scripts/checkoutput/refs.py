"""Reads a reference cache; the format is that of internal/refcache/doc.go, version 1."""

import os
import struct

import xxhash

HEAD, RECORD_HEAD, CHECKSUM, LOGPS = 52, 24, 4, 1


def key(ids, first):
    return xxhash.xxh3_128(struct.pack(f"<{len(ids) + 1}I", first, *ids)).digest()


def read(folder):
    """The log-probs of the scored tokens by key, of the one cache file in a folder."""
    (name,) = (name for name in os.listdir(folder) if name.endswith(".refs"))
    with open(os.path.join(folder, name), "rb") as f:
        return dict(records(f.read()))


def records(b):
    magic, version, facts = struct.unpack_from("<8sI32xI", b)
    if magic != b"DPOTREFS" or version != 1:
        raise SystemExit(f"not a reference cache of version 1: {magic!r} {version}")
    at = HEAD + facts + CHECKSUM
    while at < len(b):
        length, k = struct.unpack_from("<I16s", b, at)
        field, end = at + RECORD_HEAD, at + length - CHECKSUM
        while field < end:
            tag, n = struct.unpack_from("<HI", b, field)
            field += 6
            if tag == LOGPS:
                yield k, struct.unpack_from(f"<{n // 4}f", b, field)
            field += n
        at += length
