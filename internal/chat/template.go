package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Bounds of one rendering.
const (
	maxTime  = 2 * time.Second
	maxTicks = 1_000_000 // rounds of loops, calls of macros and assignments
	maxDeep  = 2_000     // calls of macros: recursion ends here, long before the stack does
	maxRange = 100_000   // items of range()
	maxText  = 16 << 20  // bytes of output or of a text that a filter makes
	maxHeap  = 512 << 20 // bytes by which the program's memory may grow
)

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	source   string
	mu       sync.Mutex
	template *exec.Template
	guard    guard
	vars     map[string]string
}

// guard counts what a rendering does.
type guard struct {
	ticks, calls int
	deadline     time.Time
	heap         uint64
}

func (g *guard) reset() { *g = guard{deadline: time.Now().Add(maxTime), heap: heapBytes()} }

// tick stops a rendering that is out of bounds.
func (g *guard) tick(call bool) error {
	g.ticks++
	if call {
		g.calls++
	}
	switch {
	case g.calls > maxDeep:
		return fmt.Errorf("the chat template calls macros more than %d times", maxDeep)
	case g.ticks > maxTicks:
		return fmt.Errorf("the chat template goes through more than %d rounds", maxTicks)
	case g.ticks%64 == 0 && time.Now().After(g.deadline):
		return fmt.Errorf("the chat template runs for more than %v", maxTime)
	case g.ticks%8 == 0 && heapBytes() > g.heap+maxHeap:
		return fmt.Errorf("the chat template takes more than %d MiB of memory", maxHeap>>20)
	}
	return nil
}

// heapBytes is the memory of live and not yet swept objects.
func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// tickName is the tag put into templates after for, macro and set; no template writes it itself.
const (
	tickName     = "dpotrain_tick"
	tickCallName = "dpotrain_tick_call"
)

// instrument puts a tick behind every tag that begins a loop's body or a macro's, or assigns, and refuses what the
// sandbox does not have.
func instrument(name, source string, cfg *config.Config) (out string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", name, r)
		}
	}()
	if strings.Contains(source, "dpotrain_tick") {
		return "", fmt.Errorf("%s: the name dpotrain_tick is taken", name)
	}
	var (
		b         strings.Builder
		copied    int
		tag       string
		line      int
		firstName bool
		previous  tokens.Type
	)
	stream := tokens.LexAll(source, cfg)
	for t := stream.Current(); t != nil && t.Type != tokens.EOF; t = stream.Next() {
		switch t.Type {
		case tokens.Error:
			return "", fmt.Errorf("%s: line %d: %s", name, t.Line, t.Val)
		case tokens.BlockBegin:
			firstName, tag, line = true, "", t.Line
		case tokens.Name:
			if firstName {
				tag, firstName = t.Val, false
				if slices.Contains([]string{"include", "import", "from", "extends", "block", "trans"}, tag) {
					return "", fmt.Errorf("%s: line %d: {%% %s %%} is not supported in a chat template", name, line, tag)
				}
			}
		case tokens.BlockEnd:
			if tag == "for" || tag == "set" || tag == "macro" {
				end := t.Pos + strings.Index(source[t.Pos:], cfg.BlockEndString) + len(cfg.BlockEndString)
				tick := tickName
				if tag == "macro" {
					tick = tickCallName
				}
				trim := ""
				if source[end-len(cfg.BlockEndString)-1] == '-' {
					trim = "-"
				}
				b.WriteString(source[copied:end])
				b.WriteString("{% " + tick + " " + trim + "%}")
				copied = end
			}
		}
		if (previous == tokens.Multiply || previous == tokens.Power) && !smallNumber(t) {
			return "", fmt.Errorf("%s: line %d: * is supported only with a number up to %d after it", name, t.Line, maxFactor)
		}
		previous = t.Type
	}
	b.WriteString(source[copied:])
	return b.String(), nil
}

