package refcache

import (
	"os"
	"path/filepath"
)

// Info describes one cache file.
type Info struct {
	Path        string
	Fingerprint Fingerprint
	Facts       Facts
	Records     int
	Tokens      int64 // log-probs in all records
	Bytes       int64 // size of the file
	TornBytes   int64 // at its end, left by a writer that was killed; the next writer removes them
	Err         error // why the rest of the file cannot be read; the counts are of what comes before
}

// Inspect reads every cache file (*.refs) in dir from beginning to end, in the order of their names. A file that is damaged, or is no
// cache, is told of in its Info; the error is for dir itself.
func Inspect(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var infos []Info
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".refs" && !e.IsDir() {
			infos = append(infos, inspectFile(filepath.Join(dir, e.Name())))
		}
	}
	return infos, nil
}

func inspectFile(path string) Info {
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
	if info.Err == nil && end > 0 {
		end, info.Err = scan(f, end, info.Bytes, func(r record) {
			info.Records++
			info.Tokens += int64(len(r.logps) / 4)
		})
	}
	if info.Err == nil {
		info.TornBytes = info.Bytes - end
	}
	return info
}
