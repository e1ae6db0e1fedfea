package report

// Mean accumulates named values with weights between two resets. The zero Mean is empty.
type Mean struct {
	names   []string // in the order in which they were first seen
	entries map[string]weighted
}

// weighted is the sum of weight times value, and the sum of weights.
type weighted struct{ sum, weight float64 }

// Add counts a value with a weight above 0, as the mean over so many samples.
func (m *Mean) Add(name string, value, weight float64) {
	if m.entries == nil {
		m.entries = map[string]weighted{}
	}
	e, seen := m.entries[name]
	if !seen {
		m.names = append(m.names, name)
	}
	m.entries[name] = weighted{e.sum + weight*value, e.weight + weight}
}

// Row is the weighted means since the last Reset, in the order in which their names were first seen.
func (m *Mean) Row() Row {
	row := make(Row, len(m.names))
	for i, name := range m.names {
		e := m.entries[name]
		row[i] = Float(name, e.sum/e.weight)
	}
	return row
}

// Reset forgets all values.
func (m *Mean) Reset() {
	m.names = m.names[:0]
	clear(m.entries)
}
