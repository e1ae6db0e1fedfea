package report

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	lineEvery  = 10 * time.Second       // between plain lines where there is no terminal
	frameEvery = 100 * time.Millisecond // between frames of a bar
	speedAfter = 100 * time.Millisecond // of work; from less no speed can be told: a first frame had 11.7 GiB/s
	wide       = 100                    // columns from which a terminal has room for a long bar
	longBar    = 10                     // columns between the bar's ends
	shortBar   = 4                      // likewise on other terminals
	barRest    = 10                     // columns that a frame has besides text and bar: "  12% |", "|" and two blanks
)

// screen is what all progress and all messages of the process go through: a message has to know of the bar that is drawn,
// whoever drew it. It guards every Progress.
var screen struct {
	sync.Mutex
	drawn *Progress // nil when there is no bar on the terminal
}

// Progress shows how far a long piece of work is. On a terminal it is a bar with rate, time left and a detail, which makes
// way for messages; elsewhere it is a plain line every ten seconds. Its methods may be called from several goroutines.
type Progress struct {
	w       io.Writer
	what    string
	unit    string // "B" for bytes
	total   int64
	done    int64
	behind  int64 // done before this process began
	detail  string
	bar     *progressbar.ProgressBar // nil where there is no terminal
	width   int                      // of the bar
	columns func() int               // width of the terminal
	now     func() time.Time
	started time.Time
	shown   time.Time // when a line or frame was last written
	ended   bool
}

// NewProgress starts to show work of total units on w, which is a bar if w is a terminal. The unit "B" stands for bytes.
func NewProgress(w io.Writer, what string, total int64, unit string) *Progress {
	if !isTerminal(w) {
		return newProgress(w, what, total, unit, nil, time.Now)
	}
	return newProgress(w, what, total, unit, func() int { return terminalColumns(w) }, time.Now)
}

// Reading shows reading on w, as NewProgress does, from the first call of progress, which is told of bytes. end is called when it is over.
func Reading(w io.Writer, what string) (progress func(done, total int64), end func()) {
	var bar *Progress
	progress = func(done, total int64) {
		if bar == nil {
			bar = NewProgress(w, what, total, "B")
		}
		bar.Set(done, "")
	}
	return progress, func() {
		if bar != nil {
			bar.Done()
		}
	}
}

// newProgress takes w for a terminal if it is given columns.
func newProgress(w io.Writer, what string, total int64, unit string, columns func() int, now func() time.Time) *Progress {
	p := &Progress{w: w, what: printable(what), unit: unit, total: total, columns: columns, now: now, started: now()}
	if columns == nil {
		p.shown = p.started
		return p
	}
	p.width = longBar
	if columns() < wide {
		p.width = shortBar
	}
	// The bar's own count, rate and time left are off: its rate counts the steps before a resume as if they had taken no time,
	// and it leaves the detail no room. Its throttle is off because it would drop the second of the two calls that a frame takes.
	p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(p.width), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(0))
	return p
}

// Start says how much was behind before this process began, as after a resume; it does not count for rate and time left.
func (p *Progress) Start(done int64) {
	screen.Lock()
	defer screen.Unlock()
	p.behind = done
	p.set(done, "")
}

// Add counts n more units; detail is shown beside them.
func (p *Progress) Add(n int64, detail string) {
	screen.Lock()
	defer screen.Unlock()
	p.set(p.done+n, detail)
}

// Set says how many units are done.
func (p *Progress) Set(done int64, detail string) {
	screen.Lock()
	defer screen.Unlock()
	p.set(done, detail)
}

func (p *Progress) set(done int64, detail string) {
	p.done, p.detail = done, printable(detail)
	every := lineEvery
	if p.bar != nil {
		every = frameEvery
	}
	now := p.now()
	if p.ended || now.Sub(p.shown) < every && !(p.bar != nil && done >= p.total) {
		return
	}
	p.shown = now
	if p.bar == nil {
		io.WriteString(p.w, p.line(now)+"\n")
		return
	}
	p.draw(now)
}

// Printf writes a message of one or more lines, which ends its line even if format does not. Where there is no terminal it
// stands for the next plain line.
func (p *Progress) Printf(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	io.WriteString(messages{p.w}, text)
	screen.Lock()
	defer screen.Unlock()
	p.shown = p.now()
}

