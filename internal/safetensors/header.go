package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// maxHeader is the format's own bound on a header, in bytes.
const maxHeader = 100 << 20

// sizes are those of one element of every number format that a file may have, in bytes; only some of them can be converted.
var sizes = map[Dtype]uint64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, F16: 2, BF16: 2,
	"I32": 4, "U32": 4, F32: 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}

// again is what to do about a file that was good where it comes from.
const again = "the file is damaged, get it again"

// parse finds the tensors in the bytes of a file. All that the header says is checked: the tensors lie one behind the other
// without a hole, each is as long as its shape, and the last ends where the file does.
func parse(file []byte) ([]Tensor, map[string]string, error) {
	if len(file) < 8 {
		return nil, nil, fmt.Errorf("%d bytes, too few for a header; %s", len(file), again)
	}
	size, file := binary.LittleEndian.Uint64(file), file[8:]
	switch {
	case size < 2 || size > maxHeader || len(file) > 0 && file[0] != '{':
		return nil, nil, errors.New("does not begin as a safetensors file does; " + again)
	case size > uint64(len(file)):
		return nil, nil, fmt.Errorf("cut off in its header, which has %d bytes; get the file again", size)
	}
	tensors, metadata, err := parseHeader(file[:size])
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w; %s", err, again)
	}
	data := file[size:]
	at, before := uint64(0), "the header"
	all := make([]Tensor, len(tensors))
	for i, t := range tensors {
		if t.from != at {
			what := "there is a hole between them"
			if t.from < at {
				what = "they overlap"
			}
			return nil, nil, fmt.Errorf("header: %s begins at byte %d, and %s ends at byte %d: %s; %s", t.Name, t.from, before, at, what, again)
		}
		if t.to > uint64(len(data)) {
			return nil, nil, fmt.Errorf("header: %s ends at byte %d, and the file has %d bytes of tensors: it is cut off; get it again", t.Name, t.to, len(data))
		}
		t.Data = data[t.from:t.to]
		at, before, all[i] = t.to, t.Name, t.Tensor
	}
	if at != uint64(len(data)) {
		return nil, nil, fmt.Errorf("%d bytes follow the last tensor; %s", uint64(len(data))-at, again)
	}
	return all, metadata, nil
}

// placed is a tensor with its place among the bytes behind the header, which has the length that shape and format give.
type placed struct {
	Tensor
	from, to uint64
}

// parseHeader reads a header. The tensors come in the order of their bytes.
func parseHeader(text []byte) (tensors []placed, metadata map[string]string, err error) {
	if name, ok := duplicateKey(text); ok {
		return nil, nil, fmt.Errorf("%s stands twice in it", name)
	}
	var entries map[string]json.RawMessage
	if json.Unmarshal(text, &entries) != nil {
		return nil, nil, errors.New("not JSON")
	}
	for _, name := range sortedKeys(entries) {
		if name == "__metadata__" {
			if json.Unmarshal(entries[name], &metadata) != nil {
				return nil, nil, fmt.Errorf("%s: want texts", name)
			}
			continue
		}
		t, err := parseEntry(name, entries[name])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		tensors = append(tensors, t)
	}
	slices.SortFunc(tensors, func(a, b placed) int { // empty ones go first
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), strings.Compare(a.Name, b.Name))
	})
	return tensors, metadata, nil
}

// parseEntry reads what a header says of one tensor.
func parseEntry(name string, text json.RawMessage) (placed, error) {
	var (
		t       placed
		entry   map[string]json.RawMessage
		shape   []uint64
		offsets []uint64
	)
	if _, twice := duplicateKey(text); twice || json.Unmarshal(text, &entry) != nil || len(entry) != 3 || entry["dtype"] == nil || entry["shape"] == nil || entry["data_offsets"] == nil {
		return t, errors.New("want dtype, shape and data_offsets, each once")
	}
	if json.Unmarshal(entry["dtype"], &t.Dtype) != nil || sizes[t.Dtype] == 0 {
		return t, fmt.Errorf("dtype: %.40s is no number format", entry["dtype"])
	}
	if json.Unmarshal(entry["shape"], &shape) != nil || shape == nil {
		return t, fmt.Errorf("shape: %.60s; want a list of sizes", entry["shape"])
	}
	if json.Unmarshal(entry["data_offsets"], &offsets) != nil || len(offsets) != 2 || offsets[0] > offsets[1] {
		return t, fmt.Errorf("data_offsets: %.60s; want a first and a last byte", entry["data_offsets"])
	}
	t.Name, t.Shape, t.from, t.to = name, make([]int, len(shape)), offsets[0], offsets[1]
	bytes := sizes[t.Dtype]
	for i, n := range shape {
		over, product := bits.Mul64(bytes, n)
		if n > math.MaxInt32 || over > 0 {
			return t, fmt.Errorf("shape: %.60s is out of range", entry["shape"])
		}
		t.Shape[i], bytes = int(n), product
	}
	if t.to-t.from != bytes {
		return t, fmt.Errorf("data_offsets: %d bytes, and shape %v in %s has %d", t.to-t.from, t.Shape, t.Dtype, bytes)
	}
	return t, nil
}

// duplicateKey finds a key that stands twice in a JSON object; encoding/json would take the last.
func duplicateKey(text []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	if _, err := d.Token(); err != nil {
		return "", false
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return "", false // the parser will say what is wrong
		}
		if seen[name] {
			return name, true
		}
		seen[name] = true
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			return "", false
		}
	}
	return "", false
}
