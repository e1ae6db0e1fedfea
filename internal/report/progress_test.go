package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that stands still until it is moved.
type clock struct{ at time.Time }

func newClock() *clock                { return &clock{time.Unix(1000, 0)} }
func (c *clock) now() time.Time       { return c.at }
func (c *clock) wait(d time.Duration) { c.at = c.at.Add(d) }

// terminal shows what stands on a screen after the bytes that were written to it: carriage returns, line ends, the sequences
// that erase a line, and colours, which it ignores. A text that reaches past its width is kept in wrapped.
type terminal struct {
	columns int
	lines   []string // above the cursor's
	line    []rune
	column  int
	wrapped []string
}

func (s *terminal) Write(b []byte) (int, error) {
	text := string(b)
	for text != "" {
		var r rune
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "Km")
			switch seq := text[:end+1]; {
			case seq == "\x1b[2K":
				s.line = s.line[:0]
			case seq == "\x1b[0K":
				s.line = s.line[:min(s.column, len(s.line))]
			case seq[end] != 'm':
				return 0, fmt.Errorf("sequence %q", seq)
			}
			text = text[end+1:]
			continue
		default:
			r = []rune(text)[0]
			text = text[len(string(r)):]
		}
		switch r {
		case '\r':
			s.column = 0
		case '\n':
			s.lines = append(s.lines, strings.TrimRight(string(s.line), " "))
			s.line, s.column = s.line[:0], 0
		default:
			for len(s.line) <= s.column {
				s.line = append(s.line, ' ')
			}
			s.line[s.column] = r
			if s.column++; s.column >= s.columns {
				s.wrapped = append(s.wrapped, string(s.line))
			}
		}
	}
	return len(b), nil
}

// String is the screen, the cursor's line last.
func (s *terminal) String() string {
	return strings.Join(append(slices.Clone(s.lines), strings.TrimRight(string(s.line), " ")), "\n")
}

func (s *terminal) check(t *testing.T, when, want string) {
	t.Helper()
	if got := s.String(); got != want {
		t.Errorf("%s the screen is\n%q, want\n%q", when, got, want)
	}
	if len(s.wrapped) > 0 {
		t.Errorf("%s: wider than the terminal: %q", when, s.wrapped)
	}
}

func (s *terminal) width() int { return s.columns }

func TestPlainLines(t *testing.T) {
	var b bytes.Buffer
	c := newClock()
	p := newProgress(&b, "reference log-probs", 4288, "sequences", nil, c.now)
	for range 29 {
		c.wait(time.Second)
		p.Add(40, "35,100 tokens/s")
	}
	p.Done()
	p.Done()
	c.wait(time.Hour)
	p.Add(1, "after the end")
	want := "reference log-probs: 400/4,288 sequences (9 %), 35,100 tokens/s, 1m37s left\n" +
		"reference log-probs: 800/4,288 sequences (18 %), 35,100 tokens/s, 1m27s left\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestPlainLineForms has one line of each form, at ten seconds.
func TestPlainLineForms(t *testing.T) {
	for _, tt := range []struct {
		name        string
		what, unit  string
		total       int64
		start, done int64
		detail      string
		want        string
	}{
		{"resumed: time left from this process's own rate", "training", "steps", 100, 80, 90, "loss 0.5", "training: 90/100 steps (90 %), loss 0.5, 10s left\n"},
		{"nothing done", "training", "steps", 100, 0, 0, "", "training: 0/100 steps (0 %)\n"},
		{"all done", "training", "steps", 100, 0, 100, "", "training: 100/100 steps (100 %), 10.0/s\n"},
		{"not quite all", "training", "steps", 1000, 0, 999, "", "training: 999/1,000 steps (99 %), 99.9/s, 0s left\n"},
		{"more than said", "training", "steps", 10, 0, 12, "", "training: 12/10 steps (120 %), 1.2/s\n"},
		{"no total", "training", "steps", 0, 0, 5, "", "training: 5/0 steps, 30.0/min\n"},
		{"bytes", "reading a.jsonl", "B", 3 << 20, 0, 1 << 20, "", "reading a.jsonl: 1.0 MiB of 3.0 MiB (33 %), 102.4 KiB/s, 20s left\n"},
		{"hostile name", "reading \x1b[2J\n.jsonl", "B", 2048, 0, 1024, "\r", "reading ?[2J?.jsonl: 1.0 KiB of 2.0 KiB (50 %), ?, 10s left\n"},
		{"for ever", "x", "steps", 1 << 62, 0, 1, "", "x: 1/4,611,686,018,427,387,904 steps (0 %), 6.0/min, 1000h00m left\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			c := newClock()
			p := newProgress(&b, tt.what, tt.total, tt.unit, nil, c.now)
			p.Start(tt.start)
			c.wait(lineEvery)
			p.Set(tt.done, tt.detail)
			if b.String() != tt.want {
				t.Errorf("got  %swant %s", b.String(), tt.want)
			}
		})
	}
}

