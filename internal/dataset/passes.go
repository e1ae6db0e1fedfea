package dataset

import (
	"context"
	"io"

	"dpotrain/internal/data"
	"dpotrain/internal/rows"
)

// Progress is told how many bytes are read, of all passes together. There is none over a stream.
type Progress func(done, total int64)

// passes read a source from its beginning to its end, once or twice.
type passes struct {
	ctx      context.Context
	source   data.Source
	progress Progress
	times    int64     // that it is read
	behind   int64     // passes
	copy     io.Seeker // of a stream; nil: none
	remove   func()    // the copy
}

func once(ctx context.Context, s data.Source, progress Progress) *passes {
	return &passes{ctx: ctx, source: s, progress: progress, times: 1, remove: func() {}}
}

// twice is for what is read two times; a stream is copied first.
func twice(ctx context.Context, s data.Source, progress Progress) (*passes, error) {
	p := once(ctx, s, progress)
	p.times = 2
	if s.Stream != nil {
		spool, remove, err := rows.Spool(s.Path, s.Stream)
		if err != nil {
			return nil, err
		}
		p.copy, p.source.Stream, p.remove = spool, spool, remove
	}
	return p, nil
}

// scan gives the rows to f. It ends with the context: a stream may end because the same signal ended whoever wrote it.
func (p *passes) scan(f func(*data.Plain) error) error {
	if p.copy != nil {
		if _, err := p.copy.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	err := data.Scan(p.source, func(done, total int64) {
		if p.progress != nil {
			p.progress(p.behind*total+done, p.times*total)
		}
	}, func(row *data.Plain) error {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		return f(row)
	})
	p.behind++
	if err == nil {
		err = p.ctx.Err()
	}
	return err
}
