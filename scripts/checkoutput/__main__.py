"""Compare dpotrain's output folders with transformers: python scripts/checkoutput WORK FOLDER... Run it through scripts/check-output.

WORK holds the program, dpotrain, and takes what is written.
"""

import json
import os
import shutil
import subprocess
import sys

import refs
import small_tokenizer

import torch
import transformers
from safetensors.torch import load_file

BOUND = 1e-4  # nats a token
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PLAIN_ROWS = 40  # of testdata/pairs.jsonl; in the rows after them the border of the prompt may lie inside a token


def main(work, folders):
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    data = read_rows("pairs.jsonl")[:PLAIN_ROWS] + [row for row in read_rows("pairs_chat.jsonl") if "prompt" in row]
    table, bad = [("model", "model_type", "save_dtype", "sequences", "tokens", "largest difference", "")], 0
    for folder in model_folders(folders):
        for dtype in DTYPES:
            row, problem = check(work, folder, dtype, data)
            bad += problem != ""
            table.append((os.path.basename(folder), *row, problem))
    widths = [max(len(str(row[i])) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"{len(table) - 1} output folders, model types {', '.join(sorted({row[1] for row in table[1:]}))}; {bad} bad")
    return 1 if bad or len(table) == 1 else 0


def read_rows(file):
    with open(os.path.join("testdata", file), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")
    return path


def model_folders(folders):
    for folder in folders:
        inside = [folder] if os.path.exists(os.path.join(folder, "config.json")) else [e.path for e in os.scandir(folder)]
        yield from sorted(path for path in inside if os.path.exists(os.path.join(path, "config.json")))


def check(work, folder, dtype, data):
    """Train, load, compare. It gives the cells of the table and what is wrong."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    cells = [config["model_type"], dtype, "", "", ""]
    source, out, cache = (os.path.join(work, name) for name in ("model", "out", "refs"))
    for path in (source, out, cache):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder, source)
    if not os.path.exists(os.path.join(source, "tokenizer.json")):
        small_tokenizer.write(source, data, config["vocab_size"])
    if not transformers.AutoTokenizer.from_pretrained(source).chat_template:
        data = [row for row in data if isinstance(row["prompt"], str)]
    path = write_rows(os.path.join(work, "pairs.jsonl"), data)
    limit = config.get("max_position_embeddings") or config["n_positions"]
    rows = ["--data", path, "--max-length", str(min(limit, 128))]
    problem = run(
        work, "train", "--model", source, "--output-dir", out, "--save-dtype", dtype, "--max-steps", "2", "--learning-rate", "1e-3",
        "--lr-scheduler-type", "constant", "--save-steps", "0", "--ref-cache-dir", os.path.join(out, "refs"), *rows,
    )  # fmt: skip
    # The output is a reference now, so that its log-probs of every scored token come into a cache file.
    problem = problem or run(work, "precompute-ref", "--model", out, "--ref-cache-dir", cache, *rows)
    if problem:
        return cells, problem
    ours = refs.read(cache)

    before, after = load_all(source), load_all(out)
    if before.keys() != after.keys():
        return cells, f"tensors differ in name: {sorted(before.keys() ^ after.keys())}"
    if all(torch.equal(before[k].float(), after[k].float()) for k in before):
        return cells, "training changed nothing"
    if {t.dtype for t in after.values()} != {DTYPES[dtype]}:
        return cells, f"tensors of {sorted({str(t.dtype) for t in after.values()})}"
    as_stored = transformers.AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    if as_stored.dtype != DTYPES[dtype]:
        return cells, f"config.json makes transformers load it as {as_stored.dtype}"
    model = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)

    sequences = tokens = missing = 0
    worst = 0.0
    for row in data:
        for side in ("chosen", "rejected"):
            ids, first = encode(tokenizer, row, side)
            ids = ids[: min(limit, 128)]
            if first >= len(ids):
                continue
            want = token_logps(model, ids, first)
            got = ours.get(refs.key(ids, first))
            if got is None or len(got) != len(want):
                missing += 1
                continue
            sequences, tokens = sequences + 1, tokens + len(want)
            worst = max(worst, float((torch.tensor(got) - want).abs().max()))
    cells[2:] = [sequences, tokens, f"{worst:.1e}"]
    if missing:
        return cells, f"{missing} sequences have other ids in dpotrain"
    if sequences < PLAIN_ROWS:
        return cells, "too few sequences: the rest is cut away by max_length"
    return cells, "" if worst <= BOUND else f"more than {BOUND:g}"


def run(work, *args):
    p = subprocess.run([os.path.join(work, "dpotrain"), *args], capture_output=True, text=True)
    return "" if p.returncode == 0 else p.stderr.strip().splitlines()[-1]


def load_all(folder):
    tensors = {}
    for file in os.listdir(folder):
        if file.endswith(".safetensors"):
            tensors.update(load_file(os.path.join(folder, file)))
    return tensors


def encode(tokenizer, row, side):
    """The ids of prompt and completion, and the index of the first scored one."""
    if isinstance(row["prompt"], str):
        prompt = tokenizer(row["prompt"])["input_ids"]
        whole = tokenizer(row["prompt"] + row[side] + tokenizer.eos_token)["input_ids"]
    else:
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(row["prompt"] + row[side], return_dict=False)
    if whole[: len(prompt)] != prompt:
        raise SystemExit(f"the ids of {row['prompt']!r} are not a prefix of those with {row[side]!r}")
    return whole, len(prompt)


def token_logps(model, ids, first):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, first - 1 : -1].float()
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[first:])[:, None])[:, 0]


sys.exit(main(sys.argv[1], sys.argv[2:]))
