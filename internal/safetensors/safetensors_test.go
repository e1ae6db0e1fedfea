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

// TestHostileHeaders: what a header says wrongly is an error that says what, and what to do; FILE stands for the file, which
// has 12 bytes of tensors.
func TestHostileHeaders(t *testing.T) {
	const damaged = "; the file is damaged, get it again"
	for _, c := range []struct{ name, header, want string }{
		{"overlap", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`,
			"header: b begins at byte 4, and a ends at byte 8: they overlap" + damaged},
		{"the same place", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}`,
			"header: b begins at byte 0, and a ends at byte 12: they overlap" + damaged},
		{"hole", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`,
			"header: b begins at byte 8, and a ends at byte 4: there is a hole between them" + damaged},
		{"hole at the beginning", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, "header: a begins at byte 8, and the header ends at byte 0: there is a hole between them" + damaged},
		{"hole at the end", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "8 bytes follow the last tensor" + damaged},
		{"beyond the end", `{"a":{"dtype":"F32","shape":[100],"data_offsets":[0,400]}}`, "header: a ends at byte 400, and the file has 12 bytes of tensors: it is cut off; get it again"},
		{"backwards", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[12,0]}}`, "header: a: data_offsets: [12,0]; want a first and a last byte" + damaged},
		{"one offset", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0]}}`, "header: a: data_offsets: [0]; want a first and a last byte" + damaged},
		{"another length than the shape's", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}`, "header: a: data_offsets: 12 bytes, and shape [2] in F32 has 8" + damaged},
		{"huge shape", `{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, "header: a: shape: [4611686018427387904,4] is out of range" + damaged},
		{"a shape whose product is beyond 64 bits", `{"a":{"dtype":"F64","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,12]}}`, "header: a: shape: [2147483647,2147483647,2147483647] is out of range" + damaged},
		{"negative", `{"a":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}`, "header: a: shape: [-3]; want a list of sizes" + damaged},
		{"no shape", `{"a":{"dtype":"F32","shape":null,"data_offsets":[0,12]}}`, "header: a: shape: null; want a list of sizes" + damaged},
		{"unknown dtype", `{"a":{"dtype":"F7","shape":[3],"data_offsets":[0,12]}}`, `header: a: dtype: "F7" is no number format` + damaged},
		{"a dtype that is none", `{"a":{"dtype":3,"shape":[3],"data_offsets":[0,12]}}`, "header: a: dtype: 3 is no number format" + damaged},
		{"twice", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}`, "header: a stands twice in it" + damaged},
		{"a key twice", `{"a":{"dtype":"F32","dtype":"F16","shape":[3],"data_offsets":[0,12]}}`, "header: a: want dtype, shape and data_offsets, each once" + damaged},
		{"a key too many", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12],"stride":1}}`, "header: a: want dtype, shape and data_offsets, each once" + damaged},
		{"a key of other letters", `{"a":{"DTYPE":"F32","shape":[3],"data_offsets":[0,12]}}`, "header: a: want dtype, shape and data_offsets, each once" + damaged},
		{"a key missing", `{"a":{"dtype":"F32","shape":[3]}}`, "header: a: want dtype, shape and data_offsets, each once" + damaged},
		{"null", `{"a":null}`, "header: a: want dtype, shape and data_offsets, each once" + damaged},
		{"metadata of other types", `{"__metadata__":{"format":3},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}`, "header: __metadata__: want texts" + damaged},
		{"not JSON", `{"a":{"dtype":"F32",}`, "header: not JSON" + damaged},
		{"more behind it", `{} {}`, "header: not JSON" + damaged},
		{"no object", `[1,2,3]`, "does not begin as a safetensors file does" + damaged},
	} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		data := binary.LittleEndian.AppendUint64(nil, uint64(len(c.header)))
		data = append(append(data, c.header...), make([]byte, 12)...)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || err.Error() != path+": "+c.want {
			t.Errorf("%s: error\n%v, want\n%s: %s", c.name, err, path, c.want)
		}
	}
}

