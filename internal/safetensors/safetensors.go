// Package safetensors reads and writes the tensor files of Hugging Face models, single or sharded. It knows no models.
//
// Files may be hostile: everything a header says is checked against the file before memory is touched, and what is
// wrong is an error that names the file and the tensor.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edsrzf/mmap-go"
	format "github.com/nlpodyssey/safetensors"
	"github.com/x448/float16"
)

// Dtype is a number format as files spell it.
type Dtype string

// The formats that can be converted to and from float32.
const (
	F32  Dtype = "F32"
	F16  Dtype = "F16"
	BF16 Dtype = "BF16"
)

// Tensor is a named array.
type Tensor struct {
	Name  string
	Dtype Dtype
	Shape []int
	Data  []byte // little endian, row major; of an opened file it is the mapped file, valid until Close
}

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Float32 converts the elements, exactly, into dst of Len elements.
func (t Tensor) Float32(dst []float32) error {
	size := map[Dtype]int{F32: 4, F16: 2, BF16: 2}[t.Dtype]
	if size == 0 {
		return fmt.Errorf("%s: number format %s is not supported; want F32, F16 or BF16", t.Name, t.Dtype)
	}
	if len(dst) != t.Len() || len(t.Data) != size*len(dst) {
		return fmt.Errorf("%s: %d bytes of %s do not make the %d elements of shape %v", t.Name, len(t.Data), t.Dtype, len(dst), t.Shape)
	}
	for i := range dst {
		switch t.Dtype {
		case F32:
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		case F16:
			dst[i] = float16.Frombits(binary.LittleEndian.Uint16(t.Data[2*i:])).Float32()
		case BF16:
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Data[2*i:])) << 16)
		}
	}
	return nil
}

// Encode makes a tensor of float32 values in the given format, rounding to the nearest, ties to even. A finite value that
// the format cannot hold is an error.
func Encode(name string, shape []int, values []float32, d Dtype) (Tensor, error) {
	t := Tensor{Name: name, Dtype: d, Shape: shape}
	if t.Len() != len(values) {
		return t, fmt.Errorf("%s: %d values for shape %v", name, len(values), shape)
	}
	overflow := func(v float32) error {
		return fmt.Errorf("%s: %v does not fit into %s; save in F32 or BF16", name, v, d)
	}
	switch d {
	case F32:
		t.Data = make([]byte, 4*len(values))
		for i, v := range values {
			binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(v))
		}
	case F16:
		t.Data = make([]byte, 2*len(values))
		for i, v := range values {
			h := float16.Fromfloat32(v)
			if h.IsInf(0) && !math.IsInf(float64(v), 0) {
				return t, overflow(v)
			}
			binary.LittleEndian.PutUint16(t.Data[2*i:], h.Bits())
		}
	case BF16:
		t.Data = make([]byte, 2*len(values))
		for i, v := range values {
			h := bfloat16(v)
			if h&0x7fff == 0x7f80 && !math.IsInf(float64(v), 0) {
				return t, overflow(v)
			}
			binary.LittleEndian.PutUint16(t.Data[2*i:], h)
		}
	default:
		return t, fmt.Errorf("%s: cannot write number format %s; want F32, F16 or BF16", name, d)
	}
	return t, nil
}

