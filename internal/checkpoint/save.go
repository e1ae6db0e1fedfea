package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dpotrain/internal/safetensors"
)

// Save writes the checkpoint of c.State.Step into outputDir, which is made if need be, and returns its path. When it has returned
// without an error the checkpoint survives a power cut; after an error the earlier ones are as they were and this one is whole or not
// there. A checkpoint of the same step is replaced; a folder of that name that dpotrain did not write is an error. The caller holds LockRun.
func Save(outputDir string, c Contents) (path string, err error) { return save(disk{}, outputDir, c) }

func save(fsys fileSystem, outputDir string, c Contents) (path string, err error) {
	step := c.State.Step
	path = checkpointPath(outputDir, step)
	fail := func(err error) (string, error) { return "", fmt.Errorf("checkpoint %s: %w", path, err) }
	if err := checkNames(c.Files); err != nil {
		return fail(err)
	}
	if err := makeDir(fsys, outputDir); err != nil {
		return fail(err)
	}
	if err := removeUnfinished(fsys, outputDir); err != nil {
		return fail(err)
	}
	_, err = os.Lstat(path)
	replaces := !errors.Is(err, fs.ErrNotExist)
	if replaces && !IsCheckpoint(path) {
		return fail(errors.New("there is a folder of this name that dpotrain did not write; move it away or choose another output_dir"))
	}
	tmp, old := aside(outputDir, step, "tmp"), aside(outputDir, step, "old")
	if err := writeFolder(fsys, tmp, c); err != nil {
		return fail(errors.Join(err, removeUnfinished(fsys, outputDir)))
	}
	if replaces {
		if err := fsys.Rename(path, old); err != nil {
			return fail(errors.Join(err, removeUnfinished(fsys, outputDir)))
		}
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return fail(errors.Join(err, removeUnfinished(fsys, outputDir)))
	}
	if err := fsys.SyncDir(outputDir); err != nil {
		return fail(err)
	}
	if replaces {
		if err := discard(fsys, outputDir, step, old); err != nil {
			return fail(err)
		}
	}
	return path, nil
}

// checkNames refuses small files that would not lie in the folder itself or would take the place of one of ours.
func checkNames(files map[string][]byte) error {
	for name := range files {
		if !plainName(name) || name == modelName || name == ownDir {
			return fmt.Errorf("%q cannot be the name of a file beside the weights", name)
		}
	}
	return nil
}

// plainName reports whether name is that of a file in a folder, without a way to another folder.
func plainName(name string) bool {
	return fs.ValidPath(name) && filepath.IsLocal(name) && name != "." && !strings.ContainsAny(name, `/\`)
}

// writeFolder writes a whole checkpoint to a new folder and syncs all of it.
func writeFolder(fsys fileSystem, dir string, c Contents) error {
	for _, d := range []string{dir, filepath.Join(dir, ownDir)} {
		if err := fsys.Mkdir(d); err != nil {
			return err
		}
	}
	m := manifest{Version: version, Step: c.State.Step}
	place := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	write := func(name string, content writer) error {
		entry := manifestEntry{Name: name}
		hash := sha256.New()
		if err := create(fsys, place(name), func(w io.Writer) error { return content(io.MultiWriter(w, hash, &entry)) }); err != nil {
			return fmt.Errorf("%s: %w", name, reason(err))
		}
		entry.SHA256 = hex.EncodeToString(hash.Sum(nil))
		m.Files = append(m.Files, entry)
		return nil
	}
	if err := write(modelName, tensorsWriter(c.Weights, modelMetadata)); err != nil {
		return err
	}
	if err := write(optimizerName, tensorsWriter(c.Moments, nil)); err != nil {
		return err
	}
	for _, more := range []struct {
		name    string
		tensors []safetensors.Tensor
	}{{masterName, c.Master}, {referenceName, c.Reference}} {
		if len(more.tensors) == 0 {
			continue
		}
		if err := write(more.name, tensorsWriter(more.tensors, nil)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		if err := write(name, bytesWriter(c.Files[name])); err != nil {
			return err
		}
	}
	c.State.Version = version
	state, err := marshal(c.State)
	if err != nil {
		return err
	}
	if err := write(stateName, bytesWriter(state)); err != nil {
		return err
	}
	slices.SortFunc(m.Files, func(a, b manifestEntry) int { return strings.Compare(a.Name, b.Name) })
	text, err := marshal(m)
	if err != nil {
		return err
	}
	if err := create(fsys, place(manifestName), bytesWriter(text)); err != nil {
		return fmt.Errorf("%s: %w", manifestName, reason(err))
	}
	if err := fsys.SyncDir(filepath.Join(dir, ownDir)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// modelMetadata makes older versions of transformers accept the file.
var modelMetadata = map[string]string{"format": "pt"}

// Write counts the bytes of the file.
func (e *manifestEntry) Write(b []byte) (int, error) {
	e.Size += int64(len(b))
	return len(b), nil
}

// marshal is the one way in which JSON is written here, so that the same value is always the same bytes.
func marshal(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