// maxFactor bounds what a text may be multiplied by.
const maxFactor = 1000

func smallNumber(t *tokens.Token) bool {
	n, err := strconv.Atoi(t.Val)
	return t.Type == tokens.Integer && err == nil && n <= maxFactor
}

// New parses a template; name is for messages.
func New(name, source string, vars map[string]string) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%s: the template has %d bytes; at most %d are read", name, len(source), maxSource)
	}
	cfg := config.New()
	cfg.TrimBlocks, cfg.LeftStripBlocks = true, true
	t := &Template{source: source, vars: vars}
	text, err := instrument(name, source, cfg)
	if err != nil {
		return nil, err
	}
	const root = "/template"
	l, err := loaders.NewShiftedLoader(root, strings.NewReader(text), noFiles{})
	if err != nil {
		return nil, err
	}
	if t.template, err = parse(root, cfg, l, t.environment()); err != nil {
		// gonja repeats the whole text of the template in its message.
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(strings.ReplaceAll(err.Error(), text, "..."), "failed to parse template '...': "))
	}
	return t, nil
}

func parse(root string, cfg *config.Config, l loaders.Loader, env *exec.Environment) (t *exec.Template, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return exec.NewTemplate(root, cfg, l, env)
}

// noFiles is a loader that has nothing.
type noFiles struct{}

var errNoFiles = errors.New("a chat template may not read files")

func (noFiles) Read(string) (io.Reader, error)         { return nil, errNoFiles }
func (noFiles) Resolve(string) (string, error)         { return "", errNoFiles }
func (noFiles) Inherit(string) (loaders.Loader, error) { return nil, errNoFiles }

// Source is the template's text.
func (t *Template) Source() string { return t.source }

// refusal is how raise_exception's message travels through the engine.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }

// Render writes a conversation. With addGenerationPrompt it ends where the assistant begins to speak. A refusal by the
// template itself is a *TemplateError.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	list := make(list_, len(messages))
	for i, m := range messages {
		list[i] = m.value
	}
	return t.render(map[string]any{"messages": list, "add_generation_prompt": addGenerationPrompt})
}

// render runs the template with data. The engine's environment is shared, so one rendering runs at a time.
func (t *Template) render(data map[string]any) (out string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	values := map[string]any{"tools": nil, "documents": nil}
	for k, v := range t.vars {
		values[k] = v
	}
	for k, v := range data {
		values[k] = plain(v)
	}
	t.guard.reset()
	defer func() {
		if r := recover(); r != nil {
			out, err = "", fmt.Errorf("chat template: %v", r)
		}
	}()
	w := &limitedWriter{}
	if err := t.template.Execute(w, exec.NewContext(values)); err != nil {
		if w.full {
			return "", errTooLarge
		}
		return "", renderError(err)
	}
	return w.String(), nil
}

func renderError(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return &TemplateError{r.message}
	}
	// The engine flattens errors of functions into text.
	if _, message, ok := strings.Cut(err.Error(), refusalMark); ok {
		message, _, _ = strings.Cut(message, refusalEnd)
		return &TemplateError{message}
	}
	return fmt.Errorf("chat template: %w", err)
}

// Marks around a refusal's message in the engine's error texts.
const (
	refusalMark = "\x01raise:"
	refusalEnd  = "\x02"
)

type limitedWriter struct {
	bytes.Buffer
	full bool
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	if w.Len()+len(b) > maxText {
		w.full = true
		return 0, errTooLarge
	}
	return w.Buffer.Write(b)
}

func (w *limitedWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// GetItem lets templates count from the end of a list.
func (l list_) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if i < 0 {
		i += len(l)
	}
	if !ok || i < 0 || i >= len(l) {
		return exec.AsValue(nil), false
	}
	return exec.AsValue(l[i]), true
}

