package checkpoint

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"dpotrain/internal/safetensors"
)

// fileSystem is every way in which this package changes the disk. The tests put one in its place that records, fails, or forgets what
// was not synced.
type fileSystem interface {
	Mkdir(path string) error
	Create(path string) (file, error) // a new file; it must not exist
	Rename(from, to string) error
	Remove(path string) error  // a file or an empty folder
	SyncDir(path string) error // makes the names in a folder durable
}

type file interface {
	io.WriteCloser
	Sync() error
}

// disk is the operating system's.
type disk struct{}

func (disk) Mkdir(path string) error { return os.Mkdir(path, 0o777) }

func (disk) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }

func (disk) Remove(path string) error { return os.Remove(path) }

// SyncDir does nothing on Windows, which has no such call.
func (disk) SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes dir and the folders above it, durably.
func makeDir(fsys fileSystem, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return fsys.SyncDir(parent)
}

// removeAll removes a file, or a folder with all that is in it. What is not there is no error.
func removeAll(fsys fileSystem, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := removeAll(fsys, filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return fsys.Remove(path)
}

// create writes a new file and syncs it. Its name is durable once the folder is synced.
func create(fsys fileSystem, path string, content writer) error {
	f, err := fsys.Create(path)
	if err != nil {
		return err
	}
	if err := content(f); err != nil {
		f.Close()
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// reason is what the operating system says of a file, without the file's name: that of one which is written beside its place is of no
// use to anybody.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// writer writes the content of a file.
type writer func(io.Writer) error

func bytesWriter(b []byte) writer {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

func tensorsWriter(tensors []safetensors.Tensor, metadata map[string]string) writer {
	return func(w io.Writer) error { return safetensors.Write(w, tensors, metadata) }
}
