// Package safetensors reads and writes the tensor files of Hugging Face models, single or sharded. It knows no models.
//
// Files may be hostile: everything a header says is checked against the file before memory is touched, and what is
// wrong is an error that names the file and the tensor.
//
// Open and OpenDir map files and give back Tensors, whose numbers are read piece by piece as float32 (F32, F16, BF16); Write
// is given Tensors in one of these formats, whose numbers are made while they are written. No tensor has to be in memory as
// a whole. To add a number format: a Dtype, its size, and its case where Tensors are read and written.
package safetensors

import (
	"cmp"
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
	"sync"

	"github.com/x448/float16"

	"dpotrain/internal/files"
)

// Dtype is a number format as files spell it.
type Dtype string

// The formats that can be converted to and from float32.
const (
	F32  Dtype = "F32"
	F16  Dtype = "F16"
	BF16 Dtype = "BF16"
)

func (d Dtype) size() int { return map[Dtype]int{F32: 4, F16: 2, BF16: 2}[d] }

// Tensor is a named array.
type Tensor struct {
	Name  string
	Dtype Dtype
	Shape []int
	Data  []byte // little endian, row major; of an opened file it is the mapped file, valid until Close; nil of one from Source

	mapped bool                          // Data is a mapped file
	read   func(dst []float32, from int) // fills dst with the elements from from on, in place of Data
}

// Source is a tensor for Write whose elements are asked for piece by piece while it is written, so that there never is a copy of
// all of them. read fills dst with the elements from from on.
func Source(name string, shape []int, d Dtype, read func(dst []float32, from int)) Tensor {
	return Tensor{Name: name, Dtype: d, Shape: shape, read: read}
}

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// width is the number of bytes of an element, also in formats that are only passed on.
func (t Tensor) width() int {
	if n := t.Len(); t.read == nil && n > 0 {
		return len(t.Data) / n
	}
	return t.Dtype.size()
}

// piece is the number of elements that are converted at a time: 1 MiB of float32.
const piece = 1 << 18

// rooms are for pieces: a file of a hundred tensors would make a hundred of them garbage.
var rooms = sync.Pool{New: func() any { return new([piece]float32) }}

// Pieces converts the elements, exactly, and calls f with piece after piece; values is valid during the call. The memory that a file
// took is given back on the way.
func (t Tensor) Pieces(f func(from int, values []float32) error) error {
	size, n := t.Dtype.size(), t.Len()
	switch {
	case t.read != nil:
	case size == 0:
		return fmt.Errorf("%s: number format %s is not supported; want F32, F16 or BF16", t.Name, t.Dtype)
	case len(t.Data) != size*n:
		return fmt.Errorf("%s: %d bytes of %s do not make the %d elements of shape %v", t.Name, len(t.Data), t.Dtype, n, t.Shape)
	}
	values := rooms.Get().(*[piece]float32)
	defer rooms.Put(values)
	for from := 0; from < n; from += piece {
		part := values[:min(piece, n-from)]
		if t.read != nil {
			t.read(part, from)
		} else {
			t.decode(part, t.Data[size*from:size*(from+len(part))])
		}
		if err := f(from, part); err != nil {
			return err
		}
	}
	return nil
}

// decode converts the elements of a part of the data.
func (t Tensor) decode(dst []float32, data []byte) {
	for i := range dst {
		switch t.Dtype {
		case F32:
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		case F16:
			dst[i] = float16.Frombits(binary.LittleEndian.Uint16(data[2*i:])).Float32()
		case BF16:
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		}
	}
	if t.mapped {
		files.Forget(data)
	}
}

// Float32 converts the elements, exactly, into dst of Len elements.
func (t Tensor) Float32(dst []float32) error {
	if len(dst) != t.Len() {
		return fmt.Errorf("%s: %d elements of shape %v do not fit into %d", t.Name, t.Len(), t.Shape, len(dst))
	}
	return t.Pieces(func(from int, values []float32) error {
		copy(dst[from:], values)
		return nil
	})
}

// Encode makes a tensor of float32 values in the given format, rounding to the nearest, ties to even. A finite value that
// the format cannot hold is an error.
func Encode(name string, shape []int, values []float32, d Dtype) (Tensor, error) {
	t := Tensor{Name: name, Dtype: d, Shape: shape}
	if t.Len() != len(values) {
		return t, fmt.Errorf("%s: %d values for shape %v", name, len(values), shape)
	}
	var err error
	t.Data, err = t.encode(nil, values)
	return t, err
}

