package plan

// Part is one thing that takes memory.
type Part struct {
	Name  string
	Bytes int64
	How   string // how the number comes about
}

// Phase is a part of a run, with everything that it has in memory at the same time.
type Phase struct {
	Name  string
	Parts []Part
}

// Total is what a phase takes in bytes.
func (p Phase) Total() int64 {
	var n int64
	for _, part := range p.Parts {
		n += part.Bytes
	}
	return n
}

// Peak is the phase that takes most, the first of equals.
func Peak(phases []Phase) Phase {
	var most Phase
	for i, p := range phases {
		if i == 0 || p.Total() > most.Total() {
			most = p
		}
	}
	return most
}