// plain turns objects into the engine's dictionaries.
func plain(v any) any {
	switch x := v.(type) {
	case object:
		d := exec.NewDict()
		for _, k := range x.keys {
			d.Pairs = append(d.Pairs, &exec.Pair{Key: exec.AsValue(k), Value: exec.AsValue(plain(x.values[k]))})
		}
		return d
	case list_:
		l := make(list_, len(x))
		for i := range x {
			l[i] = plain(x[i])
		}
		return l
	}
	return v
}

// tickNode counts a round.
type tickNode struct {
	at    *tokens.Token
	guard *guard
	call  bool
}

func (n *tickNode) Position() *tokens.Token { return n.at }
func (n *tickNode) String() string          { return tickName }
func (n *tickNode) Execute(*exec.Renderer, *nodes.ControlStructureBlock) error {
	return n.guard.tick(n.call)
}

// generationNode is the body of a generation tag, which marks what the assistant says.
type generationNode struct {
	at   *tokens.Token
	body *nodes.Wrapper
}

func (n *generationNode) Position() *tokens.Token { return n.at }
func (n *generationNode) String() string          { return "generation" }
func (n *generationNode) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(n.body)
}

func parseGeneration(p *parser.Parser, _ *parser.Parser) (nodes.ControlStructure, error) {
	n := &generationNode{at: p.Current()}
	var err error
	n.body, _, err = p.WrapUntil("endgeneration")
	return n, err
}

// environment is what templates can call, as transformers gives it to them, less what could grow without bounds.
func (t *Template) environment() *exec.Environment {
	context := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables)
	context.Set("raise_exception", func(message string) (any, error) {
		return nil, &refusal{refusalMark + message + refusalEnd}
	})
	context.Set("strftime_now", strftimeNow)
	context.Set("range", rangeList)
	context.Set("lipsum", nil)

	tick := func(call bool) parser.ControlStructureParser {
		return func(p *parser.Parser, _ *parser.Parser) (nodes.ControlStructure, error) {
			return &tickNode{p.Current(), &t.guard, call}, nil
		}
	}
	structures := map[string]parser.ControlStructureParser{"generation": parseGeneration, tickName: tick(false), tickCallName: tick(true)}
	for _, name := range []string{"for", "if", "set", "macro", "call", "filter", "with", "raw", "do", "break", "continue"} {
		if f, ok := builtins.ControlStructures.Get(name); ok {
			structures[name] = f
		}
	}
	methods := builtins.Methods
	methods.Str = stringMethods()
	return &exec.Environment{Context: context, Filters: filters(), Tests: builtins.Tests, ControlStructures: exec.NewControlStructureSet(structures), Methods: methods}
}

func rangeList(_ *exec.Evaluator, params *exec.VarArgs) (list_, error) {
	var n []int
	for _, a := range params.Args {
		if !a.IsInteger() {
			return nil, errors.New("range: want whole numbers")
		}
		n = append(n, a.Integer())
	}
	start, stop, step := 0, 0, 1
	switch len(n) {
	case 1:
		stop = n[0]
	case 2:
		start, stop = n[0], n[1]
	case 3:
		start, stop, step = n[0], n[1], n[2]
	default:
		return nil, errors.New("range: want one to three numbers")
	}
	if step == 0 {
		return nil, errors.New("range: a step of 0")
	}
	l := list_{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(l) == maxRange {
			return nil, fmt.Errorf("range: more than %d items", maxRange)
		}
		l = append(l, i)
	}
	return l, nil
}

// strftimeNow formats the time by Python's codes.
func strftimeNow(format string) string {
	now := time.Now()
	codes := map[byte]string{'d': "02", 'b': "Jan", 'B': "January", 'Y': "2006", 'y': "06", 'm': "01", 'H': "15", 'M': "04", 'S': "05", 'A': "Monday", 'a': "Mon", 'j': "002", 'I': "03", 'p': "PM"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] == '%' && i+1 < len(format) {
			i++
			if layout, ok := codes[format[i]]; ok {
				b.WriteString(now.Format(layout))
			} else {
				b.WriteByte(format[i])
			}
			continue
		}
		b.WriteByte(format[i])
	}
	return b.String()
}

