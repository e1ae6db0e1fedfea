package model

import (
	"fmt"
	"slices"
	"strings"
)

// architecture is one model family: how its config.json is read and how its tensors are called. To add one: a file with
// its value, and a row in architectures.
type architecture struct {
	modelType string
	keys      keys
	spec      func(*configReader) Spec
	layout    func(Spec) layout
}

var architectures = []architecture{gpt2, gptNeoX, llama, mistral, qwen2, qwen3}

// Architectures lists the values of model_type that can be loaded.
func Architectures() []string {
	names := make([]string, len(architectures))
	for i, a := range architectures {
		names[i] = a.modelType
	}
	return names
}

func architectureOf(modelType string) (*architecture, error) {
	i := slices.IndexFunc(architectures, func(a architecture) bool { return a.modelType == modelType })
	switch {
	case modelType == "":
		return nil, fmt.Errorf("model_type: missing; want one of %s", strings.Join(Architectures(), ", "))
	case i < 0:
		return nil, fmt.Errorf("model_type: %.60q is not supported; there are %s", modelType, strings.Join(Architectures(), ", "))
	}
	return &architectures[i], nil
}

// layout names a model's tensors.
type layout struct {
	embedding      string          // [V, C]
	positions      string          // [positions, C]; empty without learned positions
	finalNorm      string          // prefix of .weight and .bias
	head           string          // [V, C]; left out of files of tied models
	headAlias      string          // what some files call it
	layer          func(int) layer // tensors of one block
	optionalPrefix string          // may be missing in front of every name
	ignored        []string        // ends of names that are no weights
}

// layer names the tensors of a block.
type layer struct {
	norm1, norm2 string   // prefixes
	qNorm, kNorm string   // prefixes; with Spec.QKNorm
	qkv          []linear // their outputs side by side are [N, (H+2K) D]: queries, keys, values, or see Spec.QKVByHead
	out          linear
	up           []linear // their outputs side by side: gate and up, or the one before the activation
	down         linear
}

// linear is y = x W^T + b, or x W + b where the file has W as [in, out].
type linear struct {
	name    string // prefix of .weight and .bias
	in, out int
	bias    bool
	inOut   bool
}

func (l linear) shape() []int {
	if l.inOut {
		return []int{l.in, l.out}
	}
	return []int{l.out, l.in}
}
