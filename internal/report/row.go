// Package report is what a run tells: rows of metrics in metrics.jsonl, progress on the terminal, tables and messages.
//
// The progress bar is drawn on a terminal alone; elsewhere a plain line comes every so often. Messages and the bar share
// one writer, so that a message is never glued to the bar.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
)

// Metric is a named number.
type Metric struct {
	Name  string
	value float64
	count int64
	whole bool
}

// Float is a metric of any number; Int one of a whole number.
func Float(name string, v float64) Metric { return Metric{Name: name, value: v} }
func Int(name string, v int64) Metric     { return Metric{Name: name, count: v, whole: true} }

// String is the number for people: six significant digits.
func (m Metric) String() string {
	if m.whole {
		return Count(m.count)
	}
	return strconv.FormatFloat(m.value, 'g', 6, 64)
}

// Row is metrics in the order they are written.
type Row []Metric

// JSON is the row as one JSON object on one line. Numbers have as many digits as it takes to read the same bits back.
// JSON has no numbers that are not finite: they are the strings "NaN", "Infinity" and "-Infinity", as Python's float()
// reads them.
func (r Row) JSON() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range r {
		if i > 0 {
			b.WriteString(", ")
		}
		name, err := json.Marshal(m.Name)
		if err != nil {
			panic(err) // a string
		}
		b.Write(name)
		b.WriteString(": ")
		switch {
		case m.whole:
			b.WriteString(strconv.FormatInt(m.count, 10))
		case math.IsNaN(m.value):
			b.WriteString(`"NaN"`)
		case math.IsInf(m.value, 0):
			b.WriteString(map[bool]string{true: `"Infinity"`, false: `"-Infinity"`}[m.value > 0])
		default:
			b.WriteString(strconv.FormatFloat(m.value, 'g', -1, 64))
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// MetricsFile is a metrics.jsonl that is being written.
type MetricsFile struct {
	file  *os.File
	bytes int64
}

// OpenMetrics opens path for rows after its first keep bytes, and cuts off what follows: 0 for a new run, else what
// Bytes said when the checkpoint was made that the run goes on from. A file shorter than keep is an error.
func OpenMetrics(path string, keep int64) (*MetricsFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size < keep {
		err = fmt.Errorf("%s: has %d bytes, and the checkpoint was made when it had %d; lines are missing", path, size, keep)
	}
	if err == nil {
		err = f.Truncate(keep)
	}
	if err == nil {
		_, err = f.Seek(keep, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &MetricsFile{file: f, bytes: keep}, nil
}

// Append writes a row as one line, in one write.
func (m *MetricsFile) Append(r Row) error {
	n, err := m.file.Write(append(r.JSON(), '\n'))
	m.bytes += int64(n)
	return err
}

// Bytes is the length of the file.
func (m *MetricsFile) Bytes() int64 { return m.bytes }

// Sync makes the lines written so far safe.
func (m *MetricsFile) Sync() error { return m.file.Sync() }

// Close closes the file.
func (m *MetricsFile) Close() error { return m.file.Close() }
