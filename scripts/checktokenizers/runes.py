"""What tokenizers says of every single character, which Unicode's version decides: its parts have several."""

import hashlib
import json
import os
import re

import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
NAMES = """C Cc Cf Cn Co L LC Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs
ASCII_Hex_Digit Bidi_Control Dash Deprecated Diacritic Extender Hex_Digit Hyphen IDS_Binary_Operator IDS_Trinary_Operator Ideographic Join_Control
Logical_Order_Exception Noncharacter_Code_Point Other_Alphabetic Other_Default_Ignorable_Code_Point Other_Grapheme_Extend Other_ID_Continue Other_ID_Start
Other_Lowercase Other_Math Other_Uppercase Pattern_Syntax Pattern_White_Space Quotation_Mark Radical Regional_Indicator STerm Sentence_Terminal Soft_Dotted
Terminal_Punctuation Unified_Ideograph Variation_Selector White_Space
alpha digit alnum lower upper punct space cntrl word xdigit
Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal
Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan
Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya
Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi
Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen
Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari
New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian
Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian
Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut
Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square
Beria_Erfe Sidetic Tai_Yo Tolong_Siki""".split()  # fmt: skip


# Every 64th of the characters of which thousands in a row are alike: to ask for all of them by every name takes too long.
ALIKE = [(0x3400, 0x4DB0), (0x4E00, 0x9FF0), (0xAC00, 0xD7A0), (0xE000, 0xF900), (0x17000, 0x187E0), (0x20000, 0x323A0), (0xF0000, 0x110000)]
SOME = [c for c in ALL if ord(c) % 64 in (0, 63) or not any(low <= ord(c) < high for low, high in ALIKE)]


def ranges(runes):
    """First and last of each range of ascending characters. The surrogates are no gap."""
    out = []
    for c in map(ord, runes):
        if out and (c == out[-1] + 1 or c == 0xE000 and out[-1] == 0xD7FF):
            out[-1] = c
        else:
            out += [c, c]
    return out


def matches(pre_tokenizer, runes):
    """Those of the runes that a pre-tokenizer leaves over."""
    return "".join(text for text, _ in pre_tokenizer.pre_tokenize_str("".join(runes)))


def of_pattern(pattern, runes):
    return matches(pre_tokenizers.Split(Regex(pattern), "removed", invert=True), runes)


def sets():
    """name -> ranges of the characters: "p name" for those of \\p{name}, "some name" for those of them that are in SOME."""
    out = {"SOME": ranges(SOME)}
    assigned = of_pattern(r"\P{Cn}+", SOME)  # few names have any of the others
    for name in NAMES:
        of = ALL if name in ("L", "M", "N", "P", "S", "C", "Lo", "Han", "space") else SOME if name in ("Cn", "Co", "Noncharacter_Code_Point", "Pattern_Syntax") or "Other_" in name else assigned
        try:
            out[("p " if of is ALL else "some ") + name] = ranges(of_pattern(r"\p{%s}+" % name, of))
        except Exception as e:
            if "invalid character property name" not in str(e):
                raise
    out["\\w"] = ranges(of_pattern(r"\w+", ALL))
    for p in (pre_tokenizers.Digits(True), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")):
        out[type(p).__name__] = ranges(c for c in ALL if len(p.pre_tokenize_str(f"a{c}b")) > 1)
    return out


def words():
    """What is a part of a word to the pre-tokenizer Whitespace, and to added tokens that are single words."""
    white = pre_tokenizers.Whitespace()
    t = tokenizers.Tokenizer(models.BPE(vocab={"?": 0}, merges=[], unk_token="?"))
    t.add_tokens([AddedToken("a", single_word=True)])
    return {
        "Whitespace": ranges(c for c in ALL if len(white.pre_tokenize_str(f"a{c}")) == 1 and white.pre_tokenize_str(f"a{c}")[0][0] != "a"),
        "single_word": ranges(c for c, e in zip(ALL, t.encode_batch([f"a{c}" for c in ALL])) if 1 not in e.ids),
    }


def changed(normalizer):
    """What a normalizer makes of each character that it changes."""
    return {c: n for c in ALL if (n := normalizer.normalize_str(c)) != c}


def folds():
    """For each character with another case, those that (?i) takes for it."""
    cased = of_pattern(r"[\p{Lu}\p{Ll}\p{Lt}\p{Other_Lowercase}\p{Other_Uppercase}\x{345}\x{13a0}-\x{13ff}\x{ab70}-\x{abbf}]+", ALL)
    out = {}
    for c in cased:
        pieces = pre_tokenizers.Split(Regex("(?i)" + re.escape(c)), "removed", invert=True).pre_tokenize_str(cased)
        same = "".join(text for text, _ in pieces if len(text) == 1)  # st for a ligature is not a case of it
        if same != c:
            out[c] = same
    return out


def facts():
    forms = {n: getattr(normalizers, n)() for n in ("Lowercase", "StripAccents", "NFC", "NFD", "NFKC", "NFKD")}
    nfd = forms["NFD"]
    marks = ranges(c for c in ALL if nfd.normalize_str(f"a{c}\u0334") != f"a{nfd.normalize_str(c)}\u0334")  # those that go behind U+0334
    return {"sets": sets() | words() | {"marks": marks}, "maps": {n: changed(f) for n, f in forms.items()} | {"(?i)": folds()}}


def write(path):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(facts(), f, separators=(",", ":"))


def encoded(path, t, golden):
    """The ids of every character alone and between two letters: a line for each, or for testdata a hash of 8192 lines."""
    with open(os.path.join(path, "runes.hashes" if golden else "runes.ids"), "w") as f:
        for at in range(0, len(ALL), 4096):
            alike = [x for c in ALL[at : at + 4096] for x in (c, f"a{c}b")]
            lines = "".join(" ".join(map(str, e.ids)) + "\n" for e in t.encode_batch(alike, add_special_tokens=False))
            f.write(hashlib.sha256(lines.encode()).hexdigest()[:16] + "\n" if golden else lines)
