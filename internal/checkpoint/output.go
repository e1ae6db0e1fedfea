package checkpoint

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"

	"dpotrain/internal/files"
	"dpotrain/internal/safetensors"
)

// listName is the file that says which files of an output_dir are the final model's, so that nobody else's are ever removed.
const listName = "dpotrain-files.json"

// metricsName is the file whose length a State remembers.
const metricsName = "metrics.jsonl"

// runFiles are written into output_dir by the run itself.
var runFiles = []string{"dpotrain.yaml", metricsName}

// fileList is what listName holds.
type fileList struct {
	Version int      `json:"version"`
	Files   []string `json:"files"` // plain names, sorted
}

// WriteFile writes a whole file into an output_dir, or replaces it; after a crash it has the old content or the new.
func WriteFile(path string, content []byte) error { return writeFile(disk{}, path, content) }

func writeFile(fsys fileSystem, path string, content []byte) error {
	return write(fsys, path, bytesWriter(content))
}

// WriteStream does so with what content writes. An error of content itself is returned as it is, and nothing is left behind.
func WriteStream(path string, content func(io.Writer) error) error {
	var own error
	err := write(disk{}, path, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		own = content(b)
		if err := b.Flush(); err != nil { // the disk's, which content saw too
			own = nil
			return err
		}
		return own
	})
	if own != nil {
		return own
	}
	return err
}

func write(fsys fileSystem, path string, content writer) error {
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	tmp := filepath.Join(dir, fmt.Sprintf(".dpotrain-%s.tmp-%d", name, os.Getpid()))
	err := removeAll(fsys, tmp)
	if err == nil {
		err = create(fsys, tmp, content)
	}
	if err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, errors.Join(reason(err), removeAll(fsys, tmp)))
	}
	return fsys.SyncDir(dir)
}

// WriteModel writes the final model into outputDir: model.safetensors and the small files (plain names) of a Hugging Face folder. Each
// file is replaced as a whole, none before all are on the disk, and their names are listed first, so that Clear knows them whatever happens.
func WriteModel(outputDir string, weights []safetensors.Tensor, files map[string][]byte) error {
	return writeModel(disk{}, outputDir, weights, files)
}

func writeModel(fsys fileSystem, outputDir string, weights []safetensors.Tensor, files map[string][]byte) error {
	made := missing(outputDir)
	fail := func(err error) error {
		removeEmpty(made)
		return fmt.Errorf("model %s: %w", outputDir, err)
	}
	if err := checkNames(files); err != nil {
		return fail(err)
	}
	if err := CheckPlace(outputDir); err != nil {
		return fail(err)
	}
	if err := makeDir(fsys, outputDir); err != nil {
		return fail(err)
	}
	if err := removeUnfinished(fsys, outputDir); err != nil {
		return fail(err)
	}
	names := append(slices.Sorted(maps.Keys(files)), modelName)
	tmp := filepath.Join(outputDir, fmt.Sprintf(".dpotrain-model.tmp-%d", os.Getpid()))
	err := fsys.Mkdir(tmp)
	for _, name := range names {
		content := bytesWriter(files[name])
		if name == modelName {
			content = tensorsWriter(weights, modelMetadata)
		}
		if err == nil {
			if err = create(fsys, filepath.Join(tmp, name), content); err != nil {
				err = fmt.Errorf("%s: %w", name, reason(err))
			}
		}
	}
	if err == nil {
		err = addToList(fsys, outputDir, names)
	}
	for _, name := range names {
		if err == nil {
			err = fsys.Rename(filepath.Join(tmp, name), filepath.Join(outputDir, name))
		}
	}
	if err == nil {
		err = fsys.SyncDir(outputDir)
	}
	if err = errors.Join(err, removeAll(fsys, tmp)); err != nil {
		return fail(err)
	}
	return nil
}

// addToList adds names to the list of files that are ours.
func addToList(fsys fileSystem, outputDir string, names []string) error {
	listed, err := readList(outputDir)
	if err != nil {
		return err
	}
	listed = append(listed, names...)
	slices.Sort(listed)
	text, err := marshal(fileList{version, slices.Compact(listed)})
	if err != nil {
		return err
	}
	return writeFile(fsys, filepath.Join(outputDir, listName), text)
}

// readList returns the names of the final model's files; a missing list is an empty one.
func readList(outputDir string) ([]string, error) {
	path := filepath.Join(outputDir, listName)
	text, err := files.Read(path, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := checkVersion(path, text); err != nil {
		return nil, err
	}
	var list fileList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s is damaged: it is not as dpotrain writes it; remove the files of the old run yourself, or choose another output_dir", path)
	}
	for _, name := range list.Files {
		if !plainName(name) {
			return nil, fmt.Errorf("%s is damaged: %q is not the name of a file here; remove the files of the old run yourself, or choose another output_dir",
				path, name)
		}
	}
	return list.Files, nil
}

