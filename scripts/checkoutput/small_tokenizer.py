"""A byte-level BPE tokenizer for models that come without one."""

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>"]
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"


def write(folder, rows, size):
    """Train it on the rows' text and put it into a model folder: size ids at most, which is few but enough for plain English."""
    t = tokenizers.Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    texts = [text for row in rows for text in strings(row)] + ["system: user: assistant: \n"]
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False))
    if t.get_vocab_size() > size:
        raise SystemExit(f"{folder}: vocab_size {size} is too small for the test rows: {t.get_vocab_size()} ids are needed")
    t.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=t, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>", chat_template=TEMPLATE
    ).save_pretrained(folder)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)
