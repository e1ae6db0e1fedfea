package data

import (
	"strings"
	"testing"
)

// whole is a tokenizer with everything; bytes are its only pieces.
var whole = letters{bos: true, eos: true}

// TestMake turns rows into examples. want shows chosen and rejected as letters.show writes them.
func TestMake(t *testing.T) {
	for _, c := range []struct {
		name string
		row  string
		form Form
		enc  letters
		want string
	}{
		// Text.
		{"prompt and completion are one text", `{"prompt":"ab","chosen":"cd","rejected":"e"}`, Pairs, whole, "^ab|cd$ ^ab|e$"},
		{"EOS that is there already", `{"prompt":"ab","chosen":"cd</s>","rejected":"e"}`, Pairs, whole, "^ab|cd$ ^ab|e$"},
		{"EOS in the middle is not the end", `{"prompt":"ab","chosen":"c</s>d","rejected":"e"}`, Pairs, whole, "^ab|c$d$ ^ab|e$"},
		{"the tokenizer appends EOS itself", `{"prompt":"ab","chosen":"cd","rejected":"e</s>"}`, Pairs, letters{bos: true, eos: true, appendsEOS: true}, "^ab|cd$ ^ab|e$"},
		{"and there is no prompt", `{"prompt":"","chosen":"cd","rejected":"e"}`, Pairs, letters{bos: true, eos: true, appendsEOS: true}, "^|cd$ ^|e$"},
		{"no EOS token", `{"prompt":"ab","chosen":"cd","rejected":"e"}`, Pairs, letters{bos: true}, "^ab|cd ^ab|e"},
		{"no BOS", `{"prompt":"ab","chosen":"cd","rejected":"e"}`, Pairs, letters{eos: true}, "ab|cd$ ab|e$"},
		{"no prompt: BOS predicts the first id", `{"prompt":"","chosen":"cd","rejected":"e"}`, Pairs, whole, "^|cd$ ^|e$"},
		{"no prompt and no BOS: nothing predicts the first id", `{"prompt":"","chosen":"cd","rejected":"e"}`, Pairs, letters{eos: true}, "c|d$ e|$"},
		{"the prompt is what both begin with", `{"chosen":"ab cd","rejected":"ab e"}`, Pairs, whole, "^ab| cd$ ^ab| e$"},
		{"other columns are left alone", `{"id":7,"prompt":"a","chosen":"c","x":{"chosen":1},"rejected":"e"}`, Pairs, whole, "^a|c$ ^a|e$"},

		// A token across the border is scored: the first that ends after it.
		{"border inside a token", `{"prompt":"ab","chosen":"cd","rejected":"ed"}`, Pairs, letters{pieces: []string{"bc"}, bos: true, eos: true}, "^a|(bc)d$ ^ab|ed$"},
		{"border inside a token of both", `{"prompt":"ab","chosen":"cd","rejected":"ce"}`, Pairs, letters{pieces: []string{"bc"}, bos: true, eos: true}, "^a|(bc)d$ ^a|(bc)e$"},
		{"all of the prompt is in it", `{"prompt":"b","chosen":"cd","rejected":"e"}`, Pairs, letters{pieces: []string{"bc"}, bos: true, eos: true}, "^|(bc)d$ ^b|e$"},
		{"and nothing is before it", `{"prompt":"b","chosen":"cd","rejected":"e"}`, Pairs, letters{pieces: []string{"bc"}, eos: true}, "(bc)|d$ b|e$"},
		{"the border moves the token before it", `{"prompt":"abc","chosen":"dx","rejected":"e"}`, Pairs, letters{pieces: []string{"bcd", "bc"}, bos: true, eos: true}, "^a|(bcd)x$ ^a(bc)|e$"},

		// As a byte-level BPE with a token for two line ends, which it takes apart before a letter.
		{"the prompt alone has other tokens, none across the border", `{"prompt":"a\n\n","chosen":"c","rejected":"e"}`, Pairs, letters{atEnd: "\n\n", bos: true, eos: true}, "^a\n\n|c$ ^a\n\n|e$"},

		// Single completions.
		{"prompt and completion", `{"prompt":"ab","completion":"cd"}`, Completions, whole, "^ab|cd$"},
		{"prompt and chosen", `{"prompt":"ab","chosen":"cd","rejected":"ef"}`, Completions, whole, "^ab|cd$"},
		{"rejected is read to find the prompt alone", `{"chosen":"ab cd","rejected":"ab e"}`, Completions, whole, "^ab| cd$"},
		{"text is scored from its second id on", `{"text":"abc"}`, Completions, whole, "^|abc$"},
		{"text without BOS", `{"text":"abc"}`, Completions, letters{eos: true}, "a|bc$"},
		{"completion goes before chosen", `{"prompt":"ab","completion":"x","chosen":"y"}`, Completions, whole, "^ab|x$"},
		{"and chosen before text", `{"prompt":"ab","text":"x","chosen":"y"}`, Completions, whole, "^ab|y$"},

		// Chat: BOS, EOS and all else is the template's.
		{"chat", `{"prompt":[{"role":"user","content":"hi"}],"chosen":[{"role":"assistant","content":"yo"}],"rejected":[{"role":"assistant","content":"no"}]}`, Pairs, whole,
			"u:hi;a:|yo; u:hi;a:|no;"},
		{"chat with the prompt inside both sides", `{"chosen":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"}],"rejected":[{"content":"hi","role":"user"},{"role":"assistant","content":"no"}]}`, Pairs, whole,
			"u:hi;a:|yo; u:hi;a:|no;"},
		{"the first turns are the prompt", `{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"r"},{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"yo"}]}`, Completions, whole,
			"s:s;u:q;a:r;u:hi;a:|yo;"},
		{"several messages to learn", `{"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"yo"},{"role":"user","content":"q"},{"role":"assistant","content":"r"}]}`, Completions, whole,
			"u:hi;a:|yo;u:q;a:r;"},
		{"EOS text is not appended to chats", `{"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"yo</s>"}]}`, Completions, whole,
			"u:hi;a:|yo$;"},
		{"an empty rejected answer with a tool call is none", `{"prompt":[{"role":"user","content":"hi"}],"chosen":[{"role":"assistant","content":"yo"}],"rejected":[{"role":"assistant","content":"","tool_calls":[{"name":"f"}]}]}`, Pairs, whole,
			"u:hi;a:|yo; u:hi;a:|;"},
	} {
		m := maker{encoder: c.enc, template: template(t, plainTemplate), form: c.form}
		got, err := m.make([]byte(c.row), lineReader)
		if err != nil || got.drop != kept {
			t.Errorf("%s: %s: error %v, dropped %v", c.name, c.row, err, dropTexts[got.drop].what)
			continue
		}
		if show := c.enc.showAll(got.example); show != c.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", c.name, c.row, show, c.want)
		}
	}
}

