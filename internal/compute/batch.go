package compute

// Batch is a set of token sequences packed end to end, with no padding. The common prompt of a pair, or of more completions, is stored
// once: the rows of each completion name it as their prefix and continue its positions.
//
//	prompt_1 chosen_1 rejected_1 prompt_2 chosen_2 rejected_2 ...
type Batch struct {
	Tokens    []int32   // [N] id of every row
	Positions []int32   // [N] position of every row in its own sequence, from 0
	Segments  []Segment // cover the rows in order, without gaps
	Targets   []Target  // [M] sorted by Row; one for every scored id
	Weights   []float64 // [M] what the log-prob of a target counts in its sequence's sum; empty: all 1
	Sequences int       // S, the number of scored sequences
}

// Segment is a run of rows with consecutive positions. A row at position p sees a key at position q of its own segment
// or of the prefix when 0 <= p-q < window.
type Segment struct {
	Start, End             int // rows [Start, End)
	PrefixStart, PrefixEnd int // rows of the shared prefix, whose positions run from 0 up to this segment's first; equal when there is none
}

// Target says that row Row predicts id Token, which is scored as part of sequence Sequence.
type Target struct {
	Row      int
	Token    int32
	Sequence int // in [0, S)
}

// Rows is N, the number of rows.
func (b *Batch) Rows() int { return len(b.Tokens) }
