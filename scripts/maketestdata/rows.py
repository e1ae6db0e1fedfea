"""Rows in parquet, as pyarrow writes them in several ways, with the JSONL of the same rows."""
import decimal
import json
import os

import pyarrow
import pyarrow.parquet

MESSAGES = pyarrow.list_(pyarrow.struct([("content", pyarrow.string()), ("role", pyarrow.string())]))
SCHEMA = pyarrow.schema([
    ("prompt", pyarrow.string()),
    ("chosen", MESSAGES),
    ("rejected", MESSAGES),
    ("score_chosen", pyarrow.float64()),
    ("score_rejected", pyarrow.float32()),
    ("label", pyarrow.bool_()),
    ("turns", pyarrow.int64()),
    ("votes", pyarrow.uint8()),
    ("price", pyarrow.decimal128(9, 2)),
    ("facts", pyarrow.map_(pyarrow.string(), pyarrow.list_(pyarrow.int32()))),
    ("source", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
    ("meta", pyarrow.struct([("tags", pyarrow.list_(pyarrow.string())), ("inner", pyarrow.struct([("n", pyarrow.int32())]))])),
])


def row(i):
    """One row; nulls, empty lists and missing structs fall on different rows."""
    def talk(side):
        messages = [{"content": f"Question {i}?", "role": "user"}, {"content": f"{side} \u00e9\U0001f600 \"{i}\"\n\\", "role": "assistant"}]
        return messages if i % 5 else [{"content": "", "role": "system"}] + messages
    return {
        "prompt": None if i % 4 == 3 else f"Question {i}?",
        "chosen": talk("yes"),
        "rejected": talk("no"),
        "score_chosen": i / 3,
        "score_rejected": None if i % 6 == 5 else i / 4,
        "label": None if i % 3 == 2 else i % 2 == 0,
        "turns": i - 2**40,
        "votes": 250 + i % 5,
        "price": decimal.Decimal(i - 7) / 100,
        "facts": None if i % 7 == 6 else [(f"k{j}", None if j == 1 else list(range(j))) for j in range(i % 4)],
        "source": ["evol", "flan", None][i % 3],
        "meta": None if i % 8 == 7 else {"tags": [None, [], ["a"], ["a", None, "c"]][i % 4], "inner": None if i % 2 else {"n": i}},
    }


def as_json(r):
    """The row as JSON: maps are objects, decimals numbers, and a float32 has its value in full."""
    r = dict(r)
    if r["facts"] is not None:
        r["facts"] = dict(r["facts"])
    r["price"] = float(r["price"])
    if r["score_rejected"] is not None:
        r["score_rejected"] = pyarrow.scalar(r["score_rejected"], pyarrow.float32()).as_py()
    return json.dumps(r, ensure_ascii=False)


def write(out):
    os.makedirs(out)
    rows = [row(i) for i in range(60)]
    table = pyarrow.Table.from_pylist(rows, schema=SCHEMA)
    with open(os.path.join(out, "rows.jsonl"), "w", encoding="utf-8") as f:
        f.writelines(as_json(r) + "\n" for r in rows)
    for name, options in {
        "snappy": {"row_group_size": 25},
        "zstd-v2": {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 25, "data_page_size": 512},
        "gzip-plain": {"compression": "gzip", "use_dictionary": False, "data_page_size": 64, "write_batch_size": 4},
        "none-old-lists": {"compression": "none", "use_compliant_nested_type": False, "store_schema": False},
        "delta": {"use_dictionary": False, "column_encoding": {"turns": "DELTA_BINARY_PACKED", "prompt": "DELTA_LENGTH_BYTE_ARRAY"}},
    }.items():
        pyarrow.parquet.write_table(table, os.path.join(out, name + ".parquet"), **options)