// TestBorder says which rows are counted for what happens at the border.
func TestBorder(t *testing.T) {
	enc := letters{pieces: []string{"bc"}, atEnd: "\n\n", bos: true, eos: true}
	for row, want := range map[string][2]bool{ // across, other
		`{"prompt":"ab","chosen":"xd","rejected":"e"}`:    {false, false},
		`{"prompt":"ab","chosen":"cd","rejected":"e"}`:    {true, false},
		`{"prompt":"ab","chosen":"xd","rejected":"c"}`:    {true, false},
		`{"prompt":"","chosen":"bc","rejected":"c"}`:      {false, false},
		`{"prompt":"ab\n\n","chosen":"x","rejected":"c"}`: {false, true},
	} {
		m := maker{encoder: enc, form: Pairs}
		if got, err := m.make([]byte(row), lineReader); err != nil || [2]bool{got.across, got.other} != want {
			t.Errorf("%s: across %v, other %v, error %v; want %v", row, got.across, got.other, err, want)
		}
	}
}

// TestTruncate cuts "^ab|cd$" (6 ids, the first scored one is 3) and "^ab|cdef$" (8 ids).
func TestTruncate(t *testing.T) {
	const row = `{"prompt":"ab","chosen":"cd","rejected":"cdef"}`
	for _, c := range []struct {
		length    int
		mode      string
		want      string // or why the row is dropped
		truncated [2]int
	}{
		{0, "keep_start", "^ab|cd$ ^ab|cdef$", [2]int{0, 0}}, // no limit
		{8, "keep_start", "^ab|cd$ ^ab|cdef$", [2]int{0, 0}},
		{7, "keep_start", "^ab|cd$ ^ab|cdef", [2]int{0, 1}},
		{6, "keep_start", "^ab|cd$ ^ab|cde", [2]int{0, 1}},
		{5, "keep_start", "chosen and rejected are the same after truncation", [2]int{1, 1}}, // ^ab|cd twice
		{4, "keep_start", "chosen and rejected are the same after truncation", [2]int{1, 1}}, // ^ab|c twice
		{3, "keep_start", "nothing of a completion is left after truncation", [2]int{1, 0}},  // ^ab
		{1, "keep_start", "nothing of a completion is left after truncation", [2]int{1, 0}},

		{8, "keep_end", "^ab|cd$ ^ab|cdef$", [2]int{0, 0}},
		{7, "keep_end", "^ab|cd$ ab|cdef$", [2]int{0, 1}}, // the sides no longer begin alike
		{6, "keep_end", "^ab|cd$ b|cdef$", [2]int{0, 1}},
		{5, "keep_end", "ab|cd$ c|def$", [2]int{1, 1}}, // nothing before rejected's c: it is not scored
		{4, "keep_end", "b|cd$ d|ef$", [2]int{1, 1}},
		{3, "keep_end", "c|d$ e|f$", [2]int{1, 1}},
		{2, "keep_end", "d|$ f|$", [2]int{1, 1}},
		{1, "keep_end", "nothing of a completion is left after truncation", [2]int{1, 0}}, // $, and nothing before it
	} {
		m := maker{encoder: whole, form: Pairs, options: Options{MaxLength: c.length, TruncationMode: c.mode}}
		got, err := m.make([]byte(row), lineReader)
		if err != nil {
			t.Fatal(err)
		}
		show := dropTexts[got.drop].what
		if got.drop == kept {
			show = whole.showAll(got.example)
		}
		if show != c.want || got.truncated != c.truncated || got.longest != 8 {
			t.Errorf("max_length %d, %s: %s, truncated %v, longest %d; want %s, %v, 8", c.length, c.mode, show, got.truncated, got.longest, c.want, c.truncated)
		}
		// The same from the whole example.
		all, err := (&maker{ctx: t.Context(), encoder: whole, form: Pairs}).make([]byte(row), lineReader)
		if err != nil {
			t.Fatal(err)
		}
		if cut, ok := m.options.Truncated(all.example); ok != (got.drop == kept) || ok && whole.showAll(cut) != show {
			t.Errorf("max_length %d, %s: Truncated gives %s, %v; want %s", c.length, c.mode, whole.showAll(cut), ok, show)
		}
	}
}

