"""Compare internal/tokenizer with the Python packages tokenizers, transformers and sentencepiece. Run it through scripts/check-tokenizers.

    python scripts/checktokenizers write FOLDER [OTHERS...]     a folder for every tokenizer, each with cases.jsonl; also for those in folders of others
    python scripts/checktokenizers golden FOLDER                a small set, for testdata
    python scripts/checktokenizers runes FILE                   what tokenizers says of every character (runes.py)

A line of cases.jsonl is a text with its ids, the text that the ids become, and where they are comparable the characters that each id
stands for. "ids" are without what belongs around a sequence; "around" is with it.
"""

import json
import os
import shutil
import sys
import unicodedata

import sentencepiece
import tokenizers
import transformers

import runes
import texts
import trained

GOLDEN = ["gpt2", "llama3", "qwen", "gpt4o", "deepseek", "possessive", "threes", "flags", "llama2", "gemma", "punctuation", "whitespace", "unigram-bytes", "precompiled-rules", "spm-bpe", "spm-rules", "gpt2-files"]


EVERY_RUNE = ["gpt2", "llama3", "qwen", "gemma"]


def main(what, folder, *others):
    if what == "runes":
        return runes.write(folder)
    golden = what == "golden"
    transformers.utils.logging.set_verbosity_error()
    how = texts.few if golden else texts.texts
    for name, make in trained.trained().items():
        if golden and name not in GOLDEN:
            continue
        t = make()
        write(os.path.join(folder, name), t, {}, how)
        if name in EVERY_RUNE:
            runes.encoded(os.path.join(folder, name), t, golden)
        if name == "gpt2":
            gpt2_files(os.path.join(folder, "gpt2-files"), t, how)
    for name, options in trained.SENTENCEPIECE.items():
        if not golden or name in GOLDEN:
            spm(os.path.join(folder, name), options, how)
    for path in vocabularies(others):
        foreign(folder, path)


def write(path, t, settings, how):
    """A folder of a tokenizer.json, with its cases."""
    os.makedirs(path, exist_ok=True)
    j = json.loads(t.to_str())
    dump(path, "tokenizer.json", j)
    dump(path, "tokenizer_config.json", settings)
    cases(path, t, how)


def untrimmed(j):
    """Offsets without the trimming of the post-processor, which ours do not have."""
    for c in [j["post_processor"] or {}, *(j["post_processor"] or {}).get("processors", [])]:
        if "trim_offsets" in c:
            c["trim_offsets"] = False
    return j


def cases(path, t, how):
    added = [a.content for a in t.get_added_tokens_decoder().values()]
    j = untrimmed(json.loads(t.to_str()))
    t = tokenizers.Tokenizer.from_str(json.dumps(j))
    with open(os.path.join(path, "cases.jsonl"), "w", encoding="utf-8") as f:
        for i, text in enumerate(how(added)):
            e = t.encode(text, add_special_tokens=False)
            case = {"text": text, "ids": e.ids, "decoded": t.decode(e.ids, skip_special_tokens=False)}
            if (plain := t.decode(e.ids)) != case["decoded"]:
                case["plain"] = plain
            if comparable(t, j, text, case["decoded"]):
                case["offsets"] = e.offsets
            if i % 20 == 0:
                case["around"] = t.encode(text).ids
            f.write(json.dumps(case, ensure_ascii=i % 2 == 0, separators=(",", ":")) + "\n")


def comparable(t, j, text, decoded):
    """Whether ids stand for the same characters here and there. They do not where the text is changed by more than a character
    for a character; where bytes have no id, by which their places slip; and where a Unigram model spells unknown characters, by
    which theirs stand for all that are side by side."""
    if len(text) > 1000 or j["model"]["type"] == "Unigram" and j["model"].get("byte_fallback"):
        return False
    if "NF" in json.dumps(j["normalizer"]) and not unicodedata.is_normalized("NFKD", text):
        return False
    if j["decoder"] and j["decoder"]["type"] == "ByteLevel" and decoded.strip().lower() != text.strip().lower():
        return False
    normal = t.normalizer.normalize_str(text) if t.normalizer else text
    return len(normal.removeprefix("▁")) == len(text.removeprefix("▁")) and normal.replace("▁", " ").strip().lower() == text.replace("▁", " ").strip().lower()


def gpt2_files(path, t, how):
    """The same as vocab.json and merges.txt, without tokenizer.json."""
    os.makedirs(path, exist_ok=True)
    t.model.save(path)
    dump(path, "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"})
    dump(path, "config.json", {"model_type": "gpt2"})
    cases(path, transformers.AutoTokenizer.from_pretrained(path).backend_tokenizer, how)
    os.remove(os.path.join(path, "config.json"))


def spm(path, options, how):
    """A tokenizer.model alone, against SentencePiece itself, which does not find its control symbols in a text."""
    os.makedirs(path, exist_ok=True)
    file = os.path.join(path, "tokenizer.model")
    trained.sentencepiece_model(file, **options)
    dump(path, "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    p = sentencepiece.SentencePieceProcessor(model_file=file)
    with open(os.path.join(path, "cases.jsonl"), "w", encoding="utf-8") as f:
        for i, text in enumerate(how(options.get("user_defined_symbols", []))):
            if any(s in text for s in ("<s>", "</s>", "<unk>", "\0")):
                continue
            ids = p.encode(text)
            case = {"text": text, "ids": ids}
            if p.unk_id() not in ids:  # it is decoded as " ⁇ " there, as <unk> by transformers
                case["decoded"] = p.decode(ids)
            f.write(json.dumps(case, ensure_ascii=i % 2 == 0, separators=(",", ":")) + "\n")


def vocabularies(folders):
    """Folders with a tokenizer.json, or with encoder.json, as OpenAI and an npm package name GPT-2's vocab.json."""
    for folder in folders:
        for root, _, files in sorted(os.walk(folder)):
            if "tokenizer.json" in files or "encoder.json" in files:
                yield root


def foreign(folder, path):
    name = next(p for p in reversed(path.split("/")) if p not in ("package", "models"))  # the folders inside of an npm package
    target = os.path.join(folder, "other-" + name)
    os.makedirs(target, exist_ok=True)
    if os.path.exists(os.path.join(path, "encoder.json")):
        shutil.copy(os.path.join(path, "encoder.json"), os.path.join(target, "vocab.json"))
        shutil.copy(os.path.join(path, "vocab.bpe"), os.path.join(target, "merges.txt"))
        dump(target, "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"})
        t = transformers.GPT2Tokenizer.from_pretrained(target).backend_tokenizer
    else:
        shutil.copy(os.path.join(path, "tokenizer.json"), target)
        settings = os.path.join(path, "tokenizer_config.json")
        if os.path.exists(settings):
            shutil.copy(settings, target)
        else:
            dump(target, "tokenizer_config.json", {})
        t = tokenizers.Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
    cases(target, t, texts.texts)


def dump(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.write("\n")


main(*sys.argv[1:])
