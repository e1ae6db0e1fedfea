package data

import (
	"iter"
	"slices"
	"unsafe"

	"dpotrain/internal/files"
	"dpotrain/internal/rows"
)

// Sequence is token ids of which the last are scored.
type Sequence struct {
	IDs   []int32 // up to and with the last scored id
	First int     // IDs[First:] are scored; at least 1, for nothing predicts the first id
}

// Example is a row that is ready: chosen and rejected, one completion, or a list of them, best first. An unpaired row may have a second sequence, a
// mismatched one: its prompt with the completion of another row.
type Example struct {
	File      string // that the row stands in
	Line      int    // of the file, from 1
	ByRow     bool   // Line is the number of the row, for the file has no lines
	Sequences []Sequence
	Numbers   *Numbers // nil: none were wanted, and the weight is 1
	Label     Label
	Imitated  *Sequence   // what supervised fine-tuning imitates in place of the first sequence, of the policy alone; nil: that itself
	Weights   [][]float64 // of every sequence: what the log-probs of its scored ids count in their sum; nil, also of one: all 1

	prompt promptKey
}

// promptKey is what is known of an example's prompt.
type promptKey struct {
	hash uint64 // by which prompts are told apart
	text string // to be shown
}

// Weight is what the example's loss is multiplied by.
func (e *Example) Weight() float64 {
	if e.Numbers == nil {
		return 1
	}
	return e.Numbers.Weight
}

// Place is the row's file and line, for messages.
func (e *Example) Place() string { return rows.Place(e.File, e.Line, e.ByRow) }

// Examples are those of a set, read by number: a set may have more of them than memory holds.
type Examples interface {
	Len() int
	// At is example i. It must not be changed, and one out of a file is made anew at each call, its ids lying in the file.
	At(i int) *Example
	// Bytes is what they take in memory.
	Bytes() int64
}

// Slice is examples in memory.
type Slice []Example

// Len is the number of examples.
func (s Slice) Len() int { return len(s) }

// At is example i.
func (s Slice) At(i int) *Example { return &s[i] }

// Bytes is what they take in memory.
func (s Slice) Bytes() int64 {
	n := int64(unsafe.Sizeof(Example{})) * int64(cap(s))
	for i := range s {
		n += s[i].parts()
	}
	return n
}

// parts is what an example in memory takes besides itself.
func (e *Example) parts() int64 {
	const id = int64(unsafe.Sizeof(int32(0)))
	n := int64(unsafe.Sizeof(Sequence{})) * int64(cap(e.Sequences))
	if e.Numbers != nil {
		n += int64(unsafe.Sizeof(Numbers{}))
	}
	for _, s := range e.Sequences {
		n += id * int64(cap(s.IDs))
	}
	if m := e.Imitated; m != nil {
		n += int64(unsafe.Sizeof(*m))
		if unsafe.SliceData(m.IDs) != unsafe.SliceData(e.Sequences[0].IDs) {
			n += id * int64(cap(m.IDs))
		}
	}
	return n
}

// All are the examples in order, with their numbers.
func All(x Examples) iter.Seq2[int, *Example] {
	return func(yield func(int, *Example) bool) {
		for i := range x.Len() {
			if !yield(i, x.At(i)) {
				return
			}
		}
	}
}

// Any says that f holds of one of the examples.
func Any(x Examples, f func(*Example) bool) bool {
	for _, e := range All(x) {
		if f(e) {
			return true
		}
	}
	return false
}

// ordinal is the number of an example among others; a set has fewer than two thousand million of them.
type ordinal int32

// picked are some examples of others.
type picked struct {
	of      Examples
	numbers []ordinal // in of
}

func (p *picked) Len() int          { return len(p.numbers) }
func (p *picked) At(i int) *Example { return p.of.At(int(p.numbers[i])) }

func (p *picked) Bytes() int64 {
	return p.of.Bytes() + int64(unsafe.Sizeof(ordinal(0)))*int64(cap(p.numbers))
}

// pick are the examples of the given numbers; those in memory that are not picked are let go.
func pick(x Examples, numbers []ordinal) Examples {
	all, ok := x.(Slice)
	if !ok {
		return &picked{x, slices.Clip(numbers)}
	}
	some := make(Slice, len(numbers))
	for i, n := range numbers {
		some[i] = all[n]
	}
	return some
}

// First are the first n examples, or all if there are fewer.
func First(x Examples, n int) Examples {
	if x.Len() <= n {
		return x
	}
	numbers := make([]ordinal, n)
	for i := range numbers {
		numbers[i] = ordinal(i)
	}
	return pick(x, numbers)
}

// joined are examples of several kinds, one behind the other.
type joined struct {
	parts []Examples
	ends  []int // of each part
}

// Join puts examples behind each other.
func Join(parts ...Examples) Examples {
	if len(parts) == 1 {
		return parts[0]
	}
	j := &joined{parts: parts}
	n := 0
	for _, p := range parts {
		n += p.Len()
		j.ends = append(j.ends, n)
	}
	return j
}

func (j *joined) Len() int {
	if len(j.ends) == 0 {
		return 0
	}
	return j.ends[len(j.ends)-1]
}

func (j *joined) At(i int) *Example {
	k, _ := slices.BinarySearch(j.ends, i+1)
	return j.parts[k].At(i - j.ends[k] + j.parts[k].Len())
}

func (j *joined) Bytes() (n int64) {
	for _, p := range j.parts {
		n += p.Bytes()
	}
	return n
}

// cut are examples as they would be with other options.
type cut struct {
	Examples
	options Options
}

func (c *cut) At(i int) *Example {
	e, _ := c.options.Truncated(*c.Examples.At(i))
	return &e
}

func (c *cut) Bytes() int64 {
	if _, ok := c.Examples.(Slice); !ok {
		return c.Examples.Bytes()
	}
	n := int64(unsafe.Sizeof(Example{})) * int64(c.Len())
	for _, e := range All(c) {
		n += e.parts()
	}
	return n
}

// Cut is what would become of examples, which may be truncated already, with these options. Those that would be left out are.
func (o Options) Cut(x Examples) Examples {
	var left []ordinal
	for i, e := range All(x) {
		if _, ok := o.Truncated(*e); ok {
			left = append(left, ordinal(i))
		}
	}
	if len(left) < x.Len() {
		x = pick(x, left)
	}
	return &cut{x, o}
}

// PromptsKept is the number of examples whose prompt a Set can show.
const PromptsKept = 100

// Set is the examples of a data set, or of several.
type Set struct {
	Name     string // of its data sets
	Examples Examples
	Reports  []*Report // one for each data set; none for what was held out of them

	maps []files.Mapped // in which ids and texts lie; see storefile.go
}

// Len is the number of examples; a set that is nil has none.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return s.Examples.Len()
}

// Prompts are what the first PromptsKept examples ask, to be shown: the prompt's text, or that of its last message.
func (s *Set) Prompts() []string {
	texts := make([]string, min(s.Len(), PromptsKept))
	for i := range texts {
		texts[i] = s.Examples.At(i).prompt.text
	}
	return texts
}

// Close gives back what the set holds. Its examples are not to be used any more.
func (s *Set) Close() {
	for i := range s.maps {
		s.maps[i].Unmap()
	}
	s.maps = nil
}

// Each calls f for all examples, on all cores and in no order.
func Each(x Examples, f func(i int, e *Example)) {
	const together = 1024
	n := x.Len()
	parallel((n+together-1)/together, func(part int) {
		for i := part * together; i < min((part+1)*together, n); i++ {
			f(i, x.At(i))
		}
	})
}