// TestPlainPrintf: a message takes the place of the plain line that is due, and gets the line end that it lacks.
func TestPlainPrintf(t *testing.T) {
	var b bytes.Buffer
	c := newClock()
	p := newProgress(&b, "training", 100, "steps", nil, c.now)
	c.wait(9 * time.Second)
	p.Printf("step %d", 9)
	c.wait(9 * time.Second)
	p.Set(18, "")
	p.Printf("step %d\n", 18)
	c.wait(10 * time.Second)
	p.Set(28, "")
	if want := "step 9\nstep 18\ntraining: 28/100 steps (28 %), 1.0/s, 1m12s left\n"; b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestNoFramesInFiles: what is no terminal gets no carriage returns and no escape sequences.
func TestNoFramesInFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	p := NewProgress(f, "training", 40, "steps")
	for range 40 {
		p.Add(1, "loss 0.5")
	}
	p.Done()
	Logger(f).Warn("careful")
	f.Close()
	checkFile(t, path, "WRN careful\n")
}

func TestBar(t *testing.T) {
	s := &terminal{columns: 120}
	c := newClock()
	p := newProgress(s, "training", 1000, "steps", s.width, c.now)
	c.wait(time.Second)
	p.Add(250, "loss 0.512 acc 0.81 margin 1.2")
	s.check(t, "a quarter done,", "training: 250/1,000 steps, 250/s, 3s left  loss 0.512 acc 0.81 margin 1.2  25% |██        |")
	c.wait(50 * time.Millisecond)
	p.Add(1, "too soon for a frame")
	s.check(t, "too soon,", "training: 250/1,000 steps, 250/s, 3s left  loss 0.512 acc 0.81 margin 1.2  25% |██        |")
	c.wait(199 * time.Second)
	p.Add(249, "loss 0.4")
	s.check(t, "half done,", "training: 500/1,000 steps, 2.5/s, 3m20s left  loss 0.4  50% |█████     |")
	p.Printf("step %d", 500)
	s.check(t, "after a message,", "step 500\ntraining: 500/1,000 steps, 2.5/s, 3m20s left  loss 0.4  50% |█████     |")
	newLogger(s, true).Warn("careful", "line", 3)
	s.check(t, "after a warning,", "step 500\nWRN careful line=3\ntraining: 500/1,000 steps, 2.5/s, 3m20s left  loss 0.4  50% |█████     |")
	c.wait(time.Second)
	p.Set(1000, "loss 0.3")
	p.Printf("last")
	p.Done()
	s.check(t, "at the end,", "step 500\nWRN careful line=3\nlast\n")
	c.wait(time.Second)
	p.Set(1000, "")
	p.Done()
	newLogger(s, true).Info("over")
	s.check(t, "after the end,", "step 500\nWRN careful line=3\nlast\nover\n")
}