// filters are the engine's without those whose result is not bounded by their input, and with Python's ways.
func filters() *exec.FilterSet {
	names := []string{"abs", "attr", "capitalize", "default", "d", "dictsort", "e", "escape", "first", "float", "forceescape", "groupby", "int", "items", "last",
		"length", "count", "lower", "map", "max", "min", "rejectattr", "reject", "reverse", "round", "safe", "selectattr", "select", "sort", "string", "striptags",
		"sum", "title", "trim", "unique", "upper", "wordcount"}
	set := map[string]exec.FilterFunction{}
	for _, n := range names {
		if f, ok := builtins.Filters.Get(n); ok {
			set[n] = f
		}
	}
	list, _ := builtins.Filters.Get("list")
	set["list"] = func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
		v := list(e, in, p)
		if v.IsError() || !v.IsList() {
			return v
		}
		l := list_{}
		for i := range v.Len() {
			l = append(l, v.Index(i).Interface())
		}
		return exec.AsValue(l)
	}
	join, _ := builtins.Filters.Get("join")
	set["join"] = func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
		if len(p.Args) > 0 {
			if err := bounded(in.Len(), len(p.Args[0].String())); err != nil {
				return exec.AsValue(err)
			}
		}
		return join(e, in, p)
	}
	set["replace"] = func(_ *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
		s, err := replaceArgs(in.String(), p)
		if err != nil {
			return exec.AsValue(err)
		}
		return exec.AsValue(s)
	}
	set["indent"] = bounding("indent")
	set["tojson"] = func(_ *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in
		}
		indent := 0
		if kw, ok := p.KwArgs["indent"]; ok && kw.IsInteger() {
			indent = kw.Integer()
		} else if len(p.Args) > 0 && p.Args[0].IsInteger() {
			indent = p.Args[0].Integer()
		}
		var b strings.Builder
		if err := pythonJSON(&b, in.Interface(), strings.Repeat(" ", min(max(indent, 0), 16)), ""); err != nil {
			return exec.AsValue(err)
		}
		return exec.AsSafeValue(b.String())
	}
	return exec.NewFilterSet(set)
}

// bounding is a filter of the engine whose first argument, a width, is bounded.
func bounding(name string) exec.FilterFunction {
	f, _ := builtins.Filters.Get(name)
	return func(e *exec.Evaluator, in *exec.Value, p *exec.VarArgs) *exec.Value {
		if len(p.Args) > 0 && p.Args[0].IsInteger() && p.Args[0].Integer() > maxFactor {
			return exec.AsValue(fmt.Errorf("%s: a width of more than %d", name, maxFactor))
		}
		return f(e, in, p)
	}
}

func replaceArgs(s string, p *exec.VarArgs) (string, error) {
	if len(p.Args) < 2 {
		return "", errors.New("replace: want what to replace and by what")
	}
	n := -1
	if len(p.Args) > 2 {
		n = p.Args[2].Integer()
	}
	return replace(s, p.Args[0].String(), p.Args[1].String(), n)
}

