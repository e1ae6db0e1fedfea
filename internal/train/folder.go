package train

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dpotrain/internal/checkpoint"
)

// hubName is how models are named on the Hugging Face Hub, where other trainers find them by themselves.
var hubName = regexp.MustCompile(`^[\w-][\w.-]*/[\w-][\w.-]*$`)

// modelFolder checks that a key's value is a folder, and says how to get one if it is the name of a model.
func modelFolder(key, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) && hubName.MatchString(dir):
		return fmt.Errorf("%s: %s: no such folder, and nothing is downloaded here; if it is a name on the Hugging Face Hub: hf download %s --local-dir models/%s, and give that folder",
			key, dir, dir, path.Base(dir))
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: %s: no such folder; give one with config.json, model.safetensors and tokenizer.json", key, dir)
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case !info.IsDir():
		return fmt.Errorf("%s: %s is a file; give the folder with config.json, model.safetensors and tokenizer.json", key, dir)
	}
	return nil
}

// checkFolders sees to it that the models are there, and refuses to write into, around or over a model folder that the run reads.
func checkFolders(o *Options) error {
	out, err := realPath(o.OutputDir)
	if err != nil {
		return err
	}
	for _, m := range []struct{ key, dir string }{{"model", o.Model}, {"ref_model", o.RefModel}} {
		if err := modelFolder(m.key, m.dir); err != nil {
			return err
		}
		dir, err := realPath(m.dir)
		if err != nil {
			return err
		}
		if within(out, dir) || within(dir, out) {
			return usage("output_dir %s and %s %s are one inside the other; choose another output_dir", o.OutputDir, m.key, m.dir)
		}
	}
	return nil
}

// checkForeign refuses an output_dir with files of others where the tuned model is to lie.
func (r *runner) checkForeign() error {
	files, err := r.files()
	if err != nil {
		return err
	}
	foreign, err := checkpoint.Foreign(r.o.OutputDir, append(slices.Sorted(maps.Keys(files)), "model.safetensors"))
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		return usage("output_dir %s holds files that dpotrain did not write and the tuned model would replace (%s); choose another output_dir", r.o.OutputDir, strings.Join(foreign, ", "))
	}
	return nil
}

// within says that path is dir or lies inside.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// realPath is the absolute path without symbolic links, of which the last parts need not exist.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			return filepath.Join(real, rest), nil
		}
		parent := filepath.Dir(abs)
		if parent == abs {
			return filepath.Join(abs, rest), nil
		}
		abs, rest = parent, filepath.Join(filepath.Base(abs), rest)
	}
}

// samePlace says that two paths are one, once links are followed.
func samePlace(a, b string) bool {
	realA, errA := realPath(a)
	realB, errB := realPath(b)
	return errA == nil && errB == nil && realA == realB
}
