package data

import (
	"encoding/json"
	"strings"
	"testing"
)

// lineReader reads the rows of a JSONL file.
var lineReader = rowReader{inLine: true, naming: newNaming(nil)}

// TestSplitPrompt holds the prompt of texts that have none to TRL's rule. The rows are what extract_prompt of TRL 1.16.0
// gives, but for the last two: it looks at the character before the first, which in Python is the last one, and finds a
// space there; it fails where a side is empty.
func TestSplitPrompt(t *testing.T) {
	for _, c := range []struct{ chosen, rejected, prompt, chosenRest, rejectedRest string }{
		{"The sky is blue.", "The sky is green.", "The sky is", " blue.", " green."},
		{"Q: 2+2? A: 4", "Q: 2+2? A: 5", "Q: 2+2? A:", " 4", " 5"},
		{"ab", "ac", "a", "b", "c"},
		{"a b", "a c", "a", " b", " c"},
		{"a  b", "a  c", "a ", " b", " c"},
		{"same", "same and more", "sam", "e", "e and more"},
		{"same and more", "same", "sam", "e and more", "e"},
		{"the same", "the same", "the sam", "e", "e"},
		{"café", "cafè", "caf", "é", "è"}, // the two letters begin with the same byte
		{"日本の狐", "日本の猫", "日本の", "狐", "猫"},
		{"hi 🙂", "hi 🎉", "hi", " 🙂", " 🎉"},
		{"x\nyes", "x\nno", "x\n", "yes", "no"},
		{"\n\nHuman: hi\n\nAssistant: yes", "\n\nHuman: hi\n\nAssistant: no", "\n\nHuman: hi\n\nAssistant:", " yes", " no"},
		{"yes", "no", "", "yes", "no"},
		{"a", "a b", "", "a", "a b"},
		{"é", "éa", "", "é", "éa"},
		{"🙂", "🙂 a", "", "🙂", "🙂 a"},
		{" a", " b", "", " a", " b"},
		{"a ", "a b", "a", " ", " b"},
		{"e\u0301x", "e\u0300x", "e", "\u0301x", "\u0300x"},

		{"yes ", "no", "", "yes ", "no"},
		{"yes", "", "", "yes", ""},
	} {
		r := row{cells: map[string]cell{"chosen": {text: c.chosen}, "rejected": {text: c.rejected}}}
		got, err := r.conversation(Pairs)
		if err != nil || got.prompt.text != c.prompt || got.completions[0].text != c.chosenRest || got.completions[1].text != c.rejectedRest {
			t.Errorf("%q, %q: %+v, error %v; want %q, %q, %q", c.chosen, c.rejected, got, err, c.prompt, c.chosenRest, c.rejectedRest)
		}
	}
}