// encode appends values in the tensor's format to b.
func (t Tensor) encode(b []byte, values []float32) ([]byte, error) {
	overflow := func(v float32) error {
		return fmt.Errorf("%s: %v does not fit into %s; save in F32 or BF16", t.Name, v, t.Dtype)
	}
	b = slices.Grow(b, t.Dtype.size()*len(values))
	switch t.Dtype {
	case F32:
		for _, v := range values {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	case F16:
		for _, v := range values {
			h := float16.Fromfloat32(v)
			if h.IsInf(0) && !math.IsInf(float64(v), 0) {
				return b, overflow(v)
			}
			b = binary.LittleEndian.AppendUint16(b, h.Bits())
		}
	case BF16:
		for _, v := range values {
			h := bfloat16(v)
			if h&0x7fff == 0x7f80 && !math.IsInf(float64(v), 0) {
				return b, overflow(v)
			}
			b = binary.LittleEndian.AppendUint16(b, h)
		}
	default:
		return b, fmt.Errorf("%s: cannot write number format %s; want F32, F16 or BF16", t.Name, t.Dtype)
	}
	return b, nil
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
	maps     []files.Mapped
}

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
	switch {
	case info.IsDir():
		return fmt.Errorf("%s: a folder; want a safetensors file", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file; want a safetensors file", path)
	case info.Size() == 0: // which cannot be mapped
		return fmt.Errorf("%s: empty; %s", path, again)
	}
	m, err := files.Map(file)
	if err != nil {
		return fmt.Errorf("%s: mapping: %w", path, err)
	}
	f.maps = append(f.maps, m)
	if what := foreign(m, filepath.Dir(path)); what != "" {
		return fmt.Errorf("%s: %s", path, what)
	}
	tensors, metadata, err := parse(m)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, t := range tensors {
		if _, twice := f.tensors[t.Name]; twice {
			return fmt.Errorf("%s: %s is in another shard too", path, t.Name)
		}
		t.mapped = true
		f.tensors[t.Name] = t
	}
	if f.metadata == nil {
		f.metadata = metadata
	}
	return nil
}

// Names of a model's weights in its folder.
const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
	maxIndex   = 64 << 20 // bytes of the index
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
	text, err := files.Read(path, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, CheckDir(dir)
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
	if json.Unmarshal(text, &index) != nil {
		return nil, errors.New("no index of shards; " + again)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("weight_map: missing; " + again)
	}
	if json.Unmarshal(index.WeightMap, &shardOf) != nil {
		return nil, errors.New("weight_map: want the name of a file for every tensor; " + again)
	}
	if name, ok := duplicateKey(index.WeightMap); ok {
		return nil, fmt.Errorf("weight_map: %s stands twice in it; %s", name, again)
	}
	if len(shardOf) == 0 {
		return nil, errors.New("weight_map: empty; " + again)
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

// Write writes tensors to a stream. The bytes depend on the tensors and the metadata, not on their order. A file that is
// mapped must not be written over: write beside it and rename.
//
// The library's own writer wants every tensor in memory as it goes to the file, twice a model's size beside the model.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	// Wider numbers first, so that each tensor is aligned to its own.
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.width(), a.width()), cmp.Compare(a.Name, b.Name))
	})
	header, err := headerOf(tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	var data []byte
	for _, t := range tensors {
		if t.read == nil {
			if _, err := w.Write(t.Data); err != nil {
				return err
			}
			continue
		}
		err := t.Pieces(func(_ int, values []float32) (err error) {
			if data, err = t.encode(data[:0], values); err == nil {
				_, err = w.Write(data)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// headerOf is the length of the header and the header: a JSON object, with blanks behind it so that the data is aligned.
func headerOf(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	type entry struct {
		Dtype   Dtype    `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	fields := map[string]any{}
	if len(metadata) > 0 {
		fields["__metadata__"] = metadata
	}
	var at int64
	for _, t := range tensors {
		size := int64(t.width()) * int64(t.Len())
		switch {
		case t.read != nil && t.Dtype.size() == 0:
			return nil, fmt.Errorf("%s: cannot write number format %s; want F32, F16 or BF16", t.Name, t.Dtype)
		case t.read == nil && (int64(len(t.Data)) != size || t.Dtype.size() != 0 && t.Dtype.size() != t.width()):
			return nil, fmt.Errorf("%s: %d bytes for shape %v of %s", t.Name, len(t.Data), t.Shape, t.Dtype)
		case fields[t.Name] != nil:
			return nil, fmt.Errorf("%s: given twice", t.Name)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{} // a scalar
		}
		fields[t.Name] = entry{t.Dtype, shape, [2]int64{at, at + size}}
		at += size
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}
