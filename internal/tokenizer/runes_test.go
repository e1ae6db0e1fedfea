package tokenizer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

var update = flag.Bool("update", false, "write laterunicode.go and testdata/runes.tsv; scripts/check-tokenizers --runes does")

// runeFacts is what tokenizers says of every rune (scripts/checktokenizers/runes.py). A set is a list of the first and last runes of its
// ranges, without the surrogates, which count as no gap. A map has what becomes of those that change, or for (?i) all that are
// taken for one. Sets "p name" are those of patterns, "some name" likewise but of the runes of the set SOME only.
type runeFacts struct {
	Sets map[string]runeSet
	Maps map[string]map[string]string
}

// surrogates are no runes of a text.
var surrogates = runeSet{0xD800, 0xDFFF}

// plain brings a set into the form of runeFacts, and back.
func (s runeSet) plain() runeSet {
	s = s.intersect(surrogates.negate())
	for i := 1; i+1 < len(s); i += 2 {
		if s[i] == 0xD7FF && s[i+1] == 0xE000 {
			return slices.Delete(slices.Clone(s), i, i+2)
		}
	}
	return s
}

func setWhere(is func(rune) bool) runeSet {
	var s runeSet
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !surrogates.has(r) && is(r) {
			if n := len(s); n > 0 && s[n-1] == r-1 {
				s[n-1] = r
			} else {
				s = append(s, r, r)
			}
		}
	}
	return s
}

// baseSets are the sets that are not a pattern's: as package unicode has them, and as we do.
var baseSets = map[string]struct{ base, ours func(rune) bool }{
	"Digits":          {unicode.IsNumber, isDigit},
	"WhitespaceSplit": {unicode.IsSpace, unicode.IsSpace},
	"Punctuation": {func(r rune) bool {
		return unicode.IsPunct(r) || r < unicode.MaxASCII && unicode.IsSymbol(r)
	}, isPunctuation},
	"Whitespace":  {baseWord, isWord},
	"single_word": {baseWord, isWord},
	"accents":     {unicode.IsMark, isAccent},
	"marks": {nil, func(r rune) bool {
		normalize := func(s string) string {
			out, err := unicodeForm{norm.NFD}.normalize(span{text: s})
			if err != nil {
				panic(err)
			}
			return out.text
		}
		return normalize("a"+string(r)+"\u0334") != "a"+normalize(string(r))+"\u0334"
	}},
}

func baseWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// ours is the set of that name as this package has it; ok is false if it has none.
func (f *runeFacts) ours(name string) (runeSet, bool) {
	if known, ok := baseSets[name]; ok {
		return setWhere(known.ours).plain(), true
	}
	kind, property, ok := strings.Cut(name, " ")
	pattern := name // \w
	if ok {
		pattern = `\p{` + property + `}`
	}
	tree, err := parseRegex(pattern)
	if err != nil {
		return nil, false
	}
	set := tree.(setNode).set
	if kind == "some" {
		set = set.intersect(f.Sets["SOME"].withSurrogates())
	}
	return set.plain(), true
}

func (s runeSet) withSurrogates() runeSet { return s.union(surrogates) }

// ourMap is what this package makes of every rune that it changes.
func ourMap(t *testing.T, name string) map[string]string {
	out := map[string]string{}
	if name == "(?i)" {
		for _, r := range foldingRunes() {
			var all []rune
			for i, fold := 0, (runeSet{r, r}).fold(); i < len(fold); i += 2 {
				for f := fold[i]; f <= fold[i+1]; f++ {
					all = append(all, f)
				}
			}
			if len(all) > 1 {
				out[string(r)] = string(all)
			}
		}
		return out
	}
	var b builder
	normalizers, err := b.compileNormalizer(component{Type: name}, "normalizer", nil)
	if err != nil {
		t.Fatal(err)
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if surrogates.has(r) {
			continue
		}
		s, err := normalizers[0](span{text: string(r)})
		if err != nil {
			t.Fatal(err)
		}
		if s.text != string(r) {
			out[string(r)] = s.text
		}
	}
	return out
}

func setHash(s runeSet) string { return hash(fmt.Sprint([]rune(s))) }

func mapHash(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%q %q\n", k, m[k])
	}
	return hash(b.String())
}

func hash(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:16] }

const runesFile = "testdata/runes.tsv"