// TestBarResumed: steps before this process count for the bar and not for rate and time left.
func TestBarResumed(t *testing.T) {
	s := &terminal{columns: 100}
	c := newClock()
	p := newProgress(s, "training", 100, "steps", s.width, c.now)
	defer p.Done()
	p.Start(50)
	c.wait(100 * time.Second)
	p.Add(10, "")
	s.check(t, "after 10 steps,", "training: 60/100 steps, 6.0/min, 6m40s left  60% |██████    |")
}

func TestBarOfBytes(t *testing.T) {
	s := &terminal{columns: 100}
	c := newClock()
	p := newProgress(s, "reading a.jsonl", 4<<20, "B", s.width, c.now)
	defer p.Done()
	c.wait(speedAfter - time.Microsecond)
	p.Set(1<<19, "")
	s.check(t, "too soon for a speed,", "reading a.jsonl: 512.0 KiB of 4.0 MiB  12% |█         |")
	c.wait(2*time.Second - speedAfter + time.Microsecond)
	p.Set(1<<20, "")
	s.check(t, "a quarter read,", "reading a.jsonl: 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6s left  25% |██        |")
}

// TestStatus: what is least worth knowing goes first where there is too little room.
func TestStatus(t *testing.T) {
	c := newClock()
	p := newProgress(&terminal{columns: 80}, "training", 400, "steps", func() int { return 80 }, c.now)
	c.wait(20 * time.Second)
	p.done = 40
	const detail = "loss 0.61 accuracy 0.94 margin 0.19 13k tokens/s" // 48 columns
	for _, tt := range []struct {
		columns      int
		detail, want string
	}{
		{95, detail, "training: 40/400 steps, 2.0/s, 3m00s left  " + detail},
		{91, detail, "training: 40/400 steps, 2.0/s, 3m00s left  " + detail},
		{90, detail, "training: 40/400 steps, 3m00s left  " + detail},
		{83, detail, "training: 40/400, 3m00s left  " + detail},
		{77, detail, "40/400, 3m00s left  " + detail},
		{68, detail, "40/400, 3m00s left  " + detail},
		{67, detail, "40/400, 3m00s left  loss 0.61 accuracy 0.94 margin 0.19 13k tokens~"},
		{30, "", "training: 40/400 steps, 2.0/s~"},
	} {
		p.detail = tt.detail
		if got := p.status(c.now(), tt.columns); got != tt.want {
			t.Errorf("%d columns: %q, want %q", tt.columns, got, tt.want)
		}
	}
}

// TestNarrow: no frame reaches the terminal's last column, where some terminals break the line, and each takes the place of
// the one before it, on terminals that are made narrower on the way too.
func TestNarrow(t *testing.T) {
	s := &terminal{columns: 81}
	c := newClock()
	p := newProgress(s, "training 日本", 1000, "steps", s.width, c.now)
	for ; s.columns > shortBar+barRest+2; s.columns-- {
		c.wait(time.Second)
		p.Add(3, "loss 0.5123 accuracy 0.812 margin 1.234 35,100 tokens/s")
		if len(s.lines) > 0 || len(s.wrapped) > 0 || len(s.line) >= s.columns {
			t.Fatalf("%d columns: lines %q, wrapped %q, frame %q", s.columns, s.lines, s.wrapped, string(s.line))
		}
	}
	p.Done()
	s.check(t, "at the end,", "")
}

// TestTwoBars: of two bars the one that was moved last is on the screen, and neither leaves anything behind.
func TestTwoBars(t *testing.T) {
	s := &terminal{columns: 80}
	c := newClock()
	outer := newProgress(s, "training", 10, "steps", s.width, c.now)
	outer.Set(1, "")
	inner := newProgress(s, "evaluating", 10, "examples", s.width, c.now)
	inner.Set(5, "")
	s.check(t, "inner bar up,", "evaluating: 5/10 examples  50% |██  |")
	outer.Printf("message")
	s.check(t, "after a message,", "message\nevaluating: 5/10 examples  50% |██  |")
	inner.Done()
	s.check(t, "inner bar done,", "message\n")
	c.wait(time.Second)
	outer.Set(2, "")
	s.check(t, "outer bar up again,", "message\ntraining: 2/10 steps, 2.0/s, 4s left  20% |    |")
	outer.Done()
	s.check(t, "at the end,", "message\n")
}