// TestSameTextAfterTruncation cuts both sides to "wxyz$", of which they score different parts: there is nothing to prefer.
func TestSameTextAfterTruncation(t *testing.T) {
	m := maker{encoder: whole, form: Pairs, options: Options{MaxLength: 5, TruncationMode: "keep_end"}}
	got, err := m.make([]byte(`{"prompt":"abwx","chosen":"yz","rejected":"wxyz"}`), lineReader)
	if show := whole.showAll(got.example); err != nil || show != "wx|yz$ w|xyz$" || got.drop != dropIdenticalTruncated {
		t.Errorf("%s, error %v, dropped %q", show, err, dropTexts[got.drop].what)
	}
	got, err = m.make([]byte(`{"prompt":"abwx","chosen":"wxyz","rejected":"yz"}`), lineReader)
	if show := whole.showAll(got.example); err != nil || show != "w|xyz$ wx|yz$" || got.drop != dropIdenticalTruncated || got.longest != 10 {
		t.Errorf("%s, error %v, dropped %q, longest %d, want 10", show, err, dropTexts[got.drop].what, got.longest)
	}
}

// TestDropped says which rows are left out, and why.
func TestDropped(t *testing.T) {
	const user, yes = `[{"role":"user","content":"hi"}]`, `[{"role":"assistant","content":"yes"}]`
	const nothing = `[{"role":"assistant","content":""}]`
	for _, c := range []struct {
		row  string
		form Form
		want dropReason
	}{
		{`{"prompt":"ab","chosen":"c","rejected":"d"}`, Pairs, kept},
		{`{"prompt":"ab","chosen":"c","rejected":"c"}`, Pairs, dropIdentical},
		{`{"prompt":"ab","chosen":"c","rejected":"c</s>"}`, Pairs, dropIdentical}, // the same ids
		{`{"chosen":"abc","rejected":"abc"}`, Pairs, dropIdentical},
		{`{"prompt":"ab","chosen":"","rejected":"d"}`, Pairs, dropEmptyChosen},
		{`{"prompt":"ab","chosen":"c","rejected":""}`, Pairs, dropEmptyRejected},
		{`{"prompt":"ab","chosen":"","rejected":""}`, Pairs, dropEmptyChosen},
		{`{"prompt":"ab","chosen":"c","rejected":""}`, Completions, kept}, // rejected is not read
		{`{"prompt":"ab","completion":""}`, Completions, dropEmptyChosen},
		{`{"text":""}`, Completions, dropEmptyChosen},
		{`{"prompt":` + user + `,"chosen":` + yes + `,"rejected":` + yes + `}`, Pairs, dropIdentical},
		{`{"prompt":` + user + `,"chosen":` + nothing + `,"rejected":` + yes + `}`, Pairs, dropEmptyChosen},
		{`{"prompt":` + user + `,"chosen":` + yes + `,"rejected":` + nothing + `}`, Pairs, dropEmptyRejected},
		{`{"prompt":` + user + `,"chosen":` + yes + `,"rejected":[{"role":"assistant","content":null}]}`, Pairs, dropEmptyRejected},
	} {
		m := maker{encoder: whole, template: template(t, plainTemplate), form: c.form}
		if got, err := m.make([]byte(c.row), lineReader); err != nil || got.drop != c.want {
			t.Errorf("%s: dropped %q, error %v; want %q", c.row, dropTexts[got.drop].what, err, dropTexts[c.want].what)
		}
	}
	m := maker{encoder: letters{}, form: Completions} // no BOS, no EOS
	if got, err := m.make([]byte(`{"text":"a"}`), lineReader); err != nil || got.drop != dropEmptyChosen {
		t.Errorf("a text of one id, which nothing predicts: dropped %q, error %v", dropTexts[got.drop].what, err)
	}
}