// stringMethods are those of Python's str that do not grow without bounds.
func stringMethods() *exec.MethodSet[string] {
	set := map[string]exec.Method[string]{}
	for _, name := range []string{"capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
		"isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "lower", "partition", "removeprefix", "removesuffix",
		"rfind", "rindex", "rpartition", "rsplit", "splitlines", "startswith", "swapcase", "title", "upper"} {
		if f, ok := builtins.Methods.Str.Get(name); ok {
			set[name] = f
		}
	}
	set["join"] = func(self string, v *exec.Value, p *exec.VarArgs) (any, error) {
		if len(p.Args) != 1 {
			return nil, errors.New("join: want one list")
		}
		if err := bounded(p.Args[0].Len(), len(self)); err != nil {
			return nil, err
		}
		var parts []string
		for i := range p.Args[0].Len() {
			parts = append(parts, p.Args[0].Index(i).String())
		}
		return strings.Join(parts, self), nil
	}
	set["replace"] = func(self string, _ *exec.Value, p *exec.VarArgs) (any, error) { return replaceArgs(self, p) }
	set["split"] = func(self string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		n := -1
		if len(p.Args) > 1 && p.Args[1].Integer() >= 0 {
			n = p.Args[1].Integer() + 1
		}
		var parts []string
		if len(p.Args) == 0 || p.Args[0].IsNil() {
			parts = strings.Fields(self)
		} else {
			parts = strings.SplitN(self, p.Args[0].String(), n)
		}
		l := make(list_, len(parts))
		for i, s := range parts {
			l[i] = s
		}
		return l, nil
	}
	for name, trim := range map[string]func(string, string) string{"strip": strings.Trim, "lstrip": strings.TrimLeft, "rstrip": strings.TrimRight} {
		set[name] = func(self string, _ *exec.Value, p *exec.VarArgs) (any, error) {
			cut := pythonSpace
			if len(p.Args) > 0 && !p.Args[0].IsNil() {
				cut = p.Args[0].String()
			}
			return trim(self, cut), nil
		}
	}
	return exec.NewMethodSet(set)
}

// pythonJSON writes a value as Python's json.dumps with ensure_ascii off: a space after commas and colons, keys in order.
func pythonJSON(b *strings.Builder, v any, indent, at string) error {
	if b.Len() > maxText || len(at) > 16*maxDepth {
		return errTooLarge
	}
	if e, ok := v.(*exec.Value); ok {
		v = e.Interface()
	}
	sequence := func(open, end string, n int, item func(int) error) error {
		b.WriteString(open)
		for i := range n {
			switch {
			case i > 0 && indent == "":
				b.WriteString(", ")
			case i > 0:
				b.WriteString(",")
			}
			if indent != "" {
				b.WriteString("\n" + at + indent)
			}
			if err := item(i); err != nil {
				return err
			}
		}
		if n > 0 && indent != "" {
			b.WriteString("\n" + at)
		}
		b.WriteString(end)
		return nil
	}
	pair := func(k string, v any) error {
		if err := pythonJSON(b, k, "", ""); err != nil {
			return err
		}
		b.WriteString(": ")
		return pythonJSON(b, v, indent, at+indent)
	}
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
		return nil
	case *exec.Dict:
		return sequence("{", "}", len(x.Pairs), func(i int) error { return pair(x.Pairs[i].Key.String(), x.Pairs[i].Value) })
	case exec.Dict:
		return pythonJSON(b, &x, indent, at)
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String:
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(r.String()); err != nil {
			return err
		}
		s := strings.TrimSuffix(text.String(), "\n")
		b.WriteString(strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(s))
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(r.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		b.WriteString(strconv.FormatInt(r.Int(), 10))
	case reflect.Float32, reflect.Float64:
		s := strconv.FormatFloat(r.Float(), 'g', -1, 64)
		if r.Float() == math.Trunc(r.Float()) && !strings.ContainsAny(s, "e.") {
			s += ".0"
		}
		b.WriteString(s)
	case reflect.Slice, reflect.Array:
		return sequence("[", "]", r.Len(), func(i int) error { return pythonJSON(b, r.Index(i).Interface(), indent, at+indent) })
	case reflect.Map:
		m := map[string]any{}
		for _, k := range r.MapKeys() {
			m[fmt.Sprint(k.Interface())] = r.MapIndex(k).Interface()
		}
		keys := sortedKeys(m)
		return sequence("{", "}", len(keys), func(i int) error { return pair(keys[i], m[keys[i]]) })
	default:
		return fmt.Errorf("tojson: a %T has no JSON form", v)
	}
	return nil
}
