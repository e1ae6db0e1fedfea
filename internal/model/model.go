// Package model is the policy or the reference: a Hugging Face folder in, log-probs of packed batches out, gradients
// of the parameters on the way back.
//
// An architecture (llama.go, gpt2.go ...) says how its config.json is read and how its tensors are called. All of them
// come down to one Spec and one kind of block (block.go), made of the operations of a compute.Device. A Graph (graph.go)
// is a gorgonia expression graph over whole blocks: embedding -> block 1 ... block L -> head -> log-probs of the scored
// sequences -> loss.
//
// Parameters lie end to end in one flat buffer W and their gradients in another, G, so that the optimizer, clipping and
// checkpoints see plain arrays.
//
// To add an architecture: docs/adding-an-architecture.md.
package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"dpotrain/internal/compute"
	"dpotrain/internal/files"
	"dpotrain/internal/safetensors"
)

// Param is one tensor of a model: numbers [Off, Off+Len) of W and of G.
type Param struct {
	Name  string
	Shape []int
	Off   int
	Decay bool // weight decay applies: not to biases and norm weights
}

// Len is the number of elements.
func (p Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Model is a model's parameters on a device.
type Model struct {
	Config *Config
	Params []Param // in order of name
	W      compute.Buffer
	G      compute.Buffer // nil until a training graph is made

	dev    compute.Device
	layout layout
	begun  []bool         // by Params: see weight
	index  map[string]int // into Params
	size   int            // of all Params
}

// newModel lays out a model. Its weights have no memory yet.
func newModel(c *Config, dev compute.Device) *Model {
	m := &Model{Config: c, dev: dev, layout: c.arch.layout(c.Spec), index: map[string]int{}}
	s := c.Spec
	add := func(decay bool, name string, shape ...int) {
		m.Params = append(m.Params, Param{Name: name, Shape: shape, Decay: decay})
	}
	norm := func(prefix string, n int) {
		add(false, prefix+".weight", n)
		if s.Norm == LayerNorm {
			add(false, prefix+".bias", n)
		}
	}
	add(true, m.layout.embedding, s.Vocab, s.Hidden)
	if m.layout.positions != "" {
		add(true, m.layout.positions, s.Positions, s.Hidden)
	}
	for i := range s.Layers {
		l := m.layout.layer(i)
		norm(l.norm1, s.Hidden)
		norm(l.norm2, s.Hidden)
		if s.QKNorm {
			norm(l.qNorm, s.HeadDim)
			norm(l.kNorm, s.HeadDim)
		}
		for _, lin := range slices.Concat(l.qkv, l.up, []linear{l.out, l.down}) {
			add(true, lin.name+".weight", lin.shape()...)
			if lin.bias {
				add(false, lin.name+".bias", lin.out)
			}
		}
	}
	norm(m.layout.finalNorm, s.Hidden)
	if !s.Tied {
		add(true, m.layout.head, s.Vocab, s.Hidden)
	}
	sort.Slice(m.Params, func(i, j int) bool { return m.Params[i].Name < m.Params[j].Name })
	for i := range m.Params {
		m.index[m.Params[i].Name] = i
		m.Params[i].Off = -1
	}
	off := 0
	place := func(p *Param) {
		if p.Off < 0 {
			p.Off = off
			off += p.Len()
		}
	}
	for i := range s.Layers { // layers side by side are one matrix
		l := m.layout.layer(i)
		for _, together := range [][]linear{l.qkv, l.up} {
			for _, lin := range together {
				place(&m.Params[m.index[lin.name+".weight"]])
			}
			for _, lin := range together {
				if lin.bias {
					place(&m.Params[m.index[lin.name+".bias"]])
				}
			}
		}
	}
	for i := range m.Params {
		place(&m.Params[i])
	}
	m.size, m.begun = off, make([]bool, len(m.Params))
	return m
}

// Len is the number of parameters.
func (m *Model) Len() int { return m.size }

// Load reads a Hugging Face folder.
func Load(dir string, dev compute.Device) (*Model, error) {
	c, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	f, err := safetensors.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := newModel(c, dev)
	if err := m.check(dir, f); err != nil { // before there is memory: a wrong config.json may ask for any amount
		return nil, err
	}
	m.W = dev.Alloc(m.size)
	if err := m.read(dir, f); err != nil {
		return nil, err
	}
	return m, nil
}

// maxConfig bounds a config.json, in bytes.
const maxConfig = 16 << 20

// LoadConfig reads the config.json of a folder.
func LoadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, "config.json")
	c, err := ReadConfig(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)", path)
	}
	return c, err
}

// ReadConfig reads a config.json.
func ReadConfig(path string) (*Config, error) {
	text, err := files.Read(path, maxConfig)
	if err != nil {
		return nil, err
	}
	return ParseConfig(path, text)
}

// CheckDir finds out in no time whether a folder holds a model: that there are weights, and that config.json is right.
func CheckDir(dir string) error {
	if err := safetensors.CheckDir(dir); err != nil {
		return err
	}
	_, err := LoadConfig(dir)
	return err
}

