package rows

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// headSize is how many bytes of a file tell what it is.
const headSize = 1 << 10

// magics are the first bytes of files that hold no rows as they are. PATH in an advice is the file.
var magics = []struct{ magic, advice string }{
	{"\x1f\x8b", "compressed twice; unpack it first (gunzip)"},
	{"\x28\xb5\x2f\xfd", "compressed twice; unpack it first (unzstd)"},
	{"BZh", "compressed with bzip2; unpack it first (bunzip2)"},
	{"\xfd7zXZ\x00", "compressed with xz; unpack it first (unxz)"},
	{"PK\x03\x04", "a zip archive; unpack it first (unzip)"},
	{"PARE", "an encrypted parquet file; write it without encryption"},
	{"ARROW1", arrow},
	{"\xff\xff\xff\xff", arrow}, // a stream, as the datasets library keeps them
	{"\xff\xfe", wide},
	{"\xfe\xff", wide},
	{"version https://git-lfs", "a git-lfs pointer and not the file itself; get that with git lfs pull"},
	{"<", "begins with <, as web pages do, and is no JSONL; get the file itself"},
}

const (
	arrow = `an Arrow file; export it to JSONL, in Python: from datasets import Dataset; Dataset.from_file("PATH").to_json("pairs.jsonl")`
	wide  = "UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
)

// foreign says what a file is that begins with head and is no JSON, and what to do with it; empty if it may be JSON.
func foreign(head []byte, path string) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return strings.ReplaceAll(m.advice, "PATH", filepath.ToSlash(path))
		}
	}
	if at := bytes.IndexByte(head, 0); at >= 0 {
		if at < 2 && len(head) > 1 && head[1-at] != 0 { // every other byte of plain letters is zero
			return wide
		}
		return "a binary file; want JSONL, which is text"
	}
	return ""
}

// insteadOfFolder says what to do where a folder is given for a file.
func insteadOfFolder(dir string) string {
	for _, name := range []string{"dataset_info.json", "dataset_dict.json"} { // as save_to_disk writes them
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			split := ""
			if name == "dataset_dict.json" {
				split = `["train"]`
			}
			return fmt.Sprintf(`export it to JSONL, in Python: from datasets import load_from_disk; load_from_disk("%s")%s.to_json("pairs.jsonl")`, filepath.ToSlash(dir), split)
		}
	}
	return "give a file of rows"
}