// TestRunes holds that every rune is a letter, digit, mark, lower case and so on here as it is in tokenizers: by the hashes of
// testdata/runes.tsv, or rune by rune by the file that DPOTRAIN_TOKENIZER_RUNES names, which scripts/check-tokenizers writes.
func TestRunes(t *testing.T) {
	path := os.Getenv("DPOTRAIN_TOKENIZER_RUNES")
	if path == "" {
		checkRuneHashes(t)
		return
	}
	text, err := os.ReadFile(path)
	var facts runeFacts
	if err == nil {
		err = json.Unmarshal(text, &facts)
	}
	if err != nil {
		t.Fatal(err)
	}
	facts.Sets["accents"] = nil
	for _, c := range slices.Sorted(maps.Keys(facts.Maps["StripAccents"])) {
		r := []rune(c)[0]
		facts.Sets["accents"] = append(facts.Sets["accents"], r, r)
	}
	facts.Sets["accents"] = facts.Sets["accents"].sorted()
	if *update {
		facts.writeDifferences(t)
		facts.writeHashes(t)
		return
	}
	for name, want := range facts.Sets {
		if name == "SOME" {
			continue
		}
		got, ok := facts.ours(name)
		if more, less := got.intersect(want.negate()).plain(), want.intersect(got.negate()).plain(); !ok || len(more)+len(less) > 0 {
			t.Errorf("%s: known %v; more %U, less %U", name, ok, more, less)
		}
	}
	for name, want := range facts.Maps {
		got := ourMap(t, name)
		wrong := 0
		for _, k := range slices.Sorted(maps.Keys(merged(got, want))) {
			if got[k] != want[k] && wrong < 20 {
				t.Errorf("%s: %+q becomes %+q, want %+q", name, k, got[k], want[k])
				wrong++
			}
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func checkRuneHashes(t *testing.T) {
	text, err := os.ReadFile(runesFile)
	if err != nil {
		t.Fatal(err)
	}
	var facts runeFacts
	for line := range strings.Lines(string(text)) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name, want, _ := strings.Cut(rest, "\t")
		got := ""
		switch kind {
		case "some":
			var set runeSet
			for field := range strings.FieldsSeq(want) {
				r, err := strconv.ParseInt(field, 16, 32)
				if err != nil {
					t.Fatal(err)
				}
				set = append(set, rune(r))
			}
			facts.Sets = map[string]runeSet{"SOME": someOf(set)}
			continue
		case "set":
			set, _ := facts.ours(name)
			got = setHash(set)
		case "map":
			got = mapHash(ourMap(t, name))
		default:
			continue // a comment
		}
		if got != want {
			t.Errorf("%s is not as in tokenizers; with a new version of Go or of tokenizers run scripts/check-tokenizers --runes", name)
		}
	}
	if facts.Sets == nil {
		t.Errorf("%s has no sets", runesFile)
	}
}

// someOf is SOME of runes.py: all runes but those of some ranges that are not at the ends of a 64.
func someOf(alike runeSet) runeSet {
	return setWhere(func(r rune) bool { return r%64 == 0 || r%64 == 63 || !alike.has(r) }).plain()
}

// alike are the ranges of which SOME has few.
var alike = runeSet{0x3400, 0x4DAF, 0x4E00, 0x9FEF, 0xAC00, 0xD79F, 0xE000, 0xF8FF, 0x17000, 0x187DF, 0x20000, 0x3239F, 0xF0000, 0x10FFFF}

func (f *runeFacts) writeHashes(t *testing.T) {
	if !slices.Equal(f.Sets["SOME"], someOf(alike)) {
		t.Fatal("SOME of runes.py is another set than that of this file")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What tokenizers says of every rune, as hashes. Written by scripts/check-tokenizers --runes; runes_test.go reads it.\nsome\t-\t")
	for _, r := range alike {
		fmt.Fprintf(&b, "%X ", r)
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(f.Sets)) {
		if name != "SOME" {
			fmt.Fprintf(&b, "set\t%s\t%s\n", name, setHash(f.Sets[name].plain()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Maps)) {
		fmt.Fprintf(&b, "map\t%s\t%s\n", name, mapHash(f.Maps[name]))
	}
	if err := os.WriteFile(runesFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeDifferences writes laterunicode.go.
func (f *runeFacts) writeDifferences(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by scripts/check-tokenizers --runes; DO NOT EDIT.\n\npackage tokenizer\n\n// Differences from package unicode, which has Unicode %s.\n\n", unicode.Version)
	write := func(name string, base runeSet) {
		want := f.Sets[name].plain()
		more, less := want.intersect(base.negate()).plain(), base.intersect(want.negate()).plain()
		fmt.Fprintf(&b, "difference{%s, %s}", runeList(more), runeList(less))
	}
	b.WriteString("var patternDifferences = map[string]difference{\n")
	for _, name := range slices.Sorted(maps.Keys(f.Sets)) {
		kind, property, ok := strings.Cut(name, " ")
		if _, posix := posixSets[property]; !ok || posix {
			continue // made of others
		}
		var base runeSet
		if table := tableOf(property); table != nil {
			base = tableSet(table)
		}
		if kind == "some" {
			base = base.intersect(f.Sets["SOME"].withSurrogates())
		}
		if base = base.plain(); slices.Equal(base, f.Sets[name].plain()) {
			continue
		}
		fmt.Fprintf(&b, "%q: ", property)
		write(name, base)
		b.WriteString(",\n")
	}
	b.WriteString("}\n\n")
	for _, d := range []struct{ variable, name string }{
		{"digitDifference", "Digits"}, {"wordDifference", "Whitespace"}, {"accentDifference", "accents"}, {"punctuationDifference", "Punctuation"},
	} {
		fmt.Fprintf(&b, "var %s = ", d.variable)
		write(d.name, setWhere(baseSets[d.name].base))
		b.WriteString("\n\n")
	}
	writeMap := func(variable string, want map[string]string, base func(r rune) string) {
		fmt.Fprintf(&b, "var %s = map[rune]string{\n", variable)
		for r := rune(0); r <= unicode.MaxRune; r++ {
			is, ok := want[string(r)]
			if !ok {
				is = string(r)
			}
			if !surrogates.has(r) && base(r) != is {
				fmt.Fprintf(&b, "0x%04X: %+q,\n", r, is)
			}
		}
		b.WriteString("}\n\n")
	}
	writeMap("lowerDifferences", f.Maps["Lowercase"], func(r rune) string { return string(unicode.ToLower(r)) })
	writeMap("foldDifferences", f.Maps["(?i)"], func(r rune) string {
		all := []rune{r}
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			all = append(all, f)
		}
		slices.Sort(all)
		return string(all)
	})
	if err := os.WriteFile("laterunicode.go", bytes.TrimSpace(b.Bytes()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runeList writes a set as Go does, in lines of some length.
func runeList(s runeSet) string {
	if len(s) == 0 {
		return "nil"
	}
	var b strings.Builder
	b.WriteString("runeSet{")
	for i, r := range s {
		if i%14 == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "0x%04X, ", r)
	}
	b.WriteString("\n}")
	return b.String()
}

// TestEveryRune encodes every rune alone and between two letters: the ids have to be those of tokenizers. testdata/cases has hashes of
// them; the folder that DPOTRAIN_TOKENIZER_CASES names has the ids. Without it the planes that have hardly any characters are left out.
func TestEveryRune(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes half a million texts with each of four tokenizers")
	}
	const ideographs = 0x34000 // most of what lies behind is private or not assigned
	files, err := filepath.Glob("testdata/cases/*/runes.hashes")
	if more := os.Getenv("DPOTRAIN_TOKENIZER_CASES"); more != "" && err == nil {
		var list []string
		list, err = filepath.Glob(filepath.Join(more, "*", "runes.ids"))
		files = append(files, list...)
	}
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			tok, err := Load(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			lines := bufio.NewScanner(f)
			want := func() string {
				if !lines.Scan() {
					t.Fatalf("%s is too short: %v", path, lines.Err())
				}
				return lines.Text()
			}
			hashes := strings.HasSuffix(path, ".hashes")
			var block []byte
			first, count, wrong := rune(0), 0, 0
			for r := rune(0); r <= unicode.MaxRune; r++ {
				if surrogates.has(r) {
					continue
				}
				if first >= ideographs && os.Getenv("DPOTRAIN_TOKENIZER_CASES") == "" {
					break
				}
				for _, text := range []string{string(r), "a" + string(r) + "b"} {
					enc, err := tok.Encode(text, false)
					if err != nil {
						t.Fatalf("%+q: %v", text, err)
					}
					at := len(block)
					for i, id := range enc.IDs {
						if i > 0 {
							block = append(block, ' ')
						}
						block = strconv.AppendInt(block, int64(id), 10)
					}
					if !hashes {
						if want := want(); want != string(block[at:]) {
							if t.Errorf("%+q: ids %s, want %s", text, block[at:], want); wrong == 20 {
								t.Fatal("and perhaps more")
							}
							wrong++
						}
						block = block[:0]
						continue
					}
					block = append(block, '\n')
				}
				if count++; hashes && (count%4096 == 0 || r == unicode.MaxRune) {
					if hash(string(block)) != want() {
						t.Errorf("other ids than tokenizers gives in U+%04X..U+%04X; scripts/check-tokenizers says which", first, r)
					}
					first, block = r+1, block[:0]
				}
			}
		})
	}
}
