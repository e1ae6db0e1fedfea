"""Made-up rows of every kind for the golden file: some by chance with a seed, some with what is hard."""

import json
import random

WHO = ["fox", "owl", "cat", "mouse", "bear", "hen"]
KIND = ["red", "small", "old", "quick", "shy", "müde", "fröhliche"]
PLACE = ["river", "hill", "barn", "garden", "wood"]
GOOD = ["smiled", "sang", "danced", "laughed", "thanked all"]
BAD = ["cried", "hid", "sighed", "fell ill", "lost all"]
EOS = "<|eos|>"


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, words):
        return self.random.choice(words)

    def opening(self):
        return f"The {self.pick(KIND)} {self.pick(WHO)} went to the {self.pick(PLACE)}{self.pick(['.', '!', ', then', ''])}"

    def ending(self, verbs):
        return f"The {self.pick(WHO)} {self.pick(verbs)}{self.pick(['', ' by the ' + self.pick(PLACE)])}{self.pick(['.', '!', ' ', '…', ' 🙂'])}"

    def chat(self):
        """A prompt of one to three turns, some with a system message, and two answers."""
        prompt = [dict(role="system", content="You tell short tales.")] if self.random.random() < 0.3 else []
        for _ in range(self.random.randrange(3)):
            prompt += [dict(role="user", content=self.opening()), dict(role="assistant", content=self.ending(GOOD))]
        prompt.append(dict(role="user", content=self.pick(["What did the owl do?", "And then? ", "  Why?\n", "Und die Eule? 日本"])))
        return prompt, [dict(role="assistant", content=self.ending(GOOD))], [dict(role="assistant", content=self.ending(BAD))]


def groups():
    """Name, trainer, rows, and what is another in the model's folder. Within a group all rows have the same columns, for TRL looks at the first row of a set."""
    w = Writer(7)
    texts = [(w.opening(), " " + w.ending(GOOD), " " + w.ending(BAD)) for _ in range(14)] + HARD
    chats = [w.chat() for _ in range(20)] + HARD_CHATS
    pair = lambda prompt, chosen, rejected: dict(prompt=prompt, chosen=chosen, rejected=rejected)
    whole = lambda prompt, chosen, rejected: dict(chosen=prompt + chosen, rejected=prompt + rejected)
    unpaired = lambda i, row: dict(prompt=row[0], completion=row[1 + i % 2], label=i % 2 == 0)
    single = lambda row: dict(prompt=row[0], completion=row[1])
    more = [(w.opening(), " " + w.ending(GOOD), " " + w.ending(BAD)) for _ in range(12)]
    return [
        ("text", "dpo", [pair(*t) for t in texts], {}),
        ("text, implicit prompt", "dpo", [whole(*t) for t in more] + [dict(chosen=a, rejected=b) for a, b in IMPLICIT], {}),
        ("chat", "dpo", [pair(*c) for c in chats], {}),
        ("chat, implicit prompt", "dpo", [whole(*w.chat()) for _ in range(10)] + [whole(*c) for c in IMPLICIT_CHATS], {}),
        ("unpaired text", "kto", [unpaired(i, t) for i, t in enumerate(HARD + more[:6])], {}),
        ("unpaired chat", "kto", [unpaired(i, w.chat()) for i in range(14)], {}),
        ("text pairs taken apart", "kto", [pair(*t) for t in HARD[:9] + more[6:]], {}),
        ("prompt and completion", "sft", [single(t) for t in HARD[:14] + more[:2]], {}),
        ("prompt and completion, chat", "sft", [single(w.chat()) for _ in range(8)], {}),
        ("text alone", "sft", [dict(text=t[0] + t[1]) for t in HARD[:12]], {}),
        ("tokenizer with an end-of-text token of its own", "dpo", [pair(*t) for t in more[:3] + HARD[:3]], {"post_processor": APPENDS_EOS}),
        ("tokenizer with an end-of-text token of its own", "kto", [unpaired(i, t) for i, t in enumerate(more[:3] + HARD[:3])], {"post_processor": APPENDS_EOS}),
        ("template that writes the prompt alone in another way", "dpo", [pair(*c) for c in chats[:3]], {"chat_template": REWRITES}),
        ("tools and variables of a row", "dpo", [pair(*c) | dict(tools=TOOLS, chat_template_kwargs=dict(mood=mood)) for c, mood in zip(chats, MOODS)], {"chat_template": ASKS}),
        ("tools as text", "kto", [unpaired(i, c) | dict(tools=json.dumps(TOOLS)) for i, c in enumerate(chats[:3])], {"chat_template": ASKS}),
    ]


