package report

import (
	"io"
	"log/slog"

	"github.com/lmittmann/tint"
)

// Logger writes messages to w, between redraws of a bar: in colour where there are Colours, else as plain lines; without time, and
// with the level of all that is not mere information.
func Logger(w io.Writer) *slog.Logger { return newLogger(w, Colours(w)) }

func newLogger(w io.Writer, terminal bool) *slog.Logger {
	return slog.New(tint.NewTextHandler(messages{w}, &tint.Options{NoColor: !terminal, ReplaceAttr: replaceAttr}))
}

// replaceAttr drops the time and the level of information, and cleans texts: on a terminal tint lets their escape sequences
// through, elsewhere it ends them at the first byte that is not UTF-8.
func replaceAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey && a.Value.Any() == slog.LevelInfo) {
		return slog.Attr{}
	}
	if a.Value.Kind() == slog.KindString {
		return slog.String(a.Key, printableLines(a.Value.String()))
	}
	if err, ok := a.Value.Any().(error); ok && err != nil {
		return slog.String(a.Key, printableLines(err.Error()))
	}
	return a
}
