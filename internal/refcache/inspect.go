package refcache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Info describes one cache file.
type Info struct {
	Path        string
	Fingerprint Fingerprint
	Facts       Facts
	Records     int   // that are sound
	Tokens      int64 // log-probs in them
	Entropies   int64 // likewise
	Bytes       int64 // size of the file
	TornBytes   int64 // at its end, left by a writer that was killed; the next writer removes them
	Err         error // the first thing that is wrong with the file; for Inspect the counts are of what comes before
}

// Inspect reads every cache file (*.refs) in dir from beginning to end, in the order of their names. A file that is damaged, or is no
// cache, is told of in its Info; the error is for dir itself.
func Inspect(dir string) ([]Info, error) {
	paths, err := cacheFiles(dir)
	if err != nil {
		return nil, err
	}
	var infos []Info
	for _, p := range paths {
		infos = append(infos, readFile(p, nil))
	}
	return infos, nil
}

// Any says that there is a cache file in dir.
func Any(dir string) bool {
	paths, err := cacheFiles(dir)
	return err == nil && len(paths) > 0
}

func cacheFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such folder; give the ref_cache_dir that runs have filled", dir)
	}
	if err != nil {
		return nil, cmp.Or(checkFolder(dir), err)
	}
	var paths []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".refs" && !e.IsDir() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// readFile reads a cache file up to the first damage, with a verifier also behind it.
func readFile(path string, v *verifier) Info {
	info := Info{Path: path}
	f, err := os.Open(path)
	if err != nil {
		info.Err = err
		return info
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		info.Err = err
		return info
	}
	info.Bytes = stat.Size()
	var end int64
	info.Fingerprint, info.Facts, end, info.Err = readHeader(f, info.Bytes)
	if info.Err != nil {
		return info
	}
	for end > 0 {
		end, err = scan(f, end, info.Bytes, func(r record) error {
			if v != nil {
				if err := v.visit(path, r); err != nil {
					return err
				}
			}
			info.Records++
			info.Tokens += int64(len(r.values(Logps)) / 4)
			info.Entropies += int64(len(r.values(Entropies)) / 4)
			return nil
		})
		if err == nil {
			break
		}
		if info.Err == nil {
			info.Err = err
		}
		if v == nil {
			return info
		}
		if end = v.behind(f, err, info.Bytes); end == 0 {
			return info
		}
	}
	info.TornBytes = info.Bytes - end
	return info
}
