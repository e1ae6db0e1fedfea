package rows

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// endings are those of files that hold rows, before .gz and .zst.
var endings = []string{".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"}

// Extensions are those of files that hold rows, compressed or not, without the dot.
func Extensions() []string {
	var all []string
	for _, e := range endings {
		all = append(all, strings.TrimPrefix(e, "."))
	}
	return append(all, "gz", "zst")
}

// Ending is what of a file's name tells its format, in lower case: that before .gz and .zst.
func Ending(path string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	return filepath.Ext(name)
}

const maxFiles = 1 << 16

// Find gives the files that path names, in order of their names: the file itself, those that fit a pattern with *, ? or [] and are not hidden, or those
// in a folder and below it that end as files of rows do. A folder whose files are named after splits, as those of data sets on the Hub
// are (train.jsonl, data/train-00000-of-00002.parquet), needs to be told which split is meant; for other paths there is no split.
func Find(path, split string) ([]string, error) {
	info, err := os.Stat(path)
	pattern := err != nil && strings.ContainsAny(path, "*?[")
	switch {
	case err == nil && info.IsDir():
		return inFolder(path, split)
	case split != "" && (err == nil || pattern):
		return nil, fmt.Errorf("%s: split %s is given, and this is no folder; leave it out", path, split)
	case !pattern:
		return []string{path}, nil // Open says what is wrong
	}
	files, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%s: not a pattern of files; want one as data/train-*.parquet", path)
	}
	files = slices.DeleteFunc(files, func(f string) bool {
		info, err := os.Stat(f)
		return err == nil && info.IsDir() || hidden(f, path)
	})
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no file fits this pattern; look at the path", path)
	}
	slices.Sort(files)
	return files, nil
}

// hidden says that a name in a path that fits a pattern begins with a dot and that in the pattern does not. A shell leaves such files out too: they are what other
// programs leave behind, as ._train.jsonl.
func hidden(path, pattern string) bool {
	names, patterns := strings.Split(filepath.ToSlash(path), "/"), strings.Split(filepath.ToSlash(pattern), "/")
	for i := 1; i <= min(len(names), len(patterns)); i++ { // from the end, for the beginning may be spelled otherwise
		if strings.HasPrefix(names[len(names)-i], ".") && !strings.HasPrefix(patterns[len(patterns)-i], ".") {
			return true
		}
	}
	return false
}

// notRows are files that lie beside those of rows and end like them.
var notRows = []string{"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "metadata.json"}

func inFolder(dir, split string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case len(files) == maxFiles:
			return fmt.Errorf("%s: more than %d files; give a pattern, as data/train-*.parquet", dir, maxFiles)
		}
		name := strings.ToLower(d.Name())
		if !d.IsDir() && slices.Contains(endings, Ending(name)) && !slices.Contains(notRows, name) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		advice := insteadOfFolder(dir)
		if advice == "give a file of rows" {
			advice = "want files that end in " + strings.Join(endings, ", ") + ", or in these with .gz or .zst behind"
		}
		return nil, fmt.Errorf("%s: a folder without rows; %s", dir, advice)
	}
	slices.Sort(files)
	splits := map[string][]string{}
	for _, f := range files {
		s := splitOf(dir, f)
		splits[s] = append(splits[s], f)
	}
	var names []string
	for s := range splits {
		if s != "" {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	switch {
	case split != "" && len(names) == 0:
		return nil, fmt.Errorf("%s: no split %s, for its files are not named after splits; leave it out", dir, split)
	case split != "" && splits[split] == nil:
		return nil, fmt.Errorf("%s: no split %s; there are %s", dir, split, strings.Join(names, ", "))
	case split != "":
		return splits[split], nil
	case len(names) > 1:
		return nil, fmt.Errorf("%s: a folder with the splits %s; say which with split in datasets, or give a pattern for its files", dir, strings.Join(names, ", "))
	}
	return files, nil
}

// sharded are files that a data set's split is divided into, as the Hub names them.
var sharded = regexp.MustCompile(`^(.+)-\d+-of-\d+(-|\.|$)`)

// splitNames are those of files or folders that hold a split as a whole.
var splitNames = []string{"train", "test", "validation", "valid", "val", "dev", "eval"}

// splitOf is the split that a file in dir is named after, or else the folder that it is in; empty if it is none.
func splitOf(dir, file string) string {
	within, err := filepath.Rel(dir, file)
	if err != nil {
		return ""
	}
	parts := strings.Split(filepath.ToSlash(within), "/")
	for _, part := range slices.Backward(parts) {
		if m := sharded.FindStringSubmatch(part); m != nil {
			return m[1]
		}
		if stem, _, _ := strings.Cut(part, "."); slices.Contains(splitNames, stem) {
			return stem
		}
	}
	return ""
}
