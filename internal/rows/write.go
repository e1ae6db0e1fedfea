package rows

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// groupBytes is about the most of rows, as JSON, that a writer of parquet holds before it writes them.
const groupBytes = 64 << 20

// Writer writes rows to a parquet file.
type Writer interface {
	Write(object []byte) error // a JSON object on one line
	Close() error              // writes what is left, and the end of the file
}

// written are the columns of every row; other columns are left out.
type written struct {
	Weight        *float64 `parquet:"weight,optional" json:"weight"`
	ChosenScore   *float64 `parquet:"chosen_score,optional" json:"chosen_score"`
	RejectedScore *float64 `parquet:"rejected_score,optional" json:"rejected_score"`
	Margin        *float64 `parquet:"margin,optional" json:"margin"`
}

type message struct {
	Role    string `parquet:"role" json:"role"`
	Content string `parquet:"content" json:"content"`
}

// UnmarshalJSON takes what a column of messages can hold.
func (m *message) UnmarshalJSON(text []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for name, value := range fields {
		to := map[string]*string{"role": &m.Role, "content": &m.Content}[name]
		if to == nil || json.Unmarshal(value, to) != nil || string(value) == "null" {
			return fmt.Errorf("a message with %.40s: %.40s; parquet files are written of messages with role and content alone, both text: write .jsonl", name, value)
		}
	}
	return nil
}

type (
	textPair struct {
		Prompt   string `parquet:"prompt" json:"prompt"`
		Chosen   string `parquet:"chosen" json:"chosen"`
		Rejected string `parquet:"rejected" json:"rejected"`
		written
	}
	chatPair struct {
		Prompt   []message `parquet:"prompt,list" json:"prompt"`
		Chosen   []message `parquet:"chosen,list" json:"chosen"`
		Rejected []message `parquet:"rejected,list" json:"rejected"`
		written
	}
	textUnpaired struct {
		Prompt     string `parquet:"prompt" json:"prompt"`
		Completion string `parquet:"completion" json:"completion"`
		Label      bool   `parquet:"label" json:"label"`
		written
	}
	chatUnpaired struct {
		Prompt     []message `parquet:"prompt,list" json:"prompt"`
		Completion []message `parquet:"completion,list" json:"completion"`
		Label      bool      `parquet:"label" json:"label"`
		written
	}
)

// NewWriter begins a parquet file of pairs or of unpaired rows, all of messages or all of text. Besides their texts and labels rows have weight, chosen_score,
// rejected_score and margin; other columns are left out.
func NewWriter(w io.Writer, unpaired, chat bool) Writer {
	switch {
	case unpaired && chat:
		return newParquetWriter[chatUnpaired](w)
	case unpaired:
		return newParquetWriter[textUnpaired](w)
	case chat:
		return newParquetWriter[chatPair](w)
	}
	return newParquetWriter[textPair](w)
}

type parquetWriter[T any] struct {
	to   *parquet.GenericWriter[T]
	held int // bytes
}

func newParquetWriter[T any](w io.Writer) *parquetWriter[T] {
	return &parquetWriter[T]{to: parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Snappy))}
}

func (p *parquetWriter[T]) Write(object []byte) error {
	var row T
	if err := json.Unmarshal(object, &row); err != nil {
		if strings.HasPrefix(err.Error(), "json: ") {
			err = fmt.Errorf("text and messages, or a score that is no number; a column of a parquet file has one kind: write .jsonl")
		}
		return err
	}
	if _, err := p.to.Write([]T{row}); err != nil {
		return err
	}
	if p.held += len(object); p.held < groupBytes {
		return nil
	}
	p.held = 0
	return p.to.Flush()
}

func (p *parquetWriter[T]) Close() error { return p.to.Close() }
