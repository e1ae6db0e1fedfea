"""Reads parquet files of dpotrain with pyarrow and datasets. Run it through scripts/check-parquet."""

import json
import os
import random
import subprocess
import sys

import datasets
import pyarrow
import pyarrow.parquet

NUMBERS = ["weight", "chosen_score", "rejected_score", "margin"]
ODD = ["", " ", "a\nb\r\n\tc", "\u0000\u0001\u007f", "Grüße, 日本語, 👩‍👩‍👧 e\u0301 \u202e", "\ufeff<|eos|>", 'quotes " and \\ and </s>', "\u2028\ufffd", "x" * 100_000]


def main(work, *files):
    datasets.disable_progress_bars()
    failed = 0
    print(f"pyarrow {pyarrow.__version__}, datasets {datasets.__version__}\n")
    print(f"{'rows':34} {'form':9} {'kind':9} {'rows':>6} {'groups':>6} {'nulls':>6}  differences")
    for name, rows, options in made_up():
        path = os.path.join(work, "rows.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            for row in rows:
                f.write(json.dumps(row, ensure_ascii=len(rows) % 2 == 0) + "\n")
        failed += check(work, name, path, options, rows if name.startswith("as they are") else None)
    for path in files:
        done = [check(work, os.path.basename(path), path, ["--form", form], None, optional=True) for form in ["pairs", "unpaired"]]
        failed += sum(d or 0 for d in done)
        if all(d is None for d in done):
            sys.exit(f"{path}: neither pairs nor unpaired rows")
    if failed:
        sys.exit(f"{failed} differences")


def check(work, name, path, options, source, optional=False):
    """Converts rows both ways and prints a line of the table; None if they cannot be converted and that is optional."""
    files = [os.path.join(work, "out.jsonl"), os.path.join(work, "out.parquet")]
    for file in files:
        done = subprocess.run([os.path.join(work, "dpotrain"), "data", "convert", "--data", path, "--to", file, "--overwrite", *options], capture_output=True, text=True)
        if done.returncode != 0:
            if optional:
                print(f"{name:34} {options[-1]:9} {done.stderr.strip()}")
                return None
            sys.exit(f"{name}: {done.stderr}")
    with open(files[0], encoding="utf-8") as f:
        want = [json.loads(line) for line in f]
    if source is not None and want != source:
        sys.exit(f"{name}: convert changes rows")
    unpaired = "label" in want[0]
    texts = ["prompt", "completion"] if unpaired else ["prompt", "chosen", "rejected"]
    columns = texts + ["label"] * unpaired + NUMBERS
    want = [{c: float(row[c]) if c in NUMBERS and row.get(c) is not None else row.get(c) for c in columns} for row in want]
    chat = isinstance(want[0]["prompt"], list)

    table = pyarrow.parquet.read_table(files[1])
    found = types(table.schema, columns, chat) + compare("pyarrow", table.to_pylist(), want)
    read = datasets.load_dataset("parquet", data_files=files[1], split="train", cache_dir=os.path.join(work, "cache"))
    if read.features != features(columns, chat):
        found.append(f"datasets: features {read.features}, want {features(columns, chat)}")
    found += compare("datasets", list(read), want)
    nulls = sum(value is None for row in want for value in row.values())
    groups = pyarrow.parquet.ParquetFile(files[1]).num_row_groups
    print(f"{name:34} {'unpaired' if unpaired else 'pairs':9} {'messages' if chat else 'text':9} {len(want):6} {groups:6} {nulls:6}  {len(found) or 'none'}")
    for text in found[:5]:
        print("  " + text[:400])
    return len(found)


def types(schema, columns, chat):
    """What differs in names, types and nullability."""
    found = [] if schema.names == columns else [f"pyarrow: columns {schema.names}, want {columns}"]
    for field in schema:
        if field.name in NUMBERS:
            right = field.type == pyarrow.float64() and field.nullable
        elif field.name == "label":
            right = field.type == pyarrow.bool_() and not field.nullable
        elif not chat:
            right = field.type == pyarrow.string() and not field.nullable
        else:
            of = field.type.value_type if pyarrow.types.is_list(field.type) else None
            right = of is not None and pyarrow.types.is_struct(of) and [(f.name, f.type) for f in of] == [("role", pyarrow.string()), ("content", pyarrow.string())] and not field.nullable
        if not right:
            found.append(f"pyarrow: {field}")
    return found


def features(columns, chat):
    text = datasets.Value("string")
    if chat:
        text = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
    kinds = {"label": datasets.Value("bool"), **{n: datasets.Value("float64") for n in NUMBERS}}
    return datasets.Features({c: kinds.get(c, text) for c in columns})


def compare(by, got, want):
    if len(got) != len(want):
        return [f"{by}: {len(got)} rows, want {len(want)}"]
    # repr tells -0.0 from 0.0, and True from 1.0
    return [f"{by}: row {i + 1}: {a}, want {b}" for i, (a, b) in enumerate(zip(got, want)) if repr(a) != repr(b)]


def made_up():
    """Rows by name, and the options of convert."""
    def said(role, text):
        return {"role": role, "content": text}

    def asked(text, system=False):
        return [said("system", "Be brief.")] * system + [said("user", text)]

    n = len(ODD)
    text = [{"prompt": ODD[i], "chosen": ODD[(i + 1) % n], "rejected": ODD[(i + 2) % n]} for i in range(n)]
    chat = [{"prompt": asked(ODD[i], i % 2), "chosen": [said("assistant", ODD[(i + 1) % n])], "rejected": [said("assistant", ODD[(i + 2) % n])]} for i in range(n)]
    long = [{"prompt": asked("a") + [said("assistant", "b"), said("user", "c")] * 50, "chosen": [said("assistant", "d")], "rejected": [said("assistant", "e"), said("user", "f"), said("assistant", "g")]}]
    numbers = [1, 0.1, -0.0, 1e300, 5e-324, -2 ** 53, None]
    scores = [{**row, "chosen_score": numbers[i % 7], "rejected_score": numbers[(i + 3) % 7]} for i, row in enumerate(text * 3)]
    some = [{**row, **[{}, {"weight": 0.5}, {"margin": 2}, {"weight": 2, "chosen_score": 1, "rejected_score": None}][i % 4]} for i, row in enumerate(text)]
    yield "as they are", text, []
    yield "as they are, messages", chat + long, []
    yield "as they are, scores and nulls", scores, []
    yield "as they are, messages with scores", [{**row, "margin": i - 3.5} for i, row in enumerate(chat)], []
    yield "numbers of some rows", some, []
    yield "other columns", [{**row, "id": i, "meta": {"a": [1]}, "tag": "x"} for i, row in enumerate(text)], []
    yield "prompt in both sides", [{"chosen": "The cat " + t, "rejected": "The cat ran" + t} for t in ODD], []
    yield "messages, prompt in both sides", [{"chosen": r["prompt"] + r["chosen"], "rejected": r["prompt"] + r["rejected"]} for r in chat if r["chosen"] != r["rejected"]], []
    yield "pairs taken apart", some, ["--form", "unpaired"]
    yield "messages, pairs taken apart", chat, ["--form", "unpaired"]
    yield "as they are, unpaired", [{"prompt": t, "completion": ODD[n - 1 - i], "label": i % 2 == 0} for i, t in enumerate(ODD)], ["--form", "unpaired"]
    yield "as they are, unpaired messages", [{"prompt": asked(t), "completion": [said("assistant", t)], "label": i % 3 == 0, "weight": 0.25} for i, t in enumerate(ODD)], ["--form", "unpaired"]
    ranked = [{"prompt": t, "completions": [str(i), t + "b", t + "c", ""], "scores": [3, -1.5, 2, i]} for i, t in enumerate(ODD)]
    plain = [{"prompt": t, "completions": [t + "a", "b", "c"]} for t in ODD]
    yield "ranked", ranked, ["--ranked-pairs", "all"]
    yield "ranked, and pairs", ranked + text, []
    yield "ranked, without scores", plain, ["--ranked-pairs", "adjacent"]
    yield "ranked messages", [{"prompt": asked(r["prompt"]), "completions": [[said("assistant", c)] for c in r["completions"]], "scores": r["scores"]} for r in ranked], ["--ranked-pairs", "all"]
    yield "ranked, taken apart", ranked, ["--form", "unpaired"]
    draw = random.Random(1)
    words = [f"{draw.getrandbits(40):x}" for _ in range(1000)]
    yield "many", [{"prompt": str(i), "chosen": " ".join(draw.choices(words, k=100)), "rejected": " ".join(draw.choices(words, k=100)), "weight": i / 7 if i % 3 else None} for i in range(50_000)], []


if __name__ == "__main__":
    main(*sys.argv[1:])
