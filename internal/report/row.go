// Package report is what a run tells: rows of metrics in metrics.jsonl, progress on the terminal, tables, percentiles of lengths, and messages.
//
// A metrics.jsonl is one Row a line: a JSON object of numbers, step first, in the order in which they were put in. It is
// only ever appended to, and cut back to what a checkpoint knew when a run goes on from there. Numbers that are not finite
// are the strings "NaN", "Infinity" and "-Infinity", since JSON has none; Python's float() reads them.
//
// The progress bar is drawn on a terminal alone; elsewhere a plain line comes every so often. Messages and the bar share
// one writer, so that a message is never glued to the bar. It gives way to messages of Logger and of Progress.Printf; what
// is written to the terminal otherwise while a bar is up is not known to it.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
)

// Metric is a named number; Float and Int make one.
type Metric struct {
	Name  string
	value float64
	count int64 // in place of value
	whole bool  // count is meant
}

// Float is a metric of any number.
func Float(name string, v float64) Metric { return Metric{Name: name, value: v} }

// Int is a metric of a whole number.
func Int(name string, v int64) Metric { return Metric{Name: name, count: v, whole: true} }

// String is the number for people: six significant digits.
func (m Metric) String() string {
	if m.whole {
		return Count(m.count)
	}
	return strconv.FormatFloat(m.value, 'g', 6, 64)
}

// Row is metrics in the order they are written.
type Row []Metric

// JSON is the row as one JSON object on one line, without its end. Numbers have as many digits as it takes to read the same
// bits back; see the package for those that are not finite.
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
		case math.IsInf(m.value, 1):
			b.WriteString(`"Infinity"`)
		case math.IsInf(m.value, -1):
			b.WriteString(`"-Infinity"`)
		default:
			b.WriteString(strconv.FormatFloat(m.value, 'g', -1, 64))
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Value is the number of that name; ok is false if the row has none.
func (r Row) Value(name string) (v float64, ok bool) {
	for _, m := range r {
		if m.Name == name && m.whole {
			return float64(m.count), true
		} else if m.Name == name {
			return m.value, true
		}
	}
	return 0, false
}

// ParseRow reads what JSON wrote. Every number is a Float then, to the bit.
func ParseRow(text []byte) (Row, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a row of metrics: want an object of numbers")
	}
	var r Row
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not a row of metrics: %w", err)
		}
		value, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not a row of metrics: %w", err)
		}
		v, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		if err != nil {
			return nil, fmt.Errorf("not a row of metrics: %v is %v; want a number", name, value)
		}
		r = append(r, Float(name.(string), v)) // an object's keys are strings
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not a row of metrics: %w", err)
	}
	return r, nil
}

// remedy is what to do when metrics and checkpoint do not belong together.
const remedy = "put back the file that belongs to the checkpoint, or go on from another one"

// MetricsFile is a metrics.jsonl that is being written.
type MetricsFile struct {
	file  *os.File
	bytes int64
}

// OpenMetrics opens path for rows after its first keepBytes bytes, and cuts off what follows: 0 for a new run, else what
// Bytes said when the checkpoint was made that the run goes on from. It is an error, and the file stays as it is, if it has
// not that many bytes or if they do not end with a line.
func OpenMetrics(path string, keepBytes int64) (*MetricsFile, error) {
	flags := os.O_RDWR
	if keepBytes == 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o666)
	if errors.Is(err, fs.ErrNotExist) && keepBytes != 0 {
		return nil, fmt.Errorf("%w; %s", err, remedy)
	}
	if err != nil {
		return nil, err
	}
	if err := cutMetrics(f, keepBytes); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &MetricsFile{file: f, bytes: keepBytes}, nil
}

// cutMetrics leaves f with its first keep bytes, and at their end.
func cutMetrics(f *os.File, keep int64) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if keep < 0 || size < keep {
		return fmt.Errorf("has %d bytes, want at least the %d that it had when the checkpoint was made; %s", size, keep, remedy)
	}
	if keep > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, keep-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			return fmt.Errorf("byte %d is inside a line, and the checkpoint was made at the end of one; %s", keep, remedy)
		}
	}
	if err := f.Truncate(keep); err != nil {
		return err
	}
	_, err = f.Seek(keep, io.SeekStart)
	return err
}

// Append writes a row as one line, in one write. Of one that fails nothing stays.
func (m *MetricsFile) Append(r Row) error {
	n, err := m.file.Write(append(r.JSON(), '\n'))
	if err != nil {
		// What cannot be taken back is cut off when the run goes on.
		_ = m.file.Truncate(m.bytes)
		_, _ = m.file.Seek(m.bytes, io.SeekStart)
		return err
	}
	m.bytes += int64(n)
	return nil
}

// Bytes is the length of the file, for a checkpoint to keep.
func (m *MetricsFile) Bytes() int64 { return m.bytes }

// Sync returns when the lines written so far are on the disk.
func (m *MetricsFile) Sync() error { return m.file.Sync() }

// Close closes the file.
func (m *MetricsFile) Close() error { return m.file.Close() }