// find looks a parameter up in a file, with and without the prefix that some files leave out, and by its other name.
func (m *Model) find(f *safetensors.File, name string) (safetensors.Tensor, bool) {
	if t, ok := f.Tensor(name); ok {
		return t, true
	}
	if name == m.layout.head && m.layout.headAlias != "" {
		return f.Tensor(m.layout.headAlias)
	}
	if p := m.layout.optionalPrefix; p != "" && strings.HasPrefix(name, p) {
		return f.Tensor(strings.TrimPrefix(name, p))
	}
	return safetensors.Tensor{}, false
}

// check complains about tensors of a file that are missing, misshapen or left over: the first of each kind, and how many
// more there are, for a config.json of another model makes hundreds.
func (m *Model) check(dir string, f *safetensors.File) error {
	var missing, shapes, others []string
	used := map[string]bool{}
	for _, p := range m.Params {
		t, ok := m.find(f, p.Name)
		if !ok {
			or := ""
			if p.Name == m.layout.head {
				or = ", or tie_word_embeddings true in config.json"
			}
			missing = append(missing, fmt.Sprintf("%s: missing, want shape %v%s", p.Name, p.Shape, or))
			continue
		}
		used[t.Name] = true
		if !slices.Equal(t.Shape, p.Shape) {
			shapes = append(shapes, fmt.Sprintf("%s: shape %v, want %v", t.Name, t.Shape, p.Shape))
		}
	}
	for _, name := range f.Names() {
		if used[name] || slices.ContainsFunc(m.layout.ignored, func(end string) bool { return strings.HasSuffix(name, end) }) {
			continue
		}
		if m.Config.Spec.Tied && (name == m.layout.head || name == m.layout.headAlias) {
			if err := m.checkTied(dir, f, name); err != nil {
				return err
			}
			continue
		}
		if advice := adviceOn(name); advice != "" {
			return fmt.Errorf("%s: %s: %s", dir, name, advice)
		}
		others = append(others, fmt.Sprintf("%s: not a tensor of model_type %s with this config.json", name, m.Config.Spec.ModelType))
	}
	var kinds []string
	for _, k := range []struct {
		list []string
		more string
	}{{missing, "missing"}, {shapes, "of another shape"}, {others, "not of it"}} {
		switch n := len(k.list); {
		case n > 1:
			kinds = append(kinds, fmt.Sprintf("%s, and %d more %s", k.list[0], n-1, k.more))
		case n == 1:
			kinds = append(kinds, k.list[0])
		}
	}
	if kinds == nil {
		return nil
	}
	return fmt.Errorf("%s: %s; take weights and config.json from one model", dir, strings.Join(kinds, "; "))
}

// adviceOn says what to do about weights that are known by the name of one of their tensors; empty for any other.
func adviceOn(name string) string {
	for _, end := range []string{".qweight", ".qzeros", ".g_idx", ".absmax", ".quant_map", ".quant_state.bitsandbytes__nf4", ".weight_scale", ".weight_packed", ".SCB"} {
		if strings.HasSuffix(name, end) {
			return "quantized weights are not read; take the model that these were made from"
		}
	}
	if strings.Contains(name, ".lora_") {
		return "a LoRA adapter that is not merged with its model; merge the two, in Python with merge_and_unload of peft"
	}
	return ""
}