APPENDS_EOS = {"single": "<|bos|> $A <|eos|>", "special_tokens": [("<|bos|>", 1), (EOS, 2)]}
REWRITES = """\
{{- bos_token }}
{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>' }}{% endif %}"""
ASKS = """\
{{- bos_token }}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- if mood %}{{ mood }}{% endif %}
{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}{% endfor %}"""
MOODS = ["glad", "müde <|eos|>", " "]
TOOLS = [dict(type="function", function=dict(name="sing", description="Sing é & <la>.", parameters=dict(type="object", properties=dict(song=dict(type="string")))))]

HARD = [
    ("The fo", "x sang.", "x cried."),
    ("The small ow", "l danced.", "the hen hid."),  # one side goes on inside the prompt's last token, the other does not
    ("What did the hen do? ", "The hen smiled.", "It sighed."),
    ("What did the hen do?\n", "\nIt sang.", "It hid."),
    ("Two blanks  ", "  then more", "then none"),
    ("The hen", " sang  ", " hid\n\n"),
    ("", "The fox sang.", "The owl hid."),
    ("The owl", "", " hid."),
    ("The owl", " sang.", ""),
    ("The owl", " sang.", " sang."),
    ("The owl", " sang." + EOS, " hid."),
    ("The owl", " sang.<|eo", " hid." + EOS + " "),
    ("The owl<|eo", "s|>", " hid."),
    ("The owl <|bo", "s|> sang", " hid"),
    ("<|bos|>The owl", " sang.", " hid."),
    ("Le café à", " côté était plein.", " côté était fermé."),
    ("e", "\u0301 is an accent", "\u0300 is another"),
    ("日本の狐は", "歌いました。", "泣きました。"),
    ("A family: 👩", "\u200d👩\u200d👧 sang", "\u200d👧 hid"),
    ("12", "345", "34 5"),
    ("tabs\t", "\tand\r\nlines", " and\rlines"),
    ("The shy cat went to the river and the hill and the barn and the garden and the wood and", " sang.", " hid."),
    ("The shy cat", " sang by the river and the hill and the barn and the garden and the wood.", " hid by the river and the hill and the barn and the garden and the wood."),
    ("The cat", " hid by the river and the hill and the barn and the garden and sang.", " sang by the river and the hill and the barn and the garden and sang."),
]

IMPLICIT = [
    ("The fox sang.", "The fox hid."),
    ("The owl", "The owl hid"),
    ("The owl sang all day", "The owl sang"),
    ("The owl sang", "The owl sang"),
    ("Sang the fox", "Hid the owl"),
    ("Sang the fox ", "Hid the owl"),
    ("Sang the fox", "Hid the owl "),
    (" sang", " hid"),
    ("The é", "The è"),
    ("A 🙂", "A 🙁"),
    ("The owl  sang", "The owl  hid"),
    ("a", "ab"),
    ("", "The owl"),
    ("The fox\n\nsang", "The fox\n\nhid"),
]

_user = lambda text: dict(role="user", content=text)
_assistant = lambda text: dict(role="assistant", content=text)

HARD_CHATS = [
    ([_user("Sing?")], [_assistant("")], [_assistant("No.")]),
    ([_user("Sing?")], [_assistant("Yes.")], [_assistant("Yes.")]),
    ([_user("Sing?")], [_assistant(" Yes. ")], [_assistant("Yes.")]),
    ([_user("Sing? <|im_end|>")], [_assistant("<|eos|> sang")], [_assistant("hid <|bos|>")]),
    ([_user("日本 é\r\n🙂")], [_assistant("歌\u0301\n\n")], [_assistant("👩\u200d👧")]),
    ([_user("Sing?"), _assistant("Yes.")], [_user("Go on."), _assistant("La.")], [_user("Go on."), _assistant("Lo.")]),
    ([_user("Sing?")], [_assistant("Yes."), _user("And?"), _assistant("La.")], [_assistant("No."), _user("Why?"), _assistant("Ill.")]),
    ([_user("Tell of " + "the river and the hill and " * 5)], [_assistant("Sang.")], [_assistant("Hid.")]),
    ([], [_assistant("La.")], [_assistant("Lo.")]),
]

IMPLICIT_CHATS = [
    ([_user("Sing?")], [_assistant("Yes.")], [_assistant("Yes."), _user("And?"), _assistant("La.")]),
    ([_user("Sing?")], [_assistant("La.")], [_assistant("La.")]),
    ([], [_user("Sing?"), _assistant("La.")], [_user("Hide?"), _assistant("Lo.")]),
]
