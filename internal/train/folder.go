package train

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/safetensors"
)

// hubName is how models are named on the Hugging Face Hub, where other trainers find them by themselves.
var hubName = regexp.MustCompile(`^[\w-][\w.-]*/[\w-][\w.-]*$`)

// modelFolder checks that a key's value is a folder with a model in it, and says how to get one if it is the name of a
// model.
func modelFolder(key, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && hubName.MatchString(dir):
		return fmt.Errorf("%s: %s: no such folder, and nothing is downloaded here; if it is a name on the Hugging Face Hub: hf download %s --local-dir models/%s, and give that folder",
			key, dir, dir, path.Base(dir))
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %s: no such folder; give one with config.json, model.safetensors and tokenizer.json", key, dir)
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case !info.IsDir():
		return fmt.Errorf("%s: %s: %s", key, dir, safetensors.Instead(dir))
	}
	return model.CheckDir(dir)
}

// noData says what to do where a key's value is no file, if it is the name of a dataset or of something else that other
// trainers fetch; otherwise it returns err.
func noData(key, name string, err error) error {
	_, dirErr := os.Stat(filepath.Dir(name))
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case strings.Contains(name, "://"):
		return fmt.Errorf("%s: %s: nothing is downloaded here; get the file first, and give its path", key, name)
	case hubName.MatchString(name) && dirErr != nil && !strings.HasPrefix(path.Ext(name), ".json"):
		return fmt.Errorf("%s: %s: no such file, and nothing is downloaded here; if it is a name on the Hugging Face Hub, in Python: "+
			`from datasets import load_dataset; load_dataset("%s", split="train").to_json("pairs.jsonl"), and give that file`, key, name, name)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// missing is the path of the first data set that is not there, if there is one.
func missing(sources []data.Source) string {
	for _, s := range sources {
		if _, err := os.Stat(s.Path); err != nil {
			return s.Path
		}
	}
	return sources[0].Path
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
		relation := ""
		switch {
		case out == dir:
			relation = "is"
		case within(out, dir):
			relation = "lies inside"
		case within(dir, out):
			relation = "is around"
		default:
			continue
		}
		return usage("output_dir %s %s the folder of %s %s; choose another output_dir", o.OutputDir, relation, m.key, m.dir)
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
	for _, name := range []string{ConfigFile, MetricsFile} {
		path := filepath.Join(r.o.OutputDir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return usage("%s is a folder, where the run writes a file; move it away or choose another output_dir", path)
		}
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
