package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/data"
)

// tools are the functions that read a source, each with what it says and writes.
func tools(t *testing.T) map[string]func(context.Context, data.Source, Progress) (string, error) {
	write := func(f func(out Output) (int, error)) (string, error) {
		var b bytes.Buffer
		n, err := f(Output{Path: Stdout, Stdout: &b})
		return fmt.Sprint(n, b.String()), err
	}
	split := func(ctx context.Context, s data.Source, o SplitOptions, progress Progress) (string, error) {
		held := Output{Path: filepath.Join(t.TempDir(), "held.jsonl")}
		text, err := write(func(train Output) (int, error) {
			n, err := Split(ctx, s, train, held, o, progress)
			return n.HeldOut, err
		})
		if err == nil {
			text += strings.Join(lines(t, held.Path), "")
		}
		return text, err
	}
	return map[string]func(context.Context, data.Source, Progress) (string, error){
		"stats": func(ctx context.Context, s data.Source, p Progress) (string, error) {
			stats, err := Count(ctx, s, p)
			return fmt.Sprintf("%+v", stats), err
		},
		"split by a fraction": func(ctx context.Context, s data.Source, p Progress) (string, error) {
			return split(ctx, s, SplitOptions{Fraction: 0.2}, p)
		},
		"split by rows": func(ctx context.Context, s data.Source, p Progress) (string, error) {
			return split(ctx, s, SplitOptions{Rows: 40}, p)
		},
		"sample": func(ctx context.Context, s data.Source, p Progress) (string, error) {
			return write(func(out Output) (int, error) { return Sample(ctx, s, out, 10, 1, p) })
		},
		"convert": func(ctx context.Context, s data.Source, p Progress) (string, error) {
			return write(func(out Output) (int, error) { return Convert(ctx, s, out, "unpaired", data.Options{}, p) })
		},
	}
}

// TestStream: of a stream, compressed or not, comes what comes of a file, and nothing is left in the folder for temporary files, whatever happens.
func TestStream(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("TMP", temporary) // Windows
	s := numbered(t, 300)
	text, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(text)
	z.Close()
	parquet := filepath.Join(t.TempDir(), "pairs.parquet")
	if _, err := Convert(t.Context(), s, Output{Path: parquet}, "pairs", data.Options{}, nil); err != nil {
		t.Fatal(err)
	}
	columns, err := os.ReadFile(parquet)
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	broken := errors.New("pipe broken")
	for name, tool := range tools(t) {
		piped := func(ctx context.Context, in io.Reader) (string, error) {
			got, err := tool(ctx, data.Source{Path: data.Stdin, Stream: in}, func(int64, int64) { t.Errorf("%s: progress over a stream", name) })
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("%s: %v is left, error %v", name, left, err)
			}
			return got, err
		}
		for what, want := range map[string]struct {
			source data.Source
			bytes  []byte
		}{"plain": {s, text}, "gzip": {s, packed.Bytes()}, "parquet": {data.Source{Path: parquet}, columns}} {
			want1, err := tool(t.Context(), want.source, nil)
			if err != nil {
				t.Fatalf("%s of %s: %v", name, what, err)
			}
			if got, err := piped(t.Context(), bytes.NewReader(want.bytes)); err != nil || got != want1 {
				t.Errorf("%s of %s: %v, got\n%s\nwant\n%s", name, what, err, got, want1)
			}
		}
		if _, err := piped(t.Context(), io.MultiReader(bytes.NewReader(text), strings.NewReader("{\n"))); err == nil || !strings.HasPrefix(err.Error(), "standard input:301: ") {
			t.Errorf("%s: a bad row: %v", name, err)
		}
		if _, err := piped(t.Context(), io.MultiReader(bytes.NewReader(text), reader(func() error { return broken }))); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "standard input") {
			t.Errorf("%s: a stream that breaks off: %v", name, err)
		}
		if _, err := piped(stopped, bytes.NewReader(text)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: stopped: %v", name, err)
		}
		// The signal that ends this program ends the one that writes the stream too.
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := piped(ctx, io.MultiReader(bytes.NewReader(text), reader(func() error {
			if left, err := os.ReadDir(temporary); runtime.GOOS != "windows" && (err != nil || len(left) > 0) {
				t.Errorf("%s: %v would be left by a program that is killed now, error %v", name, left, err)
			}
			cancel()
			return io.EOF
		}))); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: stopped at the end: %v", name, err)
		}
	}
	if _, err := Sample(t.Context(), data.Source{Path: data.Stdin, Stream: strings.NewReader("")}, Output{Path: Stdout, Stdout: io.Discard}, 1, 1, nil); err == nil || err.Error() != "standard input: no row to draw" {
		t.Errorf("an empty stream: %v", err)
	}
}

// reader is a stream of nothing that ends with an error.
type reader func() error

func (r reader) Read([]byte) (int, error) { return 0, r() }

// TestProgress: it grows from the beginning to the end, over both passes where there are two.
func TestProgress(t *testing.T) {
	s := numbered(t, 10_000)
	info, err := os.Stat(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tool := range tools(t) {
		passes := int64(1)
		if name == "split by rows" || name == "sample" {
			passes = 2
		}
		var told []int64
		if _, err := tool(t.Context(), s, func(done, total int64) {
			if total != passes*info.Size() {
				t.Fatalf("%s: a total of %d bytes, want %d times %d", name, total, passes, info.Size())
			}
			told = append(told, done)
		}); err != nil {
			t.Fatal(err)
		}
		if last := told[len(told)-1]; !slices.IsSorted(told) || last <= (passes-1)*info.Size() || last > passes*info.Size() {
			t.Errorf("%s: %v", name, told)
		}
	}
}
