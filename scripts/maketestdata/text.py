"""Preference pairs of made-up sentences, a byte-level BPE tokenizer trained on them, and what it makes of them."""

import os

import tokenizers
import transformers

from files import rng, write_json, write_jsonl
from models import TOKENIZER_VOCAB

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# The chosen completions are cheerful and the rejected ones gloomy, with words in common, so that there is something to learn.
WHO = ["fox", "owl", "cat", "mouse", "bear", "hen"]
KIND = ["red", "small", "old", "quick", "shy"]
PLACE = ["river", "hill", "barn", "garden", "wood"]
THING = ["lamp", "kite", "drum", "coin", "shell"]
GOOD = ["smiled", "sang", "danced", "laughed", "thanked all"]
BAD = ["cried", "hid", "sighed", "fell ill", "lost all"]
GOOD_END = ["It was a bright day.", "All were glad.", "The sun was warm."]
BAD_END = ["It was a dark day.", "All were sad.", "The rain was cold."]


class Writer:
    def __init__(self, name):
        self.random = rng(name)

    def pick(self, words):
        return words[int(self.random.integers(len(words)))]

    def opening(self):
        return f"The {self.pick(KIND)} {self.pick(WHO)} took a {self.pick(THING)} to the {self.pick(PLACE)}."

    def ending(self, verbs, ends):
        text = f"The {self.pick(WHO)} {self.pick(verbs)} by the {self.pick(PLACE)}."
        return text + " " + self.pick(ends) if self.random.random() < 0.6 else text

    def pair(self):
        return dict(prompt=self.opening(), chosen=" " + self.ending(GOOD, GOOD_END), rejected=" " + self.ending(BAD, BAD_END))

    def chat(self, i):
        """A conversation of one to three turns, some with a system message; every third has its prompt inside both sides."""
        prompt = [dict(role="system", content="You tell short, glad tales.")] if i % 4 == 1 else []
        for _ in range(int(self.random.integers(0, 2))):
            prompt += [dict(role="user", content=self.opening()), dict(role="assistant", content=self.ending(GOOD, GOOD_END))]
        prompt.append(dict(role="user", content="What did the " + self.pick(WHO) + " do?"))
        chosen = [dict(role="assistant", content=self.ending(GOOD, GOOD_END))]
        rejected = [dict(role="assistant", content=self.ending(BAD, BAD_END))]
        if i % 3 == 2:
            return dict(chosen=prompt + chosen, rejected=prompt + rejected)
        return dict(prompt=prompt, chosen=chosen, rejected=rejected)


# Rows 41 to 60 of pairs.jsonl: what is hard about text. The other rows are plain.
HARD = [
    ("The fo", "x sang.", "x cried."),  # the border of the prompt may lie inside a token
    ("The small ow", "l danced by the river.", "l hid."),
    ("What did the hen do? ", "The hen smiled.", "The hen sighed."),  # a blank before the border and none after it
    ("What did the hen do?\n", "\nIt sang.", "\nIt hid."),
    ("Q: 12 + 345 =", " 357.", " 12345."),
    ("It's the bear's kite, isn't it?", " It's the bear's, we'll say.", " They'd lost it; I've cried."),
    ("Le café à côté", " était plein de joie.", " était fermé."),
    ("Die Eule trägt", " fröhlich ein Körbchen Äpfel.", " müde einen großen Stein."),
    ("日本の狐は", "歌いました。", "泣きました。"),
    ("Лиса", " пела у реки.", " плакала."),
    ("How was it?", " 🙂🎉 glad!", " 😢…"),
    ("A family: ", "👩‍👩‍👧 smiled", "👩‍👧 cried"),
    ("e\u0301 is not \u00e9:", " e\u0301", " \u00e9"),  # one letter in two spellings
    ("tabs\tand  two  blanks", "\t\tsang   \n", "\t\thid \n\n"),
    ("A list:\r\n- red\r\n", "- bright\r\n", "- dark\r\n"),
    ("The owl ends it itself:", " all sang.<|eos|>", " all hid.<|eos|>"),
    ("A mark <|im_end|> in the text:", " it <|im_start|>sang", " it hid<|pad|>"),
    ("Nothing like a token: <|bo", "s|> sang <|", "s|> hid |>"),
    ("The bear said: ", "\"Sing, 'dance', {laugh} [all] \\o/ & <smile>!\"", "'@#$%^&*()_+-=~`'"),
    ("a" * 33, "A" * 17 + "b" * 9, "B" * 5 + " c" * 8),
]


def write(out):
    """Write the pairs and the tokenizer. It returns the rows of pairs.jsonl and the tokenizer."""
    writer = Writer("pairs")
    pairs = [writer.pair() for _ in range(40)] + [dict(prompt=p, chosen=c, rejected=r) for p, c, r in HARD]
    writer = Writer("chat pairs")
    chats = [writer.chat(i) for i in range(20)]
    writer = Writer("held-out pairs")
    held_out = [writer.pair() for _ in range(20)]
    write_jsonl(os.path.join(out, "pairs.jsonl"), pairs)
    write_jsonl(os.path.join(out, "pairs_chat.jsonl"), chats)
    write_jsonl(os.path.join(out, "pairs_eval.jsonl"), held_out)

    folder = os.path.join(out, "tokenizer")
    train_tokenizer().save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenized = dict(
        note=f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}; pairs: prompt, prompt + chosen and prompt + rejected of "
        "pairs.jsonl, BOS from the tokenizer, no EOS added; chats: the same of pairs_chat.jsonl by apply_chat_template, the prompt with its generation prompt",
        pairs=[
            dict(
                prompt_ids=tokenizer(row["prompt"])["input_ids"],
                chosen_ids=tokenizer(row["prompt"] + row["chosen"])["input_ids"],
                rejected_ids=tokenizer(row["prompt"] + row["rejected"])["input_ids"],
            )
            for row in pairs
        ],
        chats=[render(tokenizer, row) for row in chats],
    )
    write_json(os.path.join(out, "tokenized.json"), tokenized, depth=2)
    longest = max(len(row[k]) for rows in (tokenized["pairs"], tokenized["chats"]) for row in rows for k in ("chosen_ids", "rejected_ids"))
    print(f"tokenizer: {len(tokenizer)} ids, longest side of a pair {longest} tokens")
    return pairs, tokenizer


def train_tokenizer():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=TOKENIZER_VOCAB, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    writer = Writer("tokenizer corpus")
    rows = [writer.pair() for _ in range(500)]
    tokenizer.train_from_iterator((row[k] for row in rows for k in ("prompt", "chosen", "rejected")), trainer)
    bos = SPECIAL[1]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIAL[0], bos_token=bos, eos_token=SPECIAL[2], chat_template=TEMPLATE
    )


def render(tokenizer, row):
    prompt, chosen, rejected = row.get("prompt"), row["chosen"], row["rejected"]
    if prompt is None:  # the messages that both sides begin with
        n = next(i for i, (c, r) in enumerate(zip(chosen, rejected)) if c != r)
        prompt, chosen, rejected = chosen[:n], chosen[n:], rejected[n:]
    result = {}
    for name, messages in dict(prompt=prompt, chosen=prompt + chosen, rejected=prompt + rejected).items():
        options = dict(add_generation_prompt=name == "prompt")
        result[name + "_text"] = tokenizer.apply_chat_template(messages, tokenize=False, **options)
        result[name + "_ids"] = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **options)
    return result