// read copies the parameters out of a file that passed check.
func (m *Model) read(dir string, f *safetensors.File) error {
	for _, p := range m.Params {
		t, _ := m.find(f, p.Name)
		err := t.Pieces(func(from int, values []float32) error {
			if i := slices.IndexFunc(values, func(v float32) bool { return v-v != 0 }); i >= 0 {
				return fmt.Errorf("%s: element %d is %v; the weights are damaged, get them again", t.Name, from+i, values[i])
			}
			m.dev.Upload(m.W, p.Off+from, values)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// checkTied refuses a head that is in the file and differs from the embedding it is tied to.
func (m *Model) checkTied(dir string, f *safetensors.File, head string) error {
	h, _ := f.Tensor(head)
	e, ok := m.find(f, m.layout.embedding)
	if ok && h.Dtype == e.Dtype && string(h.Data) == string(e.Data) {
		return nil
	}
	return fmt.Errorf("%s: %s differs from %s, and config.json says tie_word_embeddings; set it to false or remove the tensor", dir, h.Name, m.layout.embedding)
}

// NewRandom makes a model with random weights: normal with the config's initializer_range, norm weights 1, biases 0,
// each tensor drawn from its own stream of (seed, name).
func NewRandom(c *Config, dev compute.Device, seed uint64) *Model {
	m := newModel(c, dev)
	m.W = dev.Alloc(m.size)
	for _, p := range m.Params {
		host := make([]float32, p.Len())
		switch {
		case p.Decay:
			name := sha256.Sum256([]byte(p.Name))
			r := rand.New(rand.NewPCG(seed, binary.LittleEndian.Uint64(name[:])))
			for i := range host {
				host[i] = float32(r.NormFloat64() * c.Spec.InitRange)
			}
		case strings.HasSuffix(p.Name, ".weight"):
			for i := range host {
				host[i] = 1
			}
		}
		dev.Upload(m.W, p.Off, host)
	}
	return m
}

// Empty is a model of the same architecture on the same device, with weights of 0.
func (m *Model) Empty() *Model {
	c := newModel(m.Config, m.dev)
	c.W = m.dev.Alloc(m.size)
	return c
}

// Copy is a model with the same weights, in memory of its own.
func (m *Model) Copy() *Model {
	c := m.Empty()
	c.Move(m, 1)
	return c
}

// Move takes the weights a share of the way to those of a model of the same architecture: W becomes share * to + (1-share) * W, each
// number rounded once. A share of 1 makes them the same bits.
func (m *Model) Move(to *Model, share float64) {
	const piece = 1 << 18
	target, own := make([]float32, piece), make([]float32, piece)
	for from := 0; from < m.size; from += piece {
		n := min(piece, m.size-from)
		m.dev.Download(target[:n], to.W, from)
		if share < 1 {
			m.dev.Download(own[:n], m.W, from)
			for i, v := range own[:n] {
				target[i] = float32(share*float64(target[i]) + (1-share)*float64(v))
			}
		}
		m.dev.Upload(m.W, from, target[:n])
	}
}

// Values copies a tensor out of a buffer laid out like W: weights, gradients or moments.
func (m *Model) Values(b compute.Buffer, p Param) []float32 {
	host := make([]float32, p.Len())
	m.dev.Download(host, b, p.Off)
	return host
}

// SetValues copies a tensor into a buffer laid out like W.
func (m *Model) SetValues(b compute.Buffer, p Param, values []float32) {
	m.dev.Upload(b, p.Off, values)
}

// Restore fills a tensor of a buffer laid out like W from a file.
func (m *Model) Restore(b compute.Buffer, p Param, t safetensors.Tensor) error {
	return t.Pieces(func(from int, values []float32) error {
		m.dev.Upload(b, p.Off+from, values)
		return nil
	})
}

// Source is a tensor of a buffer laid out like W, for a file. Its numbers are read while it is written.
func (m *Model) Source(name string, b compute.Buffer, p Param, d safetensors.Dtype) safetensors.Tensor {
	return safetensors.Source(name, p.Shape, d, func(dst []float32, from int) { m.dev.Download(dst, b, p.Off+from) })
}

// Tensors are the weights in the given format for a file. Their numbers are read while they are written.
func (m *Model) Tensors(d safetensors.Dtype) []safetensors.Tensor {
	ts := make([]safetensors.Tensor, len(m.Params))
	for i, p := range m.Params {
		ts[i] = m.Source(p.Name, m.W, p, d)
	}
	return ts
}

// NumericsRevision is raised whenever a change of kernels, blocks or head changes the bits of a log-prob.
const NumericsRevision = 4

// Digest names a model's numbers: every tensor's name, shape and float32 bytes in order of name, and the parsed
// architecture. Two folders that hold the same numbers, whatever their file format, have one digest.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Digest reads all weights.
func (m *Model) Digest() Digest {
	h := sha256.New()
	spec, err := json.Marshal(m.Config.Spec)
	if err != nil {
		panic(err) // plain numbers and strings
	}
	fmt.Fprintf(h, "dpotrain model 1\n%s\n", spec)
	const piece = 1 << 18
	values, raw := make([]float32, piece), make([]byte, 4*piece)
	for _, p := range m.Params {
		fmt.Fprintf(h, "%s %v F32\n", p.Name, p.Shape)
		for from := 0; from < p.Len(); from += piece {
			part := values[:min(piece, p.Len()-from)]
			m.dev.Download(part, m.W, p.Off+from)
			for i, v := range part {
				binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
			}
			h.Write(raw[:4*len(part)])
		}
	}
	return Digest(h.Sum(nil))
}

// Fingerprint names all that a log-prob depends on besides the ids: the model, the precision, the kernel family of a
// device and NumericsRevision.
func (d Digest) Fingerprint(precision, family string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "dpotrain reference 1\n%s\n%s\n%s\n%d\n", d, precision, family, NumericsRevision))
}

// ResetGradients has the next backward write the gradients where others add to them. Until then G keeps what it holds.
func (m *Model) ResetGradients() { clear(m.begun) }

// GradNorm is the l2 norm of all gradients.
func (m *Model) GradNorm() float64 { return math.Sqrt(m.dev.SumSquares(m.G, 0, m.G.Len())) }

// mat is a parameter's view of a buffer laid out like W. A vector is one row.
func (m *Model) mat(b compute.Buffer, name string) compute.Mat {
	i, ok := m.index[name]
	if !ok {
		panic("model: no parameter " + name)
	}
	p := m.Params[i]
	rows, cols := 1, p.Shape[0]
	if len(p.Shape) == 2 {
		rows, cols = p.Shape[0], p.Shape[1]
	}
	return compute.Mat{Buf: b, Off: p.Off, Rows: rows, Cols: cols, Stride: cols}
}
