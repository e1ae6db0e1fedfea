package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t testing.TB, path string, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encode(t testing.TB, name string, d Dtype, values ...float32) Tensor {
	t.Helper()
	x, err := Encode(name, []int{len(values)}, values, d)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestRoundTrip(t *testing.T) {
	// 1+2^-7 is the next bfloat16 after 1, 1+2^-10 the next float16: halfway values go to the even neighbour.
	tests := []struct {
		dtype Dtype
		in    []float32
		want  []float32
	}{
		{F32, []float32{0, -1.5, 3.4e38, 1e-45}, []float32{0, -1.5, 3.4e38, 1e-45}},
		{BF16, []float32{1, 1 + 1./256, 1 + 3./256, -2, 1e38}, []float32{1, 1, 1 + 4./256, -2, 9.9692100e37}},
		{F16, []float32{1, 1 + 1./2048, 1 + 3./2048, 65504, 6e-8}, []float32{1, 1, 1 + 4./2048, 65504, 5.9604645e-08}},
	}
	for _, tt := range tests {
		t.Run(string(tt.dtype), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.safetensors")
			a, b := encode(t, "a", tt.dtype, tt.in...), encode(t, "b", F32, 7)
			first, second := write(t, path, []Tensor{a, b}), write(t, path, []Tensor{b, a})
			if !bytes.Equal(first, second) {
				t.Error("the bytes depend on the order of the tensors")
			}
			if binary.LittleEndian.Uint64(first)%8 != 0 {
				t.Error("the data does not begin at a multiple of 8")
			}
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := f.Names(); !slices.Equal(got, []string{"a", "b"}) || f.Metadata()["format"] != "pt" {
				t.Errorf("names %v, metadata %v", got, f.Metadata())
			}
			x, _ := f.Tensor("a")
			got := make([]float32, x.Len())
			if err := x.Float32(got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Abs(float64(got[i]-tt.want[i])) > 1e-6*math.Abs(float64(tt.want[i])) {
					t.Errorf("%v came back as %v, want %v", tt.in[i], got[i], tt.want[i])
				}
			}
		})
	}
}

func TestEncodeOverflow(t *testing.T) {
	for d, v := range map[Dtype]float32{F16: 65520, BF16: 3.4e38} {
		if _, err := Encode("w", []int{1}, []float32{v}, d); err == nil || !strings.Contains(err.Error(), "w: ") {
			t.Errorf("%v as %s: error %v, want one that names the tensor", v, d, err)
		}
	}
}

// TestDamaged cuts a file at every length and flips every bit: an error or whole tensors, never a panic, and a change of
// the header that still parses must keep every tensor inside the file.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	whole := write(t, filepath.Join(dir, "whole"), []Tensor{encode(t, "a.weight", F32, 1, 2, 3), encode(t, "b", BF16, 1)})
	path := filepath.Join(dir, "damaged.safetensors")
	try := func(data []byte) error {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, n := range f.Names() {
			x, _ := f.Tensor(n)
			_ = x.Float32(make([]float32, x.Len())) // other formats are errors
		}
		return nil
	}
	for n := range whole {
		if err := try(whole[:n]); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("cut to %d bytes: error %v, want one that names the file", n, err)
		}
	}
	for i := range whole {
		for bit := range 8 {
			data := slices.Clone(whole)
			data[i] ^= 1 << bit
			_ = try(data) // must not panic
		}
	}
	if err := try(append(slices.Clone(whole), 0)); err == nil {
		t.Error("a byte after the last tensor was accepted")
	}
}

func TestHostileHeaders(t *testing.T) {
	for name, header := range map[string]string{
		"huge shape":     `{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`,
		"overlap":        `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`,
		"hole":           `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`,
		"beyond the end": `{"a":{"dtype":"F32","shape":[100],"data_offsets":[0,400]}}`,
		"twice":          `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}`,
		"unknown dtype":  `{"a":{"dtype":"F7","shape":[3],"data_offsets":[0,12]}}`,
		"no object":      `[1,2,3]`,
		"wrong types":    `{"a":{"dtype":3,"shape":"x","data_offsets":[0]}}`,
		"null":           `{"a":null}`,
		"negative":       `{"a":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}`,
	} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		data = append(append(data, header...), make([]byte, 12)...)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
}

