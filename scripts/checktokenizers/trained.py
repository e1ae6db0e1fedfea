"""Small tokenizers of every kind that internal/tokenizer reads, trained on the text of this repository."""

import io
import json
import pathlib
import random
import tempfile

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

import texts

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{%s}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])  # fmt: skip
DEEPSEEK = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
POSSESSIVE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
GROUPS_OF_THREE = r"\d{1,3}(?=(?:\d{3})*\b)"
RULES = str(pathlib.Path(__file__).parent / "rules.tsv")
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def corpus():
    rng = random.Random(7)
    return list(texts.lines(rng, 3000)) + texts.WORDS * 3 + texts.MARKS + texts.EMOJI


def bpe(size, alphabet, special, **model):
    t = tokenizers.Tokenizer(models.BPE(**model))
    return t, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=special, limit_alphabet=400, show_progress=False)


def byte_level(size, special, *split, normalizer=None, post=None, use_regex=False, add_prefix_space=False, **model):
    t, trainer = bpe(size, BYTES, special, **model)
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence([*split, pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainer)
    if post:
        t.post_processor = post
    return t


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def precompiled(size, rules):
    """What transformers makes of T5's model: Unigram behind SentencePiece's own normalization."""
    with tempfile.NamedTemporaryFile(suffix=".model") as f:
        sentencepiece_model(f.name, "unigram", 400, **rules)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(open(f.name, "rb").read())
    n = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    return unigram(size, n, pre_tokenizers.Metaspace(), decoders.Metaspace())


def byte_pieces():
    return [f"<0x{b:02X}>" for b in range(256)]


def llama2(size):
    t, trainer = bpe(size, [], ["<unk>", "<s>", "</s>", *byte_pieces()], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = split(r"(?=▁)", "isolated")  # only while it is trained
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.train_from_iterator(corpus(), trainer)
    t.post_processor = template("<s> $A", [("<s>", 1)])
    return edited(t, lambda j: j.update(pre_tokenizer=None, added_tokens=j["added_tokens"][:3]))


def gemma(size):
    t, trainer = bpe(size, [], ["<pad>", "<eos>", "<bos>", "<unk>", *byte_pieces()], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = split(r"(?=▁)")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.train_from_iterator(corpus(), trainer)
    t.post_processor = template("<bos> $A", [("<bos>", 2)])
    t.add_tokens([AddedToken(x, normalized=False) for x in ("\n\n", "\n\n\n", "  ▁")])
    t.add_special_tokens(["<start_of_turn>", "<end_of_turn>"])
    pre = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return edited(t, lambda j: j.update(pre_tokenizer=pre, added_tokens=[a for a in j["added_tokens"] if not a["content"].startswith("<0x")]))


def template(single, special):
    return processors.TemplateProcessing(single=single, special_tokens=special)


def edited(t, change):
    j = json.loads(t.to_str())
    change(j)
    return tokenizers.Tokenizer.from_str(json.dumps(j))


def flags():
    """Added tokens with every flag, some of which touch each other."""
    t = byte_level(420, CHATML, pre_tokenizers.Digits(individual_digits=True), normalizer=normalizers.Lowercase(), use_regex=True)
    t.add_special_tokens([AddedToken("<L>", lstrip=True), AddedToken("<R>", rstrip=True), AddedToken("<LR>", lstrip=True, rstrip=True)])
    t.add_tokens([
        AddedToken("Cab", single_word=True, normalized=False), AddedToken("Café", normalized=True),
        AddedToken("UPPER", normalized=True, lstrip=True), AddedToken("<R>>", normalized=False), AddedToken("one", single_word=True, rstrip=True),
    ])  # fmt: skip
    return t


def punctuation(size):
    """The components that no model above has."""
    t, trainer = bpe(size, [], ["<unk>", "<cls>", "<sep>"], unk_token="<unk>")
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(), normalizers.Replace(Regex(r"[‘’]|''"), "'")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(False)])
    t.train_from_iterator(corpus(), trainer)
    t.post_processor = processors.RobertaProcessing(("<sep>", 2), ("<cls>", 1), trim_offsets=False, add_prefix_space=False)
    t.decoder = decoders.Fuse()
    return t


def whitespace(size):
    t, trainer = bpe(size, [], ["<unk>", "<cls>", "<sep>"], unk_token="<unk>", fuse_unk=True)
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.NFKC()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next")])
    t.train_from_iterator(corpus(), trainer)
    t.post_processor = processors.BertProcessing(("<sep>", 2), ("<cls>", 1))
    return t


def trained():
    """name -> a function that makes it"""
    eos = template("$A <|im_end|>", [("<|im_end|>", 2)])
    return {
        "gpt2": lambda: byte_level(600, ["<|endoftext|>"], use_regex=True, post=processors.ByteLevel(trim_offsets=False)),
        "prefix-space": lambda: byte_level(420, ["<|endoftext|>"], use_regex=True, add_prefix_space=True),
        "smollm": lambda: byte_level(500, CHATML, pre_tokenizers.Digits(individual_digits=True), use_regex=True),
        "llama3": lambda: byte_level(600, CHATML, split(GPT4 % "1,3"), post=template("<|endoftext|> $A", [("<|endoftext|>", 0)]), ignore_merges=True),
        "qwen": lambda: byte_level(600, CHATML, split(GPT4 % "1"), normalizer=normalizers.NFC(), post=eos),
        "gpt4o": lambda: byte_level(500, CHATML, split(GPT4O)),
        "deepseek": lambda: byte_level(500, CHATML, split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(DEEPSEEK)),
        "possessive": lambda: byte_level(400, CHATML, split(POSSESSIVE)),
        "bloom": lambda: byte_level(400, CHATML, split(BLOOM)),
        "threes": lambda: byte_level(400, CHATML, split(GROUPS_OF_THREE, "removed", True), normalizer=normalizers.NFKC()),
        "flags": flags,
        "llama2": lambda: llama2(700),
        "gemma": lambda: gemma(700),
        "punctuation": lambda: punctuation(600),
        "whitespace": lambda: whitespace(500),
        "unigram": lambda: unigram(500, normalizers.NFKC(), pre_tokenizers.Metaspace(), decoders.Metaspace()),
        "precompiled": lambda: precompiled(500, dict(normalization_rule_name="nmt_nfkc")),
        "precompiled-rules": lambda: precompiled(400, dict(normalization_rule_tsv=RULES)),
        "unigram-bytes": lambda: unigram_bytes(700),
    }


def unigram(size, normalizer, pre_tokenizer, decoder):
    t = tokenizers.Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre_tokenizer, decoder
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False)
    t.train_from_iterator(corpus(), trainer)
    t.post_processor = template("<s> $A </s>", [("<s>", 1), ("</s>", 2)])
    return t


