"""Token ids of preference rows by TRL's own preparation. Run it through scripts/check-data.

    python scripts/checkdata golden OUTPUT               the rows of rows.py
    python scripts/checkdata write OUTPUT MODEL FILE...  those of JSONL files

OUTPUT gets, for each group of rows and each length, what a row comes to: null where TRL leaves it out, a text where TRL stops, else its sequences,
chosen and rejected or the one completion, each with the place of the first id that is scored, or null for one that TRL leaves out.
"""

import json
import logging
import os
import sys
import tempfile
import types
import warnings

import datasets
import tokenizers
import transformers
import trl
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

COLUMNS = ["prompt", "chosen", "rejected", "completion", "label", "text", "tools", "chat_template_kwargs"]
TRAINERS = {"dpo": (trl.DPOTrainer, trl.DPOConfig), "kto": (trl.KTOTrainer, trl.KTOConfig), "sft": (trl.SFTTrainer, trl.SFTConfig)}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main(command, output, *rest):
    logging.disable(logging.WARNING)  # of prompts that end inside a token, once a group
    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    datasets.disable_caching()
    if command == "golden":
        from rows import groups
        model, lengths = "models/llama", [(0, "keep_start"), (20, "keep_start"), (20, "keep_end")]
        folder, sets = os.path.join(ROOT, "testdata", model), groups()
    else:
        model, lengths = rest[0], [(0, "keep_start"), (128, "keep_start"), (128, "keep_end")]
        folder, sets = model, [(*s, {}) for path in rest[1:] for s in sets_of(path)]
    found = []
    for name, form, rows, change in sets:
        tokenizer, other = load(folder)
        if "chat_template" in change:
            tokenizer.chat_template = change["chat_template"]
        if "post_processor" in change:
            tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(**change["post_processor"])
            change = {"post_processor": json.loads(tokenizer.backend_tokenizer.to_str())["post_processor"]}
        group = {"name": name, "model": model, **change, "form": form, "rows": rows, "lengths": []}
        for max_length, mode in lengths:
            if form == "kto" and mode == "keep_end":
                continue  # which TRL has not
            made = prepare(tokenizer, form, rows, max_length, mode)
            group["lengths"].append({"max_length": max_length, "truncation_mode": mode, "made": made})
        if other:
            by_class = prepare(other, form, rows, 0, "keep_start")
            group["other_class"] = [i for i, made in enumerate(group["lengths"][0]["made"]) if made != by_class[i]]
        found.append(group)
    with open(output, "w", encoding="utf-8") as f:
        write({"made by": f"scripts/check-data with TRL {trl.__version__}, transformers {transformers.__version__}", "groups": found}, f)
    print(f"{output}: {sum(len(g['rows']) for g in found)} rows in {len(found)} groups, {model}")


def sets_of(path):
    """The rows of a file for each trainer that takes them."""
    with open(path, encoding="utf-8") as f:
        rows = [{k: v for k, v in json.loads(line).items() if k in COLUMNS and v is not None} for line in f if line.strip()]
    forms = ["dpo", "kto"] if "chosen" in rows[0] else ["kto", "sft"] if "label" in rows[0] else ["sft"]
    return [(os.path.basename(path), form, rows) for form in forms]


def load(folder):
    """The tokenizer that tokenizer.json says, and that of TRL where the class in tokenizer_config.json splits text in another way."""
    by_class = transformers.AutoTokenizer.from_pretrained(folder)
    by_file = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    pieces = lambda t: json.loads(t.backend_tokenizer.to_str())["pre_tokenizer"]
    return (by_class, None) if pieces(by_class) == pieces(by_file) else (by_file, by_class)


def prepare(tokenizer, form, rows, max_length, mode):
    """What becomes of each row; a row at which TRL stops is told by giving it every row alone."""
    try:
        return prepare_all(tokenizer, form, rows, max_length, mode)
    except Exception as e:
        if len(rows) == 1:
            return [f"{type(e).__name__}: {e}"]
        return [made for row in rows for made in prepare(tokenizer, form, [row], max_length, mode)]


def prepare_all(tokenizer, form, rows, max_length, mode):
    trainer, config = TRAINERS[form]
    truncation = {} if form == "kto" else {"truncation_mode": mode}
    pad = tokenizer.pad_token_id or 0  # padding is taken away again
    length = max_length or None
    with tempfile.TemporaryDirectory() as folder:
        args = config(output_dir=folder, report_to="none", bf16=False, use_cpu=True, max_length=length, **truncation)
        # What the preparation asks of a trainer.
        self = types.SimpleNamespace(_tokenizer=tokenizer, calculate_KL=False, desirable_weight=1, undesirable_weight=1, chat_template=None, completion_only_loss="prompt" in rows[0])
        dataset = datasets.Dataset.from_list([row | {"row": i} for i, row in enumerate(rows)])
        rest = (False, None) if form == "sft" else ()  # no packing, no function for the format
        dataset = trainer._prepare_dataset(self, dataset, tokenizer, args, *rest, "train")
    made = [None] * len(rows)
    if form == "dpo":
        collate = DataCollatorForPreference(pad, length, mode)
        for example in dataset:
            made[example["row"]] = sequences(collate([example]))
    elif form == "kto":
        collate = DataCollatorForUnpairedPreference(pad, length)
        for example in dataset:
            i = example["row"]
            sides = 2 if "chosen" in rows[i] else 1
            made[i] = made[i] or [None] * sides  # of which TRL may leave out one
            [made[i][0 if example["label"] else sides - 1]] = sequences(collate([example]))
    else:
        for example in dataset:
            scored = [label != -100 for label in example["labels"]]
            made[example["row"]] = [sequence(example["input_ids"], scored)]
    return made


def sequences(batch):
    every = zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["completion_mask"].tolist())
    return [sequence(ids[: sum(attention)], mask) for ids, attention, mask in every]


def sequence(ids, mask):
    """The first id is never scored, for the losses of TRL shift the mask."""
    first = next(i for i in range(len(ids) + 1) if i == len(ids) or mask[i])
    return {"first": max(first, 1), "ids": ids}


def write(found, f):
    """JSON with a line for each row and each thing that became of one."""
    groups = found.pop("groups")
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    lines = lambda values: "[\n" + ",\n".join(map(dump, values)) + "]"
    texts = []
    for group in groups:
        head = dump({k: v for k, v in group.items() if k not in ("rows", "lengths")})[:-1]
        lengths = [dump({k: v for k, v in length.items() if k != "made"})[:-1] + ',"made":' + lines(length["made"]) + "}" for length in group["lengths"]]
        texts.append(head + ',"rows":' + lines(group["rows"]) + ',"lengths":[' + ",\n".join(lengths) + "]}")
    f.write(dump(found)[:-1] + ',"groups":[\n' + ",\n".join(texts) + "]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