// TestBarWithoutTotal: neither an empty nor an exceeded total breaks anything.
func TestBarWithoutTotal(t *testing.T) {
	for _, total := range []int64{0, 3} {
		s := &terminal{columns: 80}
		c := newClock()
		p := newProgress(s, "x", total, "steps", s.width, c.now)
		for range 5 {
			c.wait(time.Second)
			p.Add(1, "")
			p.Printf("m")
		}
		p.Done()
		s.check(t, fmt.Sprintf("of a total of %d,", total), "m\nm\nm\nm\nm\n")
	}
}

// TestManyGoroutines is for the race detector.
func TestManyGoroutines(t *testing.T) {
	s := &terminal{columns: 80}
	p := newProgress(s, "x", 400, "steps", s.width, time.Now)
	log := newLogger(s, true)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for j := range 100 {
				p.Add(1, "")
				if j%50 == 0 {
					log.Info(fmt.Sprint("message ", i))
					p.Printf("line %d", i)
				}
			}
		})
	}
	group.Wait()
	p.Done()
	if p.done != 400 || len(s.lines) != 16 {
		t.Errorf("%d steps, %d lines; want 400 and 16: %q", p.done, len(s.lines), s.lines)
	}
	for _, line := range s.lines {
		if !strings.HasPrefix(line, "message ") && !strings.HasPrefix(line, "line ") {
			t.Errorf("line %q", line)
		}
	}
}

func TestLogger(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		log      func(*slog.Logger)
		want     string
	}{
		{"information", false, func(l *slog.Logger) { l.Info("model x", "layers", 3, "path", "a b") }, "model x layers=3 path=\"a b\"\n"},
		{"warning", false, func(l *slog.Logger) { l.Warn("careful") }, "WRN careful\n"},
		{"error", false, func(l *slog.Logger) { l.Error("bad") }, "ERR bad\n"},
		{"debug is off", false, func(l *slog.Logger) { l.Debug("x") }, ""},
		{"hostile", false, func(l *slog.Logger) { l.Info("a\x1b[2J\rb", "k", "\x1b[2J") }, "a?[2J?b k=?[2J\n"},
		{"hostile in colour", true, func(l *slog.Logger) { l.Info("a\x1b[2J\rb", "k", "\x1b[2J", "err", errors.New("\x1b[2J\nx")) },
			"a?[2J?b \x1b[2mk=\x1b[0m?[2J \x1b[2merr=\x1b[0m\"?[2J\\nx\"\n"},
		{"no UTF-8", false, func(l *slog.Logger) { l.Info("a\xffb", "path", "a\xffb") }, "a?b path=a?b\n"},
		{"several lines", false, func(l *slog.Logger) { l.Info("a\nb") }, "a\nb\n"},
		{"colour", true, func(l *slog.Logger) { l.Warn("careful") }, "\x1b[93mWRN\x1b[0m careful\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			tt.log(newLogger(&b, tt.terminal))
			if b.String() != tt.want {
				t.Errorf("got %q, want %q", b.String(), tt.want)
			}
		})
	}
}

// TestIsTerminal: only a terminal is one.
func TestIsTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, x := range []io.Writer{w, &bytes.Buffer{}, io.Discard} {
		if isTerminal(x) {
			t.Errorf("%T is taken for a terminal", x)
		}
		if got := terminalColumns(x); got != 80 {
			t.Errorf("%T: %d columns, want 80", x, got)
		}
	}
}