// HasRun reports whether dpotrain has written a run into outputDir: a checkpoint, a final model, dpotrain.yaml or metrics.jsonl.
func HasRun(outputDir string) (bool, error) {
	steps, err := List(outputDir)
	if err != nil || len(steps) > 0 {
		return len(steps) > 0, err
	}
	for _, name := range append([]string{listName}, runFiles...) {
		info, err := os.Lstat(filepath.Join(outputDir, name))
		if err == nil && !info.IsDir() {
			return true, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// Clear removes what dpotrain wrote into outputDir, and nothing else: checkpoints that have its manifest, half-written ones, the run's
// own files and the final model's as dpotrain-files.json lists them. A folder in the place of such a file stays. The caller holds LockRun.
func Clear(outputDir string) error {
	fsys := disk{}
	if err := removeUnfinished(fsys, outputDir); err != nil {
		return err
	}
	steps, err := List(outputDir)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := discard(fsys, outputDir, step, checkpointPath(outputDir, step)); err != nil {
			return err
		}
	}
	names, err := readList(outputDir)
	if err != nil {
		return err
	}
	// The list goes last: until then a second try finds what is left.
	for _, name := range slices.Concat(names, runFiles, []string{listName}) {
		path := filepath.Join(outputDir, name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		if err == nil {
			err = fsys.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Foreign are those of the names that stand in outputDir and that dpotrain did not write: WriteModel would replace them.
func Foreign(outputDir string, names []string) ([]string, error) {
	listed, err := readList(outputDir)
	if err != nil {
		return nil, err
	}
	var foreign []string
	for _, name := range names {
		_, err := os.Lstat(filepath.Join(outputDir, name))
		switch {
		case err == nil && !slices.Contains(listed, name):
			foreign = append(foreign, name)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return foreign, nil
}

const lockName = ".dpotrain.lock"

// LockRun makes the caller the only run that writes into outputDir, which is made if need be, until release. If another process has
// it, the error says so at once. A run that has written nothing leaves nothing behind: release takes the lock file away with it, and
// the folders that were made for it.
func LockRun(outputDir string) (release func() error, err error) {
	made := missing(outputDir)
	lock, err := tryLock(outputDir)
	if err != nil {
		removeEmpty(made)
		return nil, fmt.Errorf("output_dir %s: %w", outputDir, err)
	}
	return func() error {
		if has, err := HasRun(outputDir); err == nil && !has {
			_ = os.Remove(lock.Path()) // it does no harm if it stays: on Windows an open file cannot be removed
			removeEmpty(made)
		}
		return lock.Close()
	}, nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// removeEmpty removes folders, innermost first, up to the first that has something in it.
func removeEmpty(dirs []string) {
	for _, dir := range dirs {
		_ = os.Remove(dir)
	}
}

// CheckPlace says why a folder cannot be there or be made: something on the way to it is no folder.
func CheckPlace(dir string) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir() && at == filepath.Clean(dir):
			return errors.New("a file is there")
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is a file", at)
		case errors.Is(err, fs.ErrNotExist) && isLink(at):
			return fmt.Errorf("%s is a link that leads nowhere", at)
		case err == nil || filepath.Dir(at) == at:
			return nil
		}
	}
}

// tryLock makes outputDir and locks it. A lock that another run takes away, with the folder it made, between opening and locking would
// keep nobody out: then it tries again.
func tryLock(outputDir string) (*flock.Flock, error) {
	another := func(err error) (*flock.Flock, error) { return nil, fmt.Errorf("%w; choose another output_dir", err) }
	if err := CheckPlace(outputDir); err != nil {
		return another(err)
	}
	for range 100 {
		if err := makeDir(disk{}, outputDir); err != nil {
			return another(err)
		}
		lock := flock.New(filepath.Join(outputDir, lockName))
		locked, err := lock.TryLock()
		if locked && stillThere(lock) {
			return lock, nil
		}
		lock.Close()
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return another(err)
		case err == nil && !locked:
			return nil, errors.New("another dpotrain is writing here; wait for it to end or choose another output_dir")
		}
	}
	return another(errors.New("the folder cannot be made or vanishes again"))
}

// missing are dir and the folders above it that do not exist, innermost first.
func missing(dir string) []string {
	var list []string
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return list
		}
		list = append(list, dir)
	}
}

// stillThere says that the path of a lock leads to the file that is locked.
func stillThere(lock *flock.Flock) bool {
	locked, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(lock.Path())
	return err == nil && os.SameFile(locked, there)
}