// TestSplitMessages holds the prompt of conversations to the same rule: it ends before the first message that differs,
// and where one side is the beginning of the other, before the last common one.
func TestSplitMessages(t *testing.T) {
	const a, b, c = `{"role":"user","content":"a"}`, `{"role":"assistant","content":"b"}`, `{"role":"assistant","content":"c"}`
	for _, k := range []struct {
		chosen, rejected string
		prompt           int // messages
	}{
		{a + "," + b, a + "," + c, 1},
		{a + "," + b, `{"content": "a", "role": "user"},` + c, 1}, // neither spaces nor the order of keys count
		{a + "," + b + "," + a + "," + b, a + "," + b + "," + a + "," + c, 3},
		{a + "," + b, a + "," + b + "," + c, 1},
		{a + "," + b, a + "," + b, 1},
		{a, a, 0},
		{b, c, 0},
		{`{"role":"user","content":"a","name":"x"},` + b, a + "," + c, 0},
	} {
		r, err := lineReader.parse([]byte(`{"chosen":[` + k.chosen + `],"rejected":[` + k.rejected + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.conversation(Pairs)
		if err != nil || len(got.prompt.messages) != k.prompt {
			t.Errorf("%s and %s: %d messages of prompt, error %v; want %d", k.chosen, k.rejected, len(got.prompt.messages), err, k.prompt)
			continue
		}
		for i, side := range []string{"chosen", "rejected"} {
			if n, want := len(got.completions[i].messages), len(r.cells[side].messages)-k.prompt; n != want {
				t.Errorf("%s and %s: %d messages of %s, want %d", k.chosen, k.rejected, n, side, want)
			}
		}
	}
}

// TestBadRows are errors of a line, word for word: each says what is wrong and what to do.
func TestBadRows(t *testing.T) {
	const pair = `"chosen":"c","rejected":"r"`
	for _, c := range []struct {
		form      Form
		row, want string
	}{
		// Not JSON, or not an object.
		{Pairs, `chosen: c`, "not a JSON object; want one object a line"},
		{Pairs, `"text"`, "not a JSON object; want one object a line"},
		{Pairs, `17`, "not a JSON object; want one object a line"},
		{Pairs, `null`, "not a JSON object; want one object a line"},
		{Pairs, `[{` + pair + `}]`, "a JSON list; want one object a line, which jq -c '.[]' makes of a list of them"},
		{Pairs, `{`, "not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"},
		{Pairs, `{"chosen": "c",`, "not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"},
		{Pairs, `{"chosen": "c`, "not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"},
		{Pairs, `{` + pair + `} {` + pair + `}`, `more after the object: "{\"chosen\":\"c\",\"rejected\":\"r\"}"; want one object a line`},
		{Pairs, `{` + pair + `}]`, `more after the object: "]"; want one object a line`},
		{Pairs, "{\"chosen\":\"\xff\"}", "invalid UTF-8; save the file as UTF-8"},
		{Pairs, `{"chosen":"a\ud83dx",` + pair + `}`, `chosen: \ud83d is half of a character; it was cut in two where the file was made`},
		{Pairs, `{"chosen":"\\\uDE00",` + pair + `}`, `chosen: \uDE00 is half of a character; it was cut in two where the file was made`},
		{Pairs, `{"prompt":[{"role":"user","content":"\ud83d\ud83d\ude00"}],` + pair + `}`, `prompt: \ud83d is half of a character; it was cut in two where the file was made`},

		// Columns.
		{Pairs, `{}`, "chosen: missing; a pair has prompt, chosen and rejected"},
		{Pairs, `{"instruction":"i","input":"","output":["a","b"]}`, "chosen: missing (there are instruction, input, output); a pair has prompt, chosen and rejected"},
		{Pairs, `{"Prompt":"p","Chosen":"c","Rejected":"r"}`, "chosen: missing (there are Prompt, Chosen, Rejected); a pair has prompt, chosen and rejected"},
		{Pairs, `{"prompt":"p","chosen":"c"}`, "rejected: missing (there are prompt, chosen); a pair has prompt, chosen and rejected"},
		{Pairs, `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`, "chosen: missing (there are a, b, c, d, e, f, g, h, ...); a pair has prompt, chosen and rejected"},
		{Pairs, `{` + pair + `,"chosen":"d"}`, "chosen: stands twice in the row; leave one out"},
		{Completions, `{"messages":[]}`, "no column completion, chosen or text (there are messages); a row of a loss without pairs has prompt and completion, prompt and chosen, or text"},
		{Completions, `{"completion":"c"}`, "prompt: missing; a row with completion needs one"},
		{Completions, `{"chosen":"c"}`, "prompt: missing; a row with chosen needs one"},
		{Completions, `{"prompt":"p","text":"t"}`, "prompt and text in one row; want prompt and completion, or text alone, which is scored as a whole"},
		{Pairs, `{"tools":{"name":"f"},"prompt":"p",` + pair + `}`, "tools: want a list of tools"},
		{Pairs, `{"tools":["f"],"prompt":"p",` + pair + `}`, "tools: tool 1: want an object: its JSON schema"},
		{Pairs, `{"tools":"[","prompt":"p",` + pair + `}`, "tools: a text that is not JSON; want a list of tools"},
		{Pairs, `{"tools":"{}","prompt":"p",` + pair + `}`, "tools: want a list of tools"},
		{Pairs, `{"tools":"[{},[]]","prompt":"p",` + pair + `}`, "tools: tool 2: want an object: its JSON schema"},
		{Pairs, `{"tools":[],"tools":[],` + pair + `}`, "tools: stands twice in the row; leave one out"},
		{Pairs, `{"tools":[{"x":"\uD83D"}],` + pair + `}`, `tools: \uD83D is half of a character; it was cut in two where the file was made`},
		{Pairs, `{"chat_template_kwargs":["f"],"prompt":"p",` + pair + `}`, "chat_template_kwargs: want an object of names and values"},
		{Pairs, `{"chat_template_kwargs":{"messages":[]},"prompt":"p",` + pair + `}`, "chat_template_kwargs: messages: not a variable of the chat template's own; leave it out"},
		{Pairs, `{"chat_template_kwargs":{"a":1,"a":1},"prompt":"p",` + pair + `}`, "chat_template_kwargs: a: stands twice"},
		{Pairs, `{"images":["a.png"],"prompt":"p",` + pair + `}`, "images: only text is read; take such rows out"},

		// Types.
		{Pairs, `{"prompt":"p","chosen":null,"rejected":"r"}`, "chosen: null; a pair has prompt, chosen and rejected"},
		{Pairs, `{"prompt":7,` + pair + `}`, "prompt: 7; want text or a list of messages"},
		{Pairs, `{"prompt":true,` + pair + `}`, "prompt: true; want text or a list of messages"},
		{Pairs, `{"prompt":{"role":"user","content":"a long prompt in a message without a list"},` + pair + `}`, `prompt: {"role":"user","content":"a long prompt ...; want text or a list of messages`},
		{Pairs, `{"prompt":[{"role":"user","content":"p"}],` + pair + `}`, "text in one column and messages in another; want one kind in a row"},
		{Pairs, `{"chosen":"c","rejected":[{"role":"assistant","content":"r"}]}`, "text in one column and messages in another; want one kind in a row"},
		{Completions, `{"text":[{"role":"user","content":"p"}]}`, "text: a list of messages; want text, or the columns prompt and completion"},

		// Messages.
		{Pairs, `{"prompt":[],` + pair + `}`, "prompt: an empty list; want at least one message"},
		{Pairs, `{"prompt":["hello"],` + pair + `}`, "prompt: message 1: want an object with role and content"},
		{Pairs, `{"prompt":[{"role":"user","content":"p"},{"from":"human","value":"p"}],` + pair + `}`, "prompt: message 2: role: want a string such as user or assistant"},
		{Pairs, `{"prompt":[{"role":"","content":"p"}],` + pair + `}`, "prompt: message 1: role: want a string such as user or assistant"},
		{Pairs, `{"prompt":[{"role":"user"}],` + pair + `}`, "prompt: message 1: content: missing; want a string, a list or null"},
		{Pairs, `{"prompt":[{"role":"user","content":3}],` + pair + `}`, "prompt: message 1: content: want a string, a list or null"},
	} {
		m := maker{encoder: whole, template: template(t, plainTemplate), form: c.form}
		if _, err := m.make([]byte(c.row), lineReader); text(err) != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.row, text(err), c.want)
		}
	}
	for _, c := range []struct{ row, want string }{
		{`{"chosen" "c"}`, `not JSON at byte 11 of the line: invalid character '"' after object key; mend the line`},
		{`{'chosen': 'c'}`, `not JSON at byte 2 of the line: invalid character '\'' where a key in double quotes belongs; JSON has double quotes`},
		{`{"chosen": NaN}`, `not JSON at byte 12 of the line: invalid character 'N' where a value belongs; mend the line`},
		{`{"a": 1, 2: 3}`, `not JSON at byte 10 of the line: invalid character '2' where a key in double quotes belongs; mend the line`},
		{`{` + pair + `,}`, `not JSON at byte 30 of the line: invalid character '}' where a key in double quotes belongs; mend the line`},
		{"{\"chosen\":\"a\tb\"}", `not JSON at byte 13 of the line: invalid character '\t' in string literal; mend the line`},
		{`{"x":` + strings.Repeat("[", 20000) + `}`, `not JSON at byte 10005 of the line: invalid character '[' exceeded max depth; mend the line`},
	} {
		m := maker{encoder: whole, form: Pairs}
		if _, err := m.make([]byte(c.row), lineReader); text(err) != c.want {
			t.Errorf("%.40s\ngot  %s\nwant %s", c.row, text(err), c.want)
		}
	}
	m := maker{encoder: whole, form: Pairs}
	if _, err := m.make([]byte(`{"tools":null,"chat_template_kwargs":null,"images":[],"prompt":"p",`+pair+`}`), lineReader); err != nil {
		t.Errorf("columns that are refused, but hold nothing: %v", err)
	}
}

func TestLoneSurrogate(t *testing.T) {
	for text, want := range map[string]int{
		`""`:                           -1,
		`"a\nb\\u\"\u00e9"`:            -1,
		`"\ud83d\ude00"`:               -1,
		`"\uD83D\uDE00\uD83D\uDE01"`:   -1,
		`"\\ud83d"`:                    -1, // an escaped backslash, then letters
		`"\\\ud83d"`:                   3,
		`"\ude00\ud83d"`:               1, // the wrong way round
		`"x\ud83d"`:                    2,
		`"\ud83dx\ude00"`:              1,
		`"\ud83d\u0041"`:               1,
		`"\ud83d\ude00\ude00"`:         13,
		`"` + "\U0001F642" + `\ufffd"`: -1, // written as itself
	} {
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is not JSON", text)
		}
		if got := loneSurrogate([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
		// encoding/json puts U+FFFD in the place of such halves.
		var s string
		if err := json.Unmarshal([]byte(text), &s); err != nil || strings.Contains(s, "\ufffd") != (want >= 0 || strings.Contains(text, `\ufffd`)) {
			t.Errorf("%s: encoding/json makes %q of it, error %v", text, s, err)
		}
	}
}