// TestNoTensors are files that are none of tensors; DIR stands for the folder.
func TestNoTensors(t *testing.T) {
	const convert = `convert it once, in Python: from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("DIR").save_pretrained("DIR")`
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "empty; the file is damaged, get it again"},
		{"short", "abc", "3 bytes, too few for a header; the file is damaged, get it again"},
		{"eight bytes", "\x08\x00\x00\x00\x00\x00\x00\x00", "cut off in its header, which has 8 bytes; get the file again"},
		{"text", "Once upon a time", "does not begin as a safetensors file does; the file is damaged, get it again"},
		{"zeros", strings.Repeat("\x00", 100), "does not begin as a safetensors file does; the file is damaged, get it again"},
		{"pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "a git-lfs pointer and not the file itself; get that with git lfs pull"},
		{"pickle", "PK\x03\x04\x00\x00\x00\x00\x00", "a pickle file of PyTorch under another name; name it pytorch_model.bin, and " + convert},
		{"old pickle", "\x80\x02\x8a\x0al\xfc\x9cF\xf9", "a pickle file of PyTorch under another name; name it pytorch_model.bin, and " + convert},
		{"GGUF", "GGUF\x03\x00\x00\x00\x00", "a GGUF file under another name; that is for running models and not for training them; get the safetensors files of the model it was made from"},
		{"a web page", "<html>", "begins with <, as web pages do, and is no safetensors file; get the file itself"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "m.safetensors")
		if err := os.WriteFile(path, []byte(c.content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != "DIR/m.safetensors: "+c.want {
			t.Errorf("%s: error\n%v, want\nDIR/m.safetensors: %s", c.name, err, c.want)
		}
	}
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || err.Error() != dir+": a folder; want a safetensors file" {
		t.Errorf("a folder: %v", err)
	}
}

// TestCheckDir are folders without weights under a name that is looked for; DIR stands for the folder.
func TestCheckDir(t *testing.T) {
	for _, c := range []struct {
		holds []string
		want  string
	}{
		{[]string{"config.json", "model.safetensors"}, ""},
		{[]string{"model.safetensors.index.json"}, ""},
		{[]string{"adapter_config.json", "model.safetensors"}, ""}, // a whole model, whatever else is there
		{nil, "no model.safetensors in it; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)"},
		{[]string{"config.json", "README.md"}, "no model.safetensors in it; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)"},
		{[]string{"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}, `a LoRA adapter (adapter_config.json) without its model; merge the two once, in Python: from peft import AutoPeftModelForCausalLM; ` +
			`AutoPeftModelForCausalLM.from_pretrained("DIR").merge_and_unload().save_pretrained("DIR-merged"), and put the tokenizer there too`},
		{[]string{"adapter_config.json", "adapter_model.bin"}, `a LoRA adapter (adapter_config.json) without its model; merge the two once, in Python: from peft import AutoPeftModelForCausalLM; ` +
			`AutoPeftModelForCausalLM.from_pretrained("DIR").merge_and_unload().save_pretrained("DIR-merged"), and put the tokenizer there too`},
		{[]string{"config.json", "model-00001-of-00002.safetensors"}, "model-00001-of-00002.safetensors is a part of a model, and there is no model.safetensors.index.json; get all files of the model"},
		{[]string{"config.json", "weights.safetensors"}, "weights.safetensors is no name that weights are looked for under; if it is the whole model, name it model.safetensors"},
		{[]string{"config.json", "pytorch_model.bin"}, `weights in pickle files (pytorch_model.bin) are not read; convert them once, in Python: from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("DIR").save_pretrained("DIR")`},
		{[]string{"pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"}, `weights in pickle files (pytorch_model-00001-of-00002.bin) are not read; convert them once, in Python: from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("DIR").save_pretrained("DIR")`},
		{[]string{"model.pt"}, `weights in pickle files (model.pt) are not read; convert them once, in Python: import torch, safetensors.torch; ` +
			`safetensors.torch.save_file({k: v.clone().contiguous() for k, v in torch.load("DIR/model.pt").items()}, "DIR/model.safetensors")`},
		{[]string{"consolidated.00.pth", "params.json"}, "consolidated.00.pth is in Meta's own format, which is not read; get the Hugging Face version of the model"},
		{[]string{"m.Q4_K_M.gguf"}, "GGUF files (m.Q4_K_M.gguf) are not read; that is for running models and not for training them; get the safetensors files of the model it was made from"},
		{[]string{"tf_model.h5"}, "weights of TensorFlow or Flax (tf_model.h5) are not read; get the model's safetensors files"},
	} {
		dir := t.TempDir()
		for _, name := range c.holds {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		err := CheckDir(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != "DIR: "+c.want) {
			t.Errorf("%q: error\n%v, want\nDIR: %s", c.holds, err, c.want)
		}
	}
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, singleFile)); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := OpenDir(dir); err == nil || err.Error() != dir+": model.safetensors is a link that leads nowhere; get the file again" {
		t.Errorf("a link that leads nowhere: %v", err)
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
		{"pickle", func(d string) { text(d, "pytorch_model.bin", "x") }, "save_pretrained("},
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

// FuzzHeader: whatever a header says of how many bytes, there is an error or tensors that fill the bytes, each as long as its shape.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		`{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}`,
		`{"a":{"dtype":"I64","shape":[0,9223372036854775807],"data_offsets":[0,0]},"b":{"dtype":"F64","shape":[2147483647,2147483647],"data_offsets":[0,10]}}`,
		`{"a":{"dtype":"F16","shape":[5],"data_offsets":[0,18446744073709551615]}}`, `{}`, `{"a":null}`, "{",
	} {
		f.Add([]byte(s), uint16(10))
	}
	f.Fuzz(func(t *testing.T, header []byte, size uint16) {
		file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		tensors, _, err := parse(append(file, make([]byte, size)...))
		if err != nil {
			if strings.Contains(err.Error(), "%!") || strings.Contains(err.Error(), "json: ") {
				t.Errorf("%q: %v", header, err)
			}
			return
		}
		names, bytes := map[string]bool{}, 0
		for _, x := range tensors {
			if names[x.Name] || len(x.Data) != x.Len()*int(sizes[x.Dtype]) {
				t.Errorf("%q: %s has shape %v of %s, and %d bytes; or it is there twice", header, x.Name, x.Shape, x.Dtype, len(x.Data))
			}
			names[x.Name] = true
			bytes += len(x.Data)
		}
		if bytes != int(size) {
			t.Errorf("%q: the tensors have %d bytes of %d", header, bytes, size)
		}
	})
}
