"""How values are written."""

import json
import zlib

import numpy as np


def rng(name):
    """A generator of random numbers that depends on the name alone, not on what was drawn for other files."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def shorten(value, digits):
    """value with every float in it rounded to so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {k: shorten(v, digits) for k, v in value.items()}
    if isinstance(value, list):
        return [shorten(v, digits) for v in value]
    return value


def write_json(path, value, digits=10, depth=1):
    """Write JSON: the outer `depth` levels spread over lines, what is inside each on one line."""

    def spread(v, level):
        if level == depth or not isinstance(v, (dict, list)) or not v:
            return json.dumps(v, ensure_ascii=False)
        pad = "\n" + " " * (level + 1)
        if isinstance(v, dict):
            inner = [json.dumps(k) + ": " + spread(x, level + 1) for k, x in v.items()]
            return "{" + pad + ("," + pad).join(inner) + pad[:-1] + "}"
        return "[" + pad + ("," + pad).join(spread(x, level + 1) for x in v) + pad[:-1] + "]"

    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(spread(shorten(value, digits), 0) + "\n")


def write_jsonl(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_jsonl(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]
