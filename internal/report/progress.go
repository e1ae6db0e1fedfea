package report

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// lineEvery is the time between plain progress lines where there is no terminal.
const lineEvery = 10 * time.Second

// screen is the one terminal or file that progress and messages go to; the bar that is up, if any, makes way for messages.
var screen struct {
	sync.Mutex
	bar *progressbar.ProgressBar
}

// Progress shows how far a long piece of work is.
type Progress struct {
	w         io.Writer
	what      string
	unit      string
	total     int64
	done      int64
	detail    string
	bar       *progressbar.ProgressBar // nil where there is no terminal
	now       func() time.Time
	started   time.Time
	startedAt int64 // done when the work began: resumed work has some behind it
	lastLine  time.Time
}

// isTerminal says that frames can be redrawn on w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// NewProgress starts to show work of total units on w.
func NewProgress(w io.Writer, what string, total int64, unit string) *Progress {
	return newProgress(w, what, total, unit, isTerminal(w), time.Now)
}

func newProgress(w io.Writer, what string, total int64, unit string, terminal bool, now func() time.Time) *Progress {
	p := &Progress{w: w, what: what, unit: unit, total: total, now: now, started: now(), lastLine: now()}
	if terminal {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionSetItsString(unit), progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(20))
		screen.Lock()
		screen.bar = p.bar
		screen.Unlock()
	}
	return p
}

// Start says how much was behind before this process began; it does not count for the rate.
func (p *Progress) Start(done int64) {
	p.startedAt = done
	p.Set(done, "")
}

// Add counts n more units; detail is shown beside them.
func (p *Progress) Add(n int64, detail string) { p.Set(p.done+n, detail) }

// Set says how many units are done.
func (p *Progress) Set(done int64, detail string) {
	p.done, p.detail = done, detail
	if p.bar != nil {
		text := p.what
		if detail != "" {
			text += "  " + detail
		}
		screen.Lock()
		p.bar.Describe(text)
		_ = p.bar.Set64(done) // a bar that cannot be drawn is no reason to stop
		screen.Unlock()
		return
	}
	if now := p.now(); now.Sub(p.lastLine) >= lineEvery {
		p.lastLine = now
		fmt.Fprintln(p.w, p.line(now))
	}
}

// line is the plain progress line.
func (p *Progress) line(now time.Time) string {
	s := fmt.Sprintf("%s: %s/%s %s", p.what, Count(p.done), Count(p.total), p.unit)
	if p.unit == "B" {
		s = fmt.Sprintf("%s: %s of %s", p.what, Bytes(p.done), Bytes(p.total))
	}
	if p.total > 0 {
		s += fmt.Sprintf(" (%d %%)", 100*p.done/p.total)
	}
	if p.detail != "" {
		s += "  " + p.detail
	}
	if worked := p.done - p.startedAt; worked > 0 && p.total > p.done {
		left := time.Duration(float64(now.Sub(p.started)) / float64(worked) * float64(p.total-p.done))
		s += fmt.Sprintf(", %s left", Duration(left))
	}
	return s
}

// Printf writes a line of its own.
func (p *Progress) Printf(format string, a ...any) {
	fmt.Fprintf(messages{p.w}, format, a...)
	p.lastLine = p.now()
}

// Done takes the bar away. It may be called more than once.
func (p *Progress) Done() {
	if p.bar == nil {
		return
	}
	screen.Lock()
	defer screen.Unlock()
	_ = p.bar.Clear()
	if screen.bar == p.bar {
		screen.bar = nil
	}
	p.bar = nil
}

// messages writes lines between redraws of the bar that is up.
type messages struct{ w io.Writer }

func (m messages) Write(b []byte) (int, error) {
	screen.Lock()
	defer screen.Unlock()
	if screen.bar == nil {
		return m.w.Write(b)
	}
	_ = screen.bar.Clear()
	n, err := m.w.Write(b)
	_ = screen.bar.RenderBlank()
	return n, err
}

// Logger writes messages to w: in colour on a terminal, else as plain lines; a warning is called one.
func Logger(w io.Writer) *slog.Logger {
	plain := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey && a.Value.Any() == slog.LevelInfo {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(tint.NewHandler(messages{w}, &tint.Options{ReplaceAttr: plain, NoColor: !isTerminal(w)}))
}