// TestTemplateProblems are those of chat rows alone.
func TestTemplateProblems(t *testing.T) {
	const row = `{"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"yo"}]}`
	for _, c := range []struct{ name, source, row, want string }{
		{"none", "", row, "messages, and the model folder has no chat template; choose a format with chat_template (alpaca, chatml, gemma, llama-3, phi-3, plain, zephyr), or give text"},
		{"the whole does not begin with the prompt", `{{ messages|length }}`, row, "the chat template's text of the prompt is not the beginning of its text of the whole conversation; the template rewrites earlier messages"},
		{"it refuses", `{{ raise_exception("no, thanks") }}`, row, "chat_template.jinja: the chat template refuses the conversation: no, thanks"},
		{"no message before the completion", plainTemplate, `{"chosen":[{"role":"user","content":"hi"}],"rejected":[{"role":"user","content":"ho"}]}`, "no message before the completion; give at least one from the user"},
		{"the prompt ends with the assistant", plainTemplate, `{"prompt":[{"role":"assistant","content":"hi"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}`, "prompt: the last message is the assistant's; end the prompt with the user's"},
		{"a role that is none", plainTemplate, `{"prompt":[{"role":"user","content":"hi"}],"chosen":[{"role":"assitant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}`, `chosen: message 1: role: "assitant" is not known to the chat template; want system, developer, user, assistant, tool`},
		{"a role that the template knows", plainTemplate + `{# "human" #}`, `{"prompt":[{"role":"human","content":"hi"}],"completion":[{"role":"assistant","content":"a"}]}`, ""},
	} {
		m := maker{encoder: whole, form: Pairs}
		if strings.Contains(c.row, "completion") {
			m.form = Completions
		}
		if c.source != "" {
			m.template = template(t, c.source)
		}
		_, err := m.make([]byte(c.row), lineReader)
		if got := text(err); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// text is an error's text; that of none is empty.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestVars: what rows and settings give the chat template besides the messages.
func TestVars(t *testing.T) {
	const source = `{% if tools %}{{ tools[0].name }};{% endif %}{{ mood }}` + plainTemplate
	const chat = `"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"yo"}]`
	for _, c := range []struct {
		name, kwargs, row string
		want              string
		ignored           string
	}{
		{"nothing", "", `{` + chat + `}`, "u:hi;a:|yo;", ""},
		{"tools", "", `{"tools":[{"name":"f"}],` + chat + `}`, "f;u:hi;a:|yo;", ""},
		{"tools as text, as parquet files of others hold them", "", `{` + chat + `,"tools":"[{\"name\":\"f\"}]"}`, "f;u:hi;a:|yo;", ""},
		{"kwargs", "", `{"chat_template_kwargs":{"mood":"!"},` + chat + `}`, "!u:hi;a:|yo;", ""},
		{"kwargs of all rows", `{"mood":"?","tools":[{"name":"g"}]}`, `{` + chat + `}`, "g;?u:hi;a:|yo;", ""},
		{"a row goes above them", `{"mood":"?","tools":[{"name":"g"}]}`, `{"tools":[{"name":"f"}],"chat_template_kwargs":{"mood":"!"},` + chat + `}`, "f;!u:hi;a:|yo;", ""},
		{"kwargs go above tools", "", `{"chat_template_kwargs":{"tools":[{"name":"g"}]},"tools":[{"name":"f"}],` + chat + `}`, "g;u:hi;a:|yo;", ""},
		{"and in the other order", "", `{"tools":[{"name":"f"}],"chat_template_kwargs":{"tools":[{"name":"g"}]},` + chat + `}`, "g;u:hi;a:|yo;", ""},
		{"null is none", "", `{"tools":null,"chat_template_kwargs":null,` + chat + `}`, "u:hi;a:|yo;", ""},
		{"one that the template does not know", `{"mod":"?"}`, `{"chat_template_kwargs":{"mood":"!","x":1},` + chat + `}`, "!u:hi;a:|yo;", "mod x"},
		{"text", `{"mood":"?"}`, `{"tools":[{"name":"f"}],"prompt":"a","completion":"b"}`, "^a|b$", "mood tools"},
	} {
		vars, err := Options{ChatTemplateKwargs: c.kwargs}.vars()
		if err != nil {
			t.Fatal(err)
		}
		m := maker{encoder: whole, template: template(t, source), vars: vars, form: Completions}
		got, err := m.make([]byte(c.row), lineReader)
		if show := whole.showAll(got.example); err != nil || show != c.want || strings.Join(got.ignored, " ") != c.ignored {
			t.Errorf("%s: %s, error %v, ignored %q; want %s, %q", c.name, show, err, got.ignored, c.want, c.ignored)
		}
	}
}
