"""Texts that tell tokenizers apart: a list that depends on nothing but the seed, the added tokens and the files of this repository."""

import pathlib
import random
import unicodedata

ROOT = pathlib.Path(__file__).parent.parent.parent
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\xa0", "\u1680", "\u2003", "\u2009", "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\ufeff", "\u180e"]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣", "#️⃣", "❤️", "☺", "🧑🏿‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👨‍", "\u200d", "\ufe0f", "🏽"]
MARKS = ["e\u0301", "e\u0323\u0301", "é", "A\u030a", "Å", "Å", "ﬁ", "①", "ｶﾞ", "が", "\u1100\u1161\u11a8", "각", "q\u0307\u0323", "ǆ", "İ", "ı", "ß", "ẞ", "ſ", "Σς", "\u0f71\u0f72", "\u0344", "क़", "ำ", "\u0e4d\u0e32", "½", "x²", "Ⅷ", "㍿", "ﷺ", "\u0340", "a\u0315\u0300\u05ae\u0062"]
WORDS = "it's I'll WE'VE don't you're he'd 'S 'LL 'ſ o'clock snake_case camelCase HTTPServer2 x=1; a->b f(x)[0] {\"k\": -1.5e-3} http://a.b/c?d=e#f user@host.org #include<stdio.h> $100,000.00 50% ... --- ?!?! “quotes” «x» – — 日本語 中文字符 한국어 ไทย עברית العربية हिन्दी ελληνικά русский C++ 3.14 12345678901234567890 1,000 2024-01-31 ▁ ▁▁x <0x41> <unk> </s> <s> Ġ Ċ Ã© \x00 \x07 \x1b[0m \x7f \xad".split(" ")


def added_tokens(added, rng):
    """Every added token alone, within a text, between blanks, and almost."""
    for a in sorted(added)[:60]:
        upper = a.upper() if a.upper() != a else a.lower()
        yield from [a, f"x{a}y", f"x {a} y", f"{a}{a}", f" \n{a}\t ", a[:-1], a[1:], f"{a[:-1]} {a[-1]}", upper, f"Hi{a[0]}{a}", f"é{a}e\u0301", f"1{a}2", f"_{a}.", f"▁{a}▁"]
        yield " ".join(rng.choice(sorted(added)) for _ in range(4))


def blocks(rng):
    """Some runes of every 128 that are assigned, in a row and between others."""
    for start in range(0, 0x110000, 128):
        runes = [chr(c) for c in range(start, start + 128) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        if not runes or 0x3500 <= start < 0x9f00 and start % 1024 or 0xac80 <= start < 0xd700 and start % 1024 or start >= 0x17000 and start % 512:
            continue
        yield "".join(rng.sample(runes, min(len(runes), 24)))
        yield "".join(rng.choice(["a", " ", "1", "!", "", "\n", "'"]) + r for r in rng.sample(runes, min(len(runes), 12)))
    for start in (0xE000, 0xF8FF, 0xFFF0, 0xFFFE, 0x10FFFE, 0xE0000, 0xF0000, 0x1FFFE):
        yield "".join(f"a{chr(c)} " for c in range(start, start + 2))


def lines(rng, count):
    """Lines and stretches of what people write: the documentation, the sources and the examples of this repository."""
    files = [*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("internal/*/*.go"), *ROOT.glob("examples/*.jsonl"), *ROOT.glob("configs/*.yaml"), *ROOT.glob("scripts/*/*.py")]
    text = "\n".join(f.read_text() for f in sorted(files))
    for _ in range(count):
        at = rng.randrange(len(text))
        yield text[at : at + rng.choice([5, 30, 100, 400])]


def mixed(rng, count, extra):
    """Random rows of everything."""
    atoms = SPACES + EMOJI + MARKS + WORDS + extra
    for _ in range(count):
        yield "".join(rng.choice(atoms) + rng.choice(["", "", " ", "  ", "\n"]) for _ in range(rng.randint(1, 14)))


def runs(rng, length):
    """One thing over and over: what is not linear shows here."""
    for unit in ["a", "A", " ", "\n", " \n", "\t", "1", "12", "!", "-", "=", "é", "e\u0301", "中", "日本", "😀", "ab", "aB", "'s", "' ", "a ", " a", "x1", "▁", "\u0301", "<s>", "<", "\xa0", "\u3000", "\x00", "Ġ", "1 ", ". ", "ﬁ", "가", "\r\n", "<0x41>"]:
        yield unit * (length // len(unit))
        yield "x" + unit * rng.randint(2, 70) + "y"


def few(added):
    """A sample of short ones, for testdata."""
    short = [t for t in texts(added, run=60, scale=0.05) if len(t) <= 100]
    return random.Random(2).sample(short, 60)


def texts(added, seed=1, run=15_000, scale=1.0):
    rng = random.Random(seed)
    n = lambda count: int(count * scale)
    out = ["", " ", "a", "\n"]
    out += [chr(c) for c in range(0x250) if rng.random() < scale]
    out += added_tokens(added, rng)
    out += [b for b in blocks(rng) if rng.random() < scale]
    out += ["".join(rng.choice(SPACES) for _ in range(rng.randint(1, 9))) + rng.choice(["", "a", "1", "."]) + rng.choice(SPACES) for _ in range(n(400))]
    out += [rng.choice(["a", ""]) + w * k + rng.choice(["b", ""]) for w in SPACES[:4] for k in range(1, n(20) + 1)]
    out += ["".join(rng.choices(EMOJI, k=rng.randint(1, 5))) for _ in range(n(200))]
    out += ["".join(rng.choices(MARKS, k=rng.randint(1, 6))) for _ in range(n(300))]
    digits = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) in ("Nd", "Nl", "No")]
    out += ["".join(rng.choices(digits if rng.random() < 0.3 else "0123456789", k=rng.randint(1, 40))) for _ in range(n(200))]
    out += lines(rng, n(1200))
    out += mixed(rng, n(1200), list(added)[:40])
    out += ["".join(chr(rng.randrange(32, 127)) for _ in range(rng.randint(1, 60))) for _ in range(n(400))]
    out += ["".join(map(safe_chr, (rng.randrange(0x3000) for _ in range(rng.randint(1, 30))))) for _ in range(n(200))]
    out += runs(rng, run)
    return list(dict.fromkeys(out))


def safe_chr(c):
    return chr(c) if unicodedata.category(chr(c)) not in ("Cn", "Cs") else "?"
