package chat

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPython compares with Jinja2; testdata/golden.py wrote the results.
func TestPython(t *testing.T) {
	var file struct {
		Data  json.RawMessage
		Cases []struct {
			Template string
			Text     *string
		}
	}
	readJSON(t, "testdata/jinja2.json", &file)
	data, err := decode(file.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		var got string
		tpl, err := New("t", c.Template, nil)
		if err == nil {
			got, err = tpl.render(data.(object).values, len(file.Data))
		}
		switch {
		case c.Text == nil && err == nil:
			t.Errorf("%q:\n got  %q\n want a refusal", c.Template, got)
		case c.Text != nil && (err != nil || got != *c.Text):
			t.Errorf("%q:\n got  %q, error %v\n want %q", c.Template, got, err, *c.Text)
		}
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func conversation(t testing.TB, text string) []Message {
	t.Helper()
	m, err := ParseMessages(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestChatML renders what SmolLM2 and many others use.
func TestChatML(t *testing.T) {
	tpl, err := New("chatml", `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
Help.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	prompt := conversation(t, `[{"role":"user","content":"Hi <b>ä</b>"}]`)
	whole := conversation(t, `[{"role":"user","content":"Hi <b>ä</b>"},{"role":"assistant","content":"Yes?"}]`)
	head := "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\nHi <b>ä</b><|im_end|>\n<|im_start|>assistant\n"
	for _, tt := range []struct {
		messages []Message
		prompt   bool
		want     string
	}{
		{prompt, true, head},
		{whole, false, head + "Yes?<|im_end|>\n"},
	} {
		if got, err := tpl.Render(tt.messages, Vars{}, tt.prompt); err != nil || got != tt.want {
			t.Errorf("got %q, error %v, want %q", got, err, tt.want)
		}
	}
}

// TestVariables are those that transformers gives, and the special tokens.
func TestVariables(t *testing.T) {
	tpl, err := New("t", "{{ bos_token }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ tool is defined }}", map[string]string{"bos_token": "<s>"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tpl.Render(conversation(t, `[{"role":"user","content":""}]`), Vars{}, true); got != "<s>TrueTrueTrueFalse" || err != nil {
		t.Errorf("got %q, error %v", got, err)
	}
}

func TestStrftime(t *testing.T) {
	at := time.Date(2025, 7, 4, 15, 6, 9, 0, time.UTC)
	r := &run{work: freeWork, checked: freeWork}
	const format, want = "%d %b %Y, %-d %B, %A %a %H:%M:%S %I %p %y %m %j %F %T 100%%", "04 Jul 2025, 4 July, Friday Fri 15:06:09 03 PM 25 07 185 2025-07-04 15:06:09 100%"
	if got := strftime(r, at, format); got != want {
		t.Errorf("%q: got %q, want %q", format, got, want)
	}
	tpl, err := New("t", "{{ strftime_now('%Y') }}", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tpl.render(nil, 0); len(got) != 4 || err != nil {
		t.Errorf("strftime_now('%%Y'): got %q, error %v", got, err)
	}
}

func TestRefusal(t *testing.T) {
	tpl, err := New("folder/chat_template.jinja", "{% if messages[0].role != 'system' %}\n{{ raise_exception('System first: ' + messages[0].role) }}{% endif %}", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpl.Render(conversation(t, `[{"role":"user","content":"x"}]`), Vars{}, false)
	var refusal *TemplateError
	if !errors.As(err, &refusal) || refusal.Message != "System first: user" {
		t.Fatalf("got error %v, want a *TemplateError with the template's words", err)
	}
	if want := "folder/chat_template.jinja: the chat template refuses the conversation: System first: user"; err.Error() != want {
		t.Errorf("got error %q, want %q", err, want)
	}
}

// TestErrors looks at what a user reads.
func TestErrors(t *testing.T) {
	for source, want := range map[string]string{
		"a\nb {% include 'x' %}":                       "t: line 2: {% include %} is not supported in a chat template",
		"\n\n{{ 'x' + }}":                              "t: line 3: want an expression, not the end of the tag",
		"{{ x | shout }}":                              "t: line 1: there is no filter shout",
		"{% if x is loud %}{% endif %}":                "t: line 1: there is no test loud",
		"x\n{% for m in messages %}\n{{ m }}\n":        "t: line 2: {% for %} without {% endfor %}",
		"{{ 'a\nb' }}\n{{ (1 }}":                       `t: line 3: unexpected "}"`,
		"a {{ b":                                       "t: line 1: a tag without end; want }}",
		"{% set a = 1 %}\n{{ a.b.c }}":                 "t: line 2: an int has no b",
		"{{ messages[0].content + 1 }}":                "t: line 1: a str + an int is not possible",
		"\n{{ nope.x }}":                               "t: line 2: nope is not defined",
		"{% for x in messages %}\n{{ x() }}{%endfor%}": "t: line 2: a dict cannot be called",
		"{{ strftime_now('%Q') }}":                     `t: line 1: strftime_now: "%Q": a code that is not supported`,
	} {
		tpl, err := New("t", source, nil)
		if err == nil {
			_, err = tpl.Render(conversation(t, `[{"role":"user","content":"x"}]`), Vars{}, false)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got  %v\n want %s", source, err, want)
		}
	}
}

// hostile are templates that want what they must not have: files, or more time and memory than there is.
func hostile() map[string]string {
	double := "{% set ns.x = ns.x + ns.x %}"
	return map[string]string{
		"include":              "{% include '/etc/passwd' %}",
		"import":               "{% import '/etc/passwd' as x %}",
		"from":                 "{% from '/etc/passwd' import x %}",
		"extends":              "{% extends '/etc/passwd' %}",
		"attributes":           "{{ ''.__class__.__mro__[1].__subclasses__() }}",
		"globals":              "{{ range.__globals__.os }}",
		"large range":          "{% for i in range(10**9) %}{% endfor %}",
		"negative range":       "{{ range(0, 0 - 10**12, -1) }}",
		"nested loops":         "{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}",
		"nested loops of text": "{% for i in range(10**5) %}{% for j in range(10**5) %}xxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
		"captured text":        "{% set t %}{% for i in range(10**5) %}" + strings.Repeat("x", 1<<16) + "{% endfor %}{% endset %}",
		"macro of text":        "{% macro m() %}" + strings.Repeat("x", 1<<16) + "{% endmacro %}{% for i in range(10**5) %}{% set x = m() %}{% endfor %}",
		"recursion":            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"two recursions":       "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
		"recursive map":        "{% macro m() %}{{ ['a']|map('default', m())|list }}{% endmacro %}{{ m() }}",
		"repetition":           "{{ 'x' * 10**9 }}",
		"repetition of a list": "{{ ([1] * 10**9)|length }}",
		"repeated repetition":  "{{ 'x' * 1000 * 1000 * 1000 * 1000 }}",
		"repetition, reversed": "{{ 10**15 * 'xx' }}",
		"power":                "{{ 9**9**9 }}",
		"doubling":             "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(100) %}" + double + "{% endfor %}",
		"doubling of lists":    "{% set ns = namespace(x=[1, 2]) %}{% for i in range(100) %}" + double + "{% endfor %}",
		"doubling in place":    "{% set x = 'x' * 1000 %}{{ " + strings.Repeat("(x ~ ", 90) + "x" + strings.Repeat(") ~ x", 90) + " }}{% for i in range(10**5) %}{% set y = x ~ x ~ x ~ x %}{% endfor %}",
		"lists in lists":       "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
		"equal lists in lists": "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
		"deep list":            "{% set ns = namespace(x=[1]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}",
		"namespace in itself":  "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
		"namespace in a list":  "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x|tojson }}",
		"replace":              "{% set x = 'x' * 10000 %}{{ x.replace('x', x).replace('x', x) }}",
		"replace nothing":      "{% set x = 'x' * 10000 %}{{ x.replace('', x) }}",
		"join":                 "{% set x = 'x' * 10000 %}{{ x.join(range(100000)|map('string')|list) }}",
		"indent":               "{{ 'a\nb'|indent(10**9) }}",
		"indent of json":       "{{ [[1]]|tojson(indent=10**9) }}",
		"format":               "{% set x = '%s' * 10000 %}{{ x % x }}",
		"sort":                 "{% for i in range(10**5) %}{% set x = range(10**5)|sort %}{% endfor %}",
		"unique":               "{% set x = range(10**5)|unique|list %}",
		"search":               "{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{% if 'b' in x %}{% endif %}{% endfor %}",
		"strip":                "{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{% set y = x.strip(x) %}{% endfor %}",
		"chain of calls":       "{% set x = 'a' * 10**5 %}{{ x" + strings.Repeat(".strip()", 20000) + " }}",
		"long sum":             "{{ 1" + strings.Repeat("+1", 100_000) + " }}",
		"brackets":             "{{ " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000) + " }}",
		"lists":                "{{ " + strings.Repeat("[", 100_000),
		"nots":                 "{{ " + strings.Repeat("not ", 50_000) + "1 }}",
		"minuses":              "{{ " + strings.Repeat("- ", 100_000) + "1 }}",
		"ifs":                  strings.Repeat("{% if 1 %}", 20_000),
		"else ifs":             "{{ " + strings.Repeat("1 if 0 else ", 20_000) + "1 }}",
		"filters":              "{{ range(99999)" + strings.Repeat("|list", 40_000) + " }}",
		"split":                "{% set x = 'a ' * 10**5 %}{% for i in range(10**5) %}{% set y = x.split() %}{% endfor %}",
		"slices":               "{% set x = range(10**5) %}{% for i in range(10**5) %}{% set y = x[::-1] %}{% endfor %}",
		"large step":           "{{ [1, 2][0:2:9223372036854775807] + 1 }}",
		"loop in a loop":       "{% for i in [1] %}{% set x = [loop] %}{{ x }}{% endfor %}",
		"division":             "{{ 1 // 0 }}",
		"remainder":            "{{ 1 is divisibleby 0 }}",
		"large template":       strings.Repeat("x", 1<<20),
		"width":                "{{ '%1000000000s' % 'x' }}",
		"width as a value":     "{{ '%*s' % (10**9, 'x') }}",
		"zeros":                "{{ '%01000000000d' % 1 }}",
		"decimals":             "{{ '%.1000000000f' % 1.5 }}",
		"width of a format":    "{{ '{:>1000000000}'.format('x') }}",
		"centered":             "{{ 'x'.center(10**9) }}{{ 'x'|center(10**9) }}",
		"rounded":              "{{ 1.5|round(10**9) }}",
		"shifted":              "{{ 1 << 10**9 }}",
		"blocks of a list":     "{{ [1]|batch(10**9, 'x')|list }}",
		"replace as a filter":  "{% set x = 'x' * 10000 %}{{ x|replace('', x) }}",
		"join as a filter":     "{% set x = 'x' * 10000 %}{{ range(100000)|join(x) }}",
		"replace in a map":     "{{ range(10**5)|map('string')|map('replace', '0', 'x' * 10**5)|list }}",
		"sum of lists":         "{{ ([[1] * 10**5] * 10**4)|sum(start=[]) }}",
		"squares":              "{% set ns = namespace(x=10) %}{% for i in range(1000) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
		"recursive loop":       "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
		"mutual recursion":     "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
		"recursive caller":     "{% macro a() %}{{ caller() }}{% endmacro %}{% macro b() %}{% call a() %}{{ b() }}{% endcall %}{% endmacro %}{{ b() }}",
		"growing in place":     "{% set d = [] %}{% for i in range(10**5) %}{% set _ = d.append(d) %}{% endfor %}",
		"dicts in dicts":       "{% set ns = namespace(x={'a': 1}) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x }}",
		"unpacked":             "{% for a, b in [range(10**5)] * 10**5 %}{% endfor %}",

		// What is kept takes memory until the end.
		"kept dicts":      "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x, [" + strings.Repeat("{'a':1},", 30_000) + "]] %}{% endfor %}",
		"kept namespaces": "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x, [" + strings.Repeat("namespace(a=1),", 16_000) + "]] %}{% endfor %}",
		"kept methods":    "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x, [" + strings.Repeat("'a'.strip,", 20_000) + "]] %}{% endfor %}",
		"kept numbers":    "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x, [" + strings.Repeat("i+1.5,", 50_000) + "]] %}{% endfor %}",
		"kept lists":      "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x, [" + strings.Repeat("[1],", 60_000) + "]] %}{% endfor %}",
		"kept macros":     "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% for j in range(10**5) %}{% macro m(a, b, c, d) %}{% endmacro %}{% set ns.x = [ns.x, m, loop] %}{% endfor %}{% endfor %}",
		"kept items":      "{% set ns = namespace(x=[]) %}{% for i in range(10**5) %}{% set ns.x = [ns.x, range(10**5)] %}{% endfor %}",
		"kept texts":      "{% set ns = namespace(x=[]) %}{% set t = 'x' * 10**5 %}{% for i in range(10**5) %}{% set ns.x = [ns.x, t | list] %}{% endfor %}",
		"kept joins":      "{% set ns = namespace(x=[]) %}{% set t = 'x' * 10**5 %}{% for i in range(10**5) %}{% set ns.x = [ns.x, t ~ i] %}{% endfor %}",
		"captured loops":  "{% set x %}{% for i in range(10**5) %}{% for j in range(10**5) %}{{ [1, 2, 3] }}{% endfor %}{% endfor %}{% endset %}",
		"separators":      "{{ range(10**5)|tojson(separators=('x' * 10**7, ':')) }}",
		"pair separators": "{{ messages[0]|tojson(separators=(',', 'x' * 10**8)) }}",
		"escapes":         "{{ ('\\x01' * 10**7)|tojson }}",
		"escapes of repr": "{{ ['\\x01' * 10**7] }}",
		"long names":      "{% set ns = namespace(x=[]) %}{% set t = 'x' * 10**7 %}{% for i in range(10**5) %}{% set ns.x = [ns.x, messages[0][t]] %}{% endfor %}",
		"refusal":         "{{ raise_exception('x' * 10**7) }}",
		"unknown filter":  "{{ 1|" + strings.Repeat("x", 200_000) + " }}",
		"formats":         "{% set t = '%' * 10**6 %}{% for i in range(10**5) %}{% for j in range(10**5) %}{% set x = t % () %}{% endfor %}{% endfor %}",
		"dates":           "{% set t = 'x' * 10**6 %}{% for i in range(10**5) %}{% for j in range(10**5) %}{% set x = strftime_now(t) %}{% endfor %}{% endfor %}",
		"words":           "{% set t = 'x ' * 10**6 %}{% for i in range(10**5) %}{% for j in range(10**5) %}{% set x = t|wordcount %}{% endfor %}{% endfor %}",
		"numbers":         "{% set t = '_' * 10**6 %}{% for i in range(10**5) %}{% for j in range(10**5) %}{% set x = t|int %}{% endfor %}{% endfor %}",
		"empty joins":     "{% set t = [''] * 10**5 %}{% for i in range(10**5) %}{% for j in range(10**5) %}{% set x = ''.join(t) %}{% endfor %}{% endfor %}",
		"many parameters": "{% macro m(" + strings.Repeat("a,", 30_000) + "b) %}{% endmacro %}{% for i in range(10**5) %}{{ m() }}{% endfor %}",
	}
}

// soon is when a template has to have ended: five times its bound, for a busy machine stops the whole process for seconds.
const soon = 5 * maxTime

// TestHostile holds that a template cannot read files, and ends soon with an error and without taking much memory.
func TestHostile(t *testing.T) {
	for name, source := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			tpl, err := New("t", source, map[string]string{"bos_token": "<s>"})
			var out string
			if err == nil {
				out, err = tpl.Render(conversation(t, `[{"role":"user","content":"x"}]`), Vars{}, true)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("no error; wrote %.100q", out)
			} else if len(err.Error()) > maxMessage+100 {
				t.Errorf("an error of %d bytes: %.300s", len(err.Error()), err)
			}
			if took > soon {
				t.Errorf("took %v", took)
			}
			if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 1024 {
				t.Errorf("made %d MiB of memory", made)
			}
			t.Logf("%v, %d MiB: %v", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, err)
		})
	}
}

// TestConcurrent renders with one template on many goroutines.
func TestConcurrent(t *testing.T) {
	tpl, err := New("t", "{% set ns = namespace(n=0) %}{% macro m(x) %}[{{ x }}]{% endmacro %}{% for m in messages %}{% set ns.n = ns.n + m.content|length %}{% endfor %}{{ ns.n }}{{ m(messages[0].content) }}", nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := strings.Repeat("x", i)
			messages, err := ParseMessages(json.RawMessage(`[{"role":"user","content":"` + text + `"}]`))
			if err != nil {
				t.Error(err)
				return
			}
			want := strconv.Itoa(i) + "[" + text + "]"
			for range 100 {
				if got, err := tpl.Render(messages, Vars{}, false); err != nil || got != want {
					t.Errorf("got %q, error %v, want %q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzTemplate holds that no template makes the program panic, hang, or write or take more than it may.
func FuzzTemplate(f *testing.F) {
	var file struct{ Cases []struct{ Template string } }
	text, err := os.ReadFile("testdata/jinja2.json")
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		f.Add(c.Template)
	}
	for _, source := range hostile() {
		if len(source) < 1000 && !testing.Short() { // TestHostile runs them
			f.Add(source)
		}
	}
	for _, name := range Formats() {
		tpl, err := Load(f.TempDir(), name, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tpl.Source())
	}
	messages := conversation(f, `[{"role":"user","content":"a <b> ä"},{"role":"assistant","content":null,"x":[1,{"y":2.5}]}]`)
	f.Fuzz(func(t *testing.T, source string) {
		start, before := time.Now(), allocated()
		tpl, err := New("t", source, map[string]string{"bos_token": "<s>"})
		if err != nil {
			return
		}
		text, err := tpl.Render(messages, Vars{}, true)
		if err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Errorf("%q: %v", source, err)
		}
		if took := time.Since(start); took > soon || len(text) > freeText+textEach*1000 {
			t.Errorf("%q: %v, %d bytes", source, took, len(text))
		}
		if made := allocated() - before; made > 512<<20 {
			t.Errorf("%q: made %d MiB of memory", source, made>>20)
		}
	})
}

// allocated is how much memory was made so far, in bytes.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// FuzzMessages: whatever a conversation is, parsing gives an error or messages that templates render, or refuse, without a panic.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{
		`[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]`, `[{"role":"system","content":null,"tool_calls":[{"function":{"name":"f","arguments":{"x":1e99}}}]}]`,
		`[{"role":"user","content":[{"type":"text","text":"a"}]}]`, `[{"role":"user","content":"a","role":"b"}]`, `[{}]`, `[1]`, `{}`, `[`, `[{"role":"","content":""}]`,
		`{"x":{"tools":[]}}`, `[{"type":"function"}]`, `"[{}]"`, `"["`, `null`, `{"messages":1}`,
	} {
		f.Add([]byte(s))
	}
	var templates []*Template
	for _, source := range []string{
		"{{ bos_token }}{{ tools }}{{ x }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] | trim }}{% endfor %}",
		"{% for m in messages %}{{ m.role | upper }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}",
		"{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages | tojson(indent=2) }}{{ messages[-1].content[:3] }}",
	} {
		tpl, err := New("t", source, map[string]string{"bos_token": "<s>"})
		if err != nil {
			f.Fatal(err)
		}
		templates = append(templates, tpl)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return // the rows that conversations stand in are JSON
		}
		tools, _ := ParseTools(string(raw))
		vars, _ := ParseVars(string(raw))
		vars = tools.With(vars)
		messages, err := ParseMessages(raw)
		if err != nil {
			messages = conversation(t, `[{"role":"user","content":"a"}]`)
		}
		for _, tpl := range templates {
			tpl.Ignores(vars)
			if _, err := tpl.Render(messages, vars, true); err != nil && strings.Contains(err.Error(), "runtime error") {
				t.Errorf("%q: %v", raw, err)
			}
		}
	})
}