// Done takes the bar away; nothing is shown after it. It may be called more than once.
func (p *Progress) Done() {
	screen.Lock()
	defer screen.Unlock()
	p.ended = true
	if screen.drawn == p {
		p.erase()
		screen.drawn = nil
	}
}

// line is the plain line: "training: 120/400 steps (30 %), loss 0.512, 1m20s left". What has no detail has its rate.
func (p *Progress) line(now time.Time) string {
	s := p.what + ": " + p.count()
	if p.total > 0 {
		s += fmt.Sprintf(" (%d %%)", int64(100*float64(p.done)/float64(p.total)))
	}
	rate, left, _ := p.speed(now)
	for _, part := range []string{cmp.Or(p.detail, rate), left} {
		if part != "" {
			s += ", " + part
		}
	}
	return s
}

// status is the text before the bar: "training: 120/400 steps, 2.1/s, 1m20s left  loss 0.512". To have the detail within
// so many columns it leaves out the rate, then the unit, then what is done; what is too long all the same is cut off.
func (p *Progress) status(now time.Time, columns int) string {
	rate, left, _ := p.speed(now)
	count := p.count()
	bare := strings.TrimSuffix(count, " "+p.unit)
	var s string
	for _, parts := range [][]string{{p.what + ": " + count, rate, left}, {p.what + ": " + count, left}, {p.what + ": " + bare, left}, {bare, left}} {
		s = strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
		if p.detail == "" {
			break
		}
		if s += "  " + p.detail; columnsOf(s) <= columns {
			break
		}
	}
	return cut(s, columns)
}

// count is what is done of the total.
func (p *Progress) count() string {
	if p.unit == "B" {
		return Bytes(p.done) + " of " + Bytes(p.total)
	}
	return Count(p.done) + "/" + Count(p.total) + " " + p.unit
}

// speed is the rate of this process and the time left, "" at the end; ok is false while there is nothing to tell them from.
func (p *Progress) speed(now time.Time) (rate, left string, ok bool) {
	worked, took := float64(p.done-p.behind), now.Sub(p.started).Seconds()
	if worked <= 0 || took < speedAfter.Seconds() {
		return "", "", false
	}
	switch perSecond := worked / took; {
	case p.unit == "B":
		rate = Bytes(int64(perSecond)) + "/s"
	case perSecond >= 100:
		rate = Count(int64(perSecond)) + "/s"
	case perSecond >= 1:
		rate = fmt.Sprintf("%.1f/s", perSecond)
	default:
		rate = fmt.Sprintf("%.1f/min", 60*perSecond)
	}
	if rest := float64(p.total - p.done); rest > 0 {
		seconds := min(took/worked*rest, (1000 * time.Hour).Seconds())
		left = remaining(time.Duration(seconds*float64(time.Second))) + " left"
	}
	return rate, left, true
}

// remaining is a duration in whole seconds: an estimate deserves no decimals.
func remaining(d time.Duration) string {
	if d = d.Round(time.Second); d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return Duration(d)
}

// draw writes a frame of at most the terminal's width: a longer one would break into two lines, of which only the last is
// erased. The bar's errors are dropped, since a bar that cannot be drawn is no reason to stop.
func (p *Progress) draw(now time.Time) {
	screen.drawn = p // a frame overwrites another bar's
	p.bar.Describe(p.status(now, p.columns()-p.width-barRest-1))
	_ = p.bar.Set64(p.done)
}

// erase empties the line that the bar stands in. The bar's own Clear does nothing before its first frame and after its last.
func (p *Progress) erase() { io.WriteString(p.w, "\r\x1b[2K") }

// messages writes lines between redraws of the bar that is up.
type messages struct{ w io.Writer }

func (m messages) Write(b []byte) (int, error) {
	screen.Lock()
	defer screen.Unlock()
	p := screen.drawn
	if p == nil {
		return m.w.Write(b)
	}
	p.erase()
	n, err := m.w.Write(b)
	p.draw(p.now())
	return n, err
}

// isTerminal says that a line written to w can be drawn again in place.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) && understandsEscapes(f)
}

// terminalColumns is the width of the terminal w, 80 if it cannot be had.
func terminalColumns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}