// bfloat16 rounds to the nearest, ties to even; a NaN stays one.
func bfloat16(v float32) uint16 {
	u := math.Float32bits(v)
	if v != v {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// File is a memory-mapped file, or the shards of one model.
type File struct {
	tensors  map[string]Tensor
	metadata map[string]string
	maps     []mmap.MMap
}

// maxHeader is the format's own bound on a header.
const maxHeader = 100 << 20

// Open maps one file.
func Open(path string) (*File, error) {
	f := &File{tensors: map[string]Tensor{}}
	if err := f.add(path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// add maps a file and takes its tensors in.
func (f *File) add(path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	bad := func(msg string, a ...any) error {
		return fmt.Errorf("%s: %s; the file is damaged or no safetensors file", path, fmt.Sprintf(msg, a...))
	}
	if !info.Mode().IsRegular() || info.Size() < 8 {
		return bad("%d bytes", info.Size())
	}
	m, err := mmap.Map(file, mmap.RDONLY, 0)
	if err != nil {
		return fmt.Errorf("%s: mapping: %w", path, err)
	}
	f.maps = append(f.maps, m)
	data := []byte(m)
	size := binary.LittleEndian.Uint64(data)
	if size > maxHeader || size > uint64(len(data)-8) || size < 2 || data[8] != '{' {
		return bad("its header is said to have %d bytes, the file has %d", size, len(data))
	}
	if name, ok := duplicateKey(data[8 : 8+size]); ok {
		return bad("%q stands twice in its header", name)
	}
	_, meta, err := format.ReadMetadata(data)
	if err != nil {
		return bad("%v", err)
	}
	end := uint64(0)
	tensors := meta.Tensors()
	for _, name := range sortedKeys(tensors) {
		info := tensors[name]
		t := Tensor{Name: name, Dtype: Dtype(info.DType.String()), Shape: make([]int, len(info.Shape))}
		for i, d := range info.Shape {
			if d > math.MaxInt32 {
				return bad("%s: a dimension of %d", name, d)
			}
			t.Shape[i] = int(d)
		}
		end = max(end, info.DataOffsets[1])
		if end > uint64(len(data))-8-size {
			return bad("%s: ends at byte %d of %d", name, end, uint64(len(data))-8-size)
		}
		t.Data = data[8+size:][info.DataOffsets[0]:info.DataOffsets[1]]
		if _, twice := f.tensors[name]; twice {
			return fmt.Errorf("%s: %s is in another shard too", path, name)
		}
		f.tensors[name] = t
	}
	if end != uint64(len(data))-8-size {
		return bad("%d bytes after the last tensor", uint64(len(data))-8-size-end)
	}
	if f.metadata == nil {
		f.metadata = meta.Metadata()
	}
	return nil
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

// Names of a model's weights in its folder.
const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// OpenDir maps the weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json names.
func OpenDir(dir string) (*File, error) {
	single := filepath.Join(dir, singleFile)
	if _, err := os.Stat(single); err == nil {
		return Open(single)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path := filepath.Join(dir, indexFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingWeights(dir)
	}
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f := &File{tensors: map[string]Tensor{}}
	if err := f.addShards(path, index); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// parseIndex gives the shard of every tensor.
func parseIndex(text []byte) (shardOf map[string]string, err error) {
	var index struct {
		WeightMap json.RawMessage `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("no index of shards: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("weight_map: missing")
	}
	if err := json.Unmarshal(index.WeightMap, &shardOf); err != nil {
		return nil, fmt.Errorf("weight_map: want the name of a file for every tensor: %w", err)
	}
	if name, ok := duplicateKey(index.WeightMap); ok {
		return nil, fmt.Errorf("weight_map: %s stands twice in it", name)
	}
	if len(shardOf) == 0 {
		return nil, errors.New("weight_map: empty")
	}
	return shardOf, nil
}

// addShards maps the shards that an index names, each tensor of which must be where the index says. What differs has come
// from two versions of a model.
func (f *File) addShards(path string, shardOf map[string]string) error {
	dir := filepath.Dir(path)
	found := map[string]string{} // the shard that a tensor is in
	for _, name := range sortedKeys(shardOf) {
		shard := shardOf[name]
		if shard != filepath.Base(shard) || strings.ContainsAny(shard, `/\`) || !strings.HasSuffix(shard, ".safetensors") {
			return fmt.Errorf("%s: %s: shard %q is not the name of a .safetensors file in this folder", path, name, shard)
		}
	}
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(shardOf))) {
		err := f.add(filepath.Join(dir, shard))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %s is missing, and %s names it; get all files of the model", dir, shard, filepath.Base(path))
		}
		if err != nil {
			return err
		}
		for name := range f.tensors {
			if _, before := found[name]; !before {
				found[name] = shard
			}
		}
	}
	for _, name := range sortedKeys(shardOf) {
		if found[name] != shardOf[name] {
			where := "in no shard"
			if s := found[name]; s != "" {
				where = "in " + s
			}
			return fmt.Errorf("%s: %s: to be in %s, and it is %s; index and shards are not of one model", path, name, shardOf[name], where)
		}
	}
	for _, name := range sortedKeys(found) {
		if _, ok := shardOf[name]; !ok {
			return fmt.Errorf("%s: %s: in %s and not in the index; index and shards are not of one model", path, name, found[name])
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// missingWeights says why a folder has no weights to read.
func missingWeights(dir string) error {
	for _, pattern := range []string{"*.bin", "*.pt", "*.pth"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return fmt.Errorf("%s: weights in pickle files (%s) are not read; convert them once with Python: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR, safe_serialization=True)",
				dir, filepath.Base(found[0]))
		}
	}
	return fmt.Errorf("%s: no %s and no %s; give a Hugging Face model folder", dir, singleFile, indexFile)
}

// Names lists the tensors, sorted.
func (f *File) Names() []string { return sortedKeys(f.tensors) }

// Tensor is the tensor of a name.
func (f *File) Tensor(name string) (Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// Metadata is the header's own, of the first shard.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close unmaps the file. Tensors must not be used after it.
func (f *File) Close() error {
	var errs []error
	for _, m := range f.maps {
		errs = append(errs, m.Unmap())
	}
	f.maps, f.tensors = nil, nil
	return errors.Join(errs...)
}

// view is a Tensor as the library wants it.
type view struct {
	Tensor
	dtype format.DType
}

func (v view) DType() format.DType { return v.dtype }
func (v view) Data() []byte        { return v.Tensor.Data }
func (v view) DataLen() uint64     { return uint64(len(v.Tensor.Data)) }
func (v view) Shape() []uint64 {
	s := make([]uint64, len(v.Tensor.Shape))
	for i, d := range v.Tensor.Shape {
		s[i] = uint64(d)
	}
	return s
}

// Write writes tensors to a stream. The bytes depend on the tensors and the metadata, not on their order. A file that is
// mapped must not be written over: write beside it and rename.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	views := make(map[string]view, len(tensors))
	for _, t := range tensors {
		d, err := format.ParseDType(string(t.Dtype))
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if uint64(len(t.Data)) != uint64(t.Len())*d.Size() {
			return fmt.Errorf("%s: %d bytes for shape %v of %s", t.Name, len(t.Data), t.Shape, t.Dtype)
		}
		if _, twice := views[t.Name]; twice {
			return fmt.Errorf("%s: given twice", t.Name)
		}
		views[t.Name] = view{t, d}
	}
	return format.SerializeToWriter(views, metadata, w)
}
