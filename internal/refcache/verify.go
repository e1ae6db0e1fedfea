package refcache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Verified is what Verify found in one cache file.
type Verified struct {
	Info              // the counts are of all that is sound
	Damaged   []int64 // places of the records that are not
	Unchecked int64   // bytes from the last of them on that could not be read, because its length is damaged too
}

// Verify reads every record of every cache file (*.refs) in dir, as Inspect does, and goes on behind a damaged one where its length
// can be trusted. Numbers that are not finite, and a file under another fingerprint's name, are damage too. progress, unless it is
// nil, is told how many bytes of how many are read. It ends early, with ctx's error, when ctx does.
func Verify(ctx context.Context, dir string, progress func(done, total int64)) ([]Verified, error) {
	paths, err := cacheFiles(dir)
	if err != nil {
		return nil, err
	}
	var before, total int64
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			total += info.Size()
		}
	}
	var all []Verified
	for _, p := range paths {
		v := verifier{ctx: ctx, tell: func(n int64) {
			if progress != nil {
				progress(before+n, total)
			}
		}}
		v.found.Info = readFile(p, &v)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info := &v.found.Info
		if name := info.Fingerprint.String()[:16] + filepath.Ext(p); info.Err == nil && info.Fingerprint != (Fingerprint{}) && name != filepath.Base(p) {
			info.Err = fmt.Errorf("%s: holds log-probs of reference %s; rename it to %s", p, info.Fingerprint, name)
		}
		v.tell(info.Bytes)
		before += info.Bytes
		all = append(all, v.found)
	}
	return all, nil
}

// verifier is what Verify does beyond Inspect.
type verifier struct {
	ctx   context.Context
	tell  func(bytes int64) // of the file that are read
	told  int64
	found Verified
}

// progressStep is after how many bytes progress is told.
const progressStep = 1 << 20

// visit checks a record whose checksums are right.
func (v *verifier) visit(path string, r record) error {
	if end := r.offset + int64(r.size); end-v.told >= progressStep {
		v.told = end
		v.tell(end)
		if err := v.ctx.Err(); err != nil {
			return err
		}
	}
	for _, f := range knownFields {
		for b := r.values(f); len(b) > 0; b = b[4:] {
			if x := float64(math.Float32frombits(le.Uint32(b))); math.IsNaN(x) || math.IsInf(x, 0) {
				return damaged(path, r.offset)
			}
		}
	}
	return nil
}

// behind notes the record that an error of scan is about, and returns where the next begins; 0 if that cannot be known.
func (v *verifier) behind(f *os.File, err error, size int64) int64 {
	d, ok := errors.AsType[*damage](err)
	if !ok {
		return 0
	}
	v.found.Damaged = append(v.found.Damaged, d.offset)
	head := make([]byte, recordHead)
	if _, err := f.ReadAt(head, d.offset); err == nil && sealed(head) {
		if n := int64(le.Uint32(head)); n >= minRecord && n <= maxRecord && n <= size-d.offset {
			return d.offset + n
		}
	}
	v.found.Unchecked = size - d.offset
	return 0
}
