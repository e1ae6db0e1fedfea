package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/report"
)

// InitOptions say what model to make.
type InitOptions struct {
	Config    string // path of a config.json
	Tokenizer string // folder
	Output    string // folder
	Seed      uint64
}

// Init makes a model with random weights and returns the number of its parameters.
func Init(o InitOptions) (int, error) {
	if info, err := os.Stat(o.Config); err == nil && info.IsDir() {
		return 0, usage("--config %s: a folder; give the config.json in it", o.Config)
	}
	c, err := model.ReadConfig(o.Config)
	if _, unread := errors.AsType[*fs.PathError](err); unread {
		return 0, fmt.Errorf("--config: %w", err)
	}
	if err != nil {
		return 0, err
	}
	if info, err := os.Stat(o.Tokenizer); err == nil && !info.IsDir() {
		return 0, usage("--tokenizer %s: a file; give the folder that holds tokenizer.json", o.Tokenizer)
	}
	r, err := data.Open(o.Tokenizer, "")
	if err != nil {
		return 0, err
	}
	if n := r.VocabSize(); n > c.Spec.Vocab {
		return 0, fmt.Errorf("%s: vocab_size %d is too small for the %d ids of the tokenizer in %s", o.Config, c.Spec.Vocab, n, o.Tokenizer)
	}
	if err := checkpoint.CheckPlace(o.Output); err != nil {
		return 0, usage("--output %s: %w; choose another", o.Output, err)
	}
	if _, err := os.Stat(o.Output); err == nil {
		return 0, usage("%s is there already; choose another --output", o.Output)
	}
	// The weights, and a copy of the largest tensor while it is made.
	if need, free := 8*int64(c.Parameters()), plan.FindLimit(); free.Bytes > 0 && need > free.Bytes {
		return 0, fmt.Errorf("%s: %s parameters take %s to make, and there is %s (%s); make the sizes smaller", o.Config, report.Count(need/8), report.Bytes(need), report.Bytes(free.Bytes), free.Why)
	}
	dev, err := cpu.New(compute.Options{Threads: 1})
	if err != nil {
		return 0, err
	}
	defer dev.Close()
	m := model.NewRandom(c, dev, o.Seed)
	files, err := r.Files()
	if err != nil {
		return 0, err
	}
	files["config.json"] = c.Text("float32")
	return m.Len(), checkpoint.WriteModel(o.Output, m.Tensors("F32"), files)
}