func TestOpenDir(t *testing.T) {
	shard := func(dir, name string, tensors ...Tensor) { write(t, filepath.Join(dir, name), tensors) }
	text := func(dir, name, s string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	index := func(m string) string { return `{"metadata":{},"weight_map":{` + m + `}}` }
	tests := []struct {
		name string
		make func(dir string)
		want string // part of the error; empty: opens with tensors a and b
	}{
		{"shards", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1))
			shard(d, "model-2.safetensors", encode(t, "b", F32, 2))
			text(d, indexFile, index(`"a":"model-1.safetensors","b":"model-2.safetensors"`))
		}, ""},
		{"one file", func(d string) { shard(d, singleFile, encode(t, "a", F32, 1), encode(t, "b", F32, 2)) }, ""},
		{"one file beside an index", func(d string) {
			shard(d, singleFile, encode(t, "a", F32, 1), encode(t, "b", F32, 2))
			text(d, indexFile, index(`"a":"model-1.safetensors"`))
		}, ""},
		{"symbolic links", func(d string) { // as in the Hub's cache
			shard(d, "blob", encode(t, "a", F32, 1), encode(t, "b", F32, 2))
			if err := os.Symlink("blob", filepath.Join(d, "model-1.safetensors")); err != nil {
				t.Skip(err)
			}
			text(d, indexFile, index(`"a":"model-1.safetensors","b":"model-1.safetensors"`))
		}, ""},
		{"outside", func(d string) {
			shard(filepath.Dir(d), "m.safetensors", encode(t, "a", F32, 1))
			text(d, indexFile, index(`"a":"../m.safetensors"`))
		}, indexFile + `: a: shard "../m.safetensors" is not the name of a .safetensors file in this folder`},
		{"absolute", func(d string) { text(d, indexFile, index(`"a":"/etc/m.safetensors"`)) }, "in this folder"},
		{"outside, on Windows", func(d string) { text(d, indexFile, index(`"a":"..\\m.safetensors"`)) }, "in this folder"},
		{"another kind of file", func(d string) { text(d, indexFile, index(`"a":"pytorch_model-1.bin"`)) }, "in this folder"},
		{"missing shard", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1))
			text(d, indexFile, index(`"a":"model-1.safetensors","b":"model-2.safetensors"`))
		}, "model-2.safetensors is missing, and " + indexFile + " names it"},
		{"shard cut short", func(d string) {
			whole := write(t, filepath.Join(d, "model-1.safetensors"), []Tensor{encode(t, "a", F32, 1)})
			text(d, "model-1.safetensors", string(whole[:len(whole)-1]))
			text(d, indexFile, index(`"a":"model-1.safetensors"`))
		}, "model-1.safetensors: "},
		{"in no shard", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1))
			text(d, indexFile, index(`"a":"model-1.safetensors","b":"model-1.safetensors"`))
		}, indexFile + ": b: to be in model-1.safetensors, and it is in no shard"},
		{"in another shard", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1))
			shard(d, "model-2.safetensors", encode(t, "b", F32, 2), encode(t, "c", F32, 3))
			text(d, indexFile, index(`"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"`))
		}, indexFile + ": c: to be in model-1.safetensors, and it is in model-2.safetensors"},
		{"in two shards", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1))
			shard(d, "model-2.safetensors", encode(t, "a", F32, 1), encode(t, "b", F32, 2))
			text(d, indexFile, index(`"a":"model-1.safetensors","b":"model-2.safetensors"`))
		}, "model-2.safetensors: a is in another shard too"},
		{"not in the index", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1), encode(t, "b", F32, 2))
			text(d, indexFile, index(`"a":"model-1.safetensors"`))
		}, indexFile + ": b: in model-1.safetensors and not in the index"},
		{"twice in the index", func(d string) {
			shard(d, "model-1.safetensors", encode(t, "a", F32, 1))
			text(d, indexFile, index(`"a":"model-2.safetensors","a":"model-1.safetensors"`))
		}, indexFile + ": weight_map: a stands twice in it"},
		{"index without shards", func(d string) { text(d, indexFile, index("")) }, indexFile + ": weight_map: empty"},
		{"index without a map", func(d string) { text(d, indexFile, `{"metadata":{}}`) }, indexFile + ": weight_map: missing"},
		{"index with a null map", func(d string) { text(d, indexFile, `{"weight_map":null}`) }, indexFile + ": weight_map: empty"},
		{"index with other values", func(d string) { text(d, indexFile, index(`"a":1`)) }, indexFile + ": weight_map: want the name"},
		{"no JSON", func(d string) { text(d, indexFile, "{") }, indexFile + ": no index of shards"},
		{"pickle", func(d string) { text(d, "pytorch_model.bin", "x") }, "safe_serialization=True"},
		{"empty", func(string) {}, "give a Hugging Face model folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.make(dir)
			f, err := OpenDir(dir)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
					t.Fatalf("error %v, want one with %q and the folder", err, tt.want)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := f.Names(); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("names %v", got)
			}
		})
	}
}

// FuzzIndex: whatever an index says, opening gives an error or tensors of the folder.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{"weight_map":{"a":"m.safetensors"}}`, `{"weight_map":{"a":"../m.safetensors"}}`, `{"weight_map":[]}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "m.safetensors"), []Tensor{encode(t, "a", F32, 1)})
		if err := os.WriteFile(filepath.Join(dir, indexFile), text, 0o666); err != nil {
			t.Fatal(err)
		}
		file, err := OpenDir(dir)
		if err != nil {
			return
		}
		defer file.Close()
		if got := file.Names(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("opened with %v", got)
		}
	})
}

func FuzzOpen(f *testing.F) {
	var b bytes.Buffer
	x, _ := Encode("a", []int{2, 1}, []float32{1, 2}, F32)
	if err := Write(&b, []Tensor{x}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if file, err := Open(path); err == nil {
			for _, n := range file.Names() {
				x, _ := file.Tensor(n)
				_ = x.Float32(make([]float32, x.Len()))
			}
			file.Close()
		}
	})
}