def unigram_bytes(size):
    """A Unigram model with byte fallback that puts no space in front."""
    t = unigram(size - 256, normalizers.Replace(" ", "▁"), pre_tokenizers.Metaspace(prepend_scheme="never", split=True), decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]))

    def change(j):
        j["model"]["vocab"] += [[b, 0.0] for b in byte_pieces()]
        j["model"]["byte_fallback"] = True

    return edited(t, change)


def sentencepiece_model(path, kind, size, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in corpus() for line in text.split("\n")), model_writer=model, model_type=kind,
        vocab_size=size, minloglevel=2, num_threads=1, character_coverage=0.99, hard_vocab_limit=False, **options,
    )  # fmt: skip
    with open(path, "wb") as f:
        f.write(model.getvalue())


# name -> what SentencePiece is trained with
SENTENCEPIECE = {
    "spm-bpe": dict(kind="bpe", size=700, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, user_defined_symbols=["<sep>", "==="], split_digits=True),
    "spm-gemma": dict(kind="bpe", size=700, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False, allow_whitespace_only_pieces=True),
    "spm-bpe-nfkc": dict(kind="bpe", size=500, normalization_rule_name="nmt_nfkc"),
    "spm-unigram": dict(kind="unigram", size=500, normalization_rule_name="nmt_nfkc_cf", user_defined_symbols=["<sep>"]),
    "spm-unigram-bytes": dict(kind="unigram", size=700, byte_fallback=True, normalization_rule_name="identity"),
    "spm-rules": dict(kind="unigram", size=400, normalization_rule_tsv=RULES),
}
