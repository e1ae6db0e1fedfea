package model

import (
	"fmt"
	"math"
)

// Spec is what an architecture's config.json comes down to.
type Spec struct {
	ModelType    string  `json:"model_type"`
	Vocab        int     `json:"vocab"`  // V
	Hidden       int     `json:"hidden"` // C
	Layers       int     `json:"layers"`
	Heads        int     `json:"heads"`    // H
	KVHeads      int     `json:"kv_heads"` // K
	HeadDim      int     `json:"head_dim"` // D
	Intermediate int     `json:"intermediate"`
	Norm         Norm    `json:"norm"`
	NormEps      float64 `json:"norm_eps"`
	MLP          MLP     `json:"mlp"`
	Rope         *Rope   `json:"rope,omitempty"`    // nil: learned positions
	Positions    int     `json:"positions"`         // positions the model was made for: the rows of a learned table
	Windows      []int   `json:"windows,omitempty"` // [layers] keys a row sees, itself included; 0: all before it. nil: 0 in every layer
	QKNorm       bool    `json:"qk_norm,omitempty"` // queries and keys pass a norm, head by head, before they turn
	QKVBias      bool    `json:"qkv_bias"`          // of the projections to queries, keys and values
	OutBias      bool    `json:"out_bias"`          // of attention's last projection
	MLPBias      bool    `json:"mlp_bias"`
	QKVByHead    bool    `json:"qkv_by_head,omitempty"` // queries, keys and values lie head by head, [H, 3, D], and not [(H+2K), D]
	Parallel     bool    `json:"parallel,omitempty"`    // the MLP reads the block's input, and not what attention added to it
	Tied         bool    `json:"tied"`                  // the head is the embedding

	InitRange float64 `json:"-"` // standard deviation of random weights
}

// Norm is a kind of normalisation.
type Norm string

// The norms there are.
const (
	RMSNorm   Norm = "rmsnorm"
	LayerNorm Norm = "layernorm"
)

// MLP is a kind of feed-forward layer.
type MLP string

// The feed-forward layers there are.
const (
	SwiGLU   MLP = "swiglu"    // down(silu(gate(x)) * up(x))
	GELU     MLP = "gelu"      // down(gelu(up(x)))
	GELUTanh MLP = "gelu_tanh" // the same with tanh's approximation of gelu
)

// Rope is the frequencies of rotary positions.
type Rope struct {
	Dim               int     `json:"dim"` // numbers of a head that turn, the first ones; where it is odd, one more does
	Theta             float64 `json:"theta"`
	Type              string  `json:"type"`             // default, linear or llama3
	Factor            float64 `json:"factor,omitempty"` // linear and llama3
	LowFreqFactor     float64 `json:"low_freq_factor,omitempty"`
	HighFreqFactor    float64 `json:"high_freq_factor,omitempty"`
	OriginalPositions float64 `json:"original_positions,omitempty"`
}

// Frequencies gives the angle a position turns each pair of numbers by, in radians: theta^(-2j/Dim) for pair j, scaled
// as Hugging Face's ROPE_INIT_FUNCTIONS does for the type.
func (r *Rope) Frequencies() []float64 {
	f := make([]float64, (r.Dim+1)/2)
	for j := range f {
		f[j] = math.Pow(r.Theta, -2*float64(j)/float64(r.Dim))
		switch r.Type {
		case "linear":
			f[j] /= r.Factor
		case "llama3":
			f[j] = r.llama3(f[j])
		}
	}
	return f
}

// llama3 leaves short wavelengths alone, divides long ones by the factor and goes smoothly between.
func (r *Rope) llama3(f float64) float64 {
	turns := r.OriginalPositions * f / (2 * math.Pi) // within the original positions
	switch {
	case turns > r.HighFreqFactor:
		return f
	case turns < r.LowFreqFactor:
		return f / r.Factor
	}
	smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
	return (1-smooth)*f/r.Factor + smooth*f
}

// Bounds of what a config.json may say; see configReader.size.
const (
	maxDimension  = 1 << 22
	maxLayers     = 1 << 12
	maxParameters = 1 << 37
)

// check finds sizes that cannot be right.
func (s *Spec) check() error {
	for _, d := range []struct {
		name string
		n    int
	}{{"vocabulary", s.Vocab}, {"hidden size", s.Hidden}, {"layers", s.Layers}, {"attention heads", s.Heads}, {"key-value heads", s.KVHeads},
		{"head dimension", s.HeadDim}, {"intermediate size", s.Intermediate}, {"positions", s.Positions}} {
		if d.n < 1 || d.n > maxDimension || d.name == "layers" && d.n > maxLayers {
			return fmt.Errorf("%s: %d is out of range", d.name, d.n)
		}
	}
	if n := s.parameters(); n > maxParameters {
		return fmt.Errorf("%.3g parameters; there may be %.3g; look at the sizes", n, float64(maxParameters))
	}
	if s.Heads%s.KVHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d", s.Heads, s.KVHeads)
	}
	if r := s.Rope; r != nil && (r.Dim < 1 || r.Dim+r.Dim%2 > s.HeadDim) {
		return fmt.Errorf("rotary positions are to turn %d numbers of a head that has %d; they turn an even count, at least 2", r.Dim, s.HeadDim)
	}
	if !(s.NormEps > 0) {
		return fmt.Errorf("norm epsilon %g is out of range; want > 0", s.NormEps)
	}
	return nil
}

// parameters is about how many there are, biases and norms left out; as a float64, which does not overflow.
func (s *Spec) parameters() float64 {
	c, q, kv, up := float64(s.Hidden), float64(s.Heads)*float64(s.HeadDim), float64(s.KVHeads)*float64(s.HeadDim), float64(s.Intermediate)
	if s.MLP == SwiGLU {
		up *= 2
	}
	n := float64(s.Vocab)*c + float64(s.Layers)*(2*q+2*kv+up+float64(s.Intermediate))*c
	if s.Rope == nil {
		n += float64(s.Positions) * c
	}
	if !s.Tied {
		n += float64(s.Vocab) * c
	}
	return n
}
