package safetensors

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	unquantized = "that is for running models and not for training them; get the safetensors files of the model it was made from"
	elsewhere   = "get the model's safetensors files"
)

// converted says how transformers makes a safetensors file of the weights in a folder.
func converted(dir string) string {
	return fmt.Sprintf(`in Python: from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("%[1]s").save_pretrained("%[1]s")`, filepath.ToSlash(dir))
}

// foreign says what a file in dir is that is known by its first bytes and is no safetensors file; empty for any other.
func foreign(file []byte, dir string) string {
	for _, f := range []struct{ magic, what string }{
		{"version https://git-lfs", "a git-lfs pointer and not the file itself; get that with git lfs pull"},
		{"PK\x03\x04", "a pickle file of PyTorch under another name; name it pytorch_model.bin, and convert it once, " + converted(dir)},
		{"\x80\x02", "a pickle file of PyTorch under another name; name it pytorch_model.bin, and convert it once, " + converted(dir)},
		{"GGUF", "a GGUF file under another name; " + unquantized},
		{"<", "begins with <, as web pages do, and is no safetensors file; get the file itself"},
	} {
		if bytes.HasPrefix(file, []byte(f.magic)) {
			return f.what
		}
	}
	return ""
}

// CheckDir is nil for a folder with weights under a name that is looked for. For any other the error says what is there
// instead, and what to do with it. No file is read.
func CheckDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	is := func(format string, a ...any) error { return fmt.Errorf("%s: %s", dir, fmt.Sprintf(format, a...)) }
	var names []string
	for _, e := range entries {
		if names = append(names, e.Name()); e.Name() != singleFile && e.Name() != indexFile {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, e.Name())); err != nil {
			return is("%s is a link that leads nowhere; get the file again", e.Name())
		}
		return nil
	}
	find := func(patterns ...string) string { // the first name, in their order
		for _, p := range patterns {
			if i := slices.IndexFunc(names, func(n string) bool { ok, _ := filepath.Match(p, n); return ok }); i >= 0 {
				return names[i]
			}
		}
		return ""
	}
	slashed := filepath.ToSlash(dir)
	if name := find("adapter_config.json", "adapter_model.safetensors"); name != "" {
		return is(`a LoRA adapter (%s) without its model; merge the two once, in Python: from peft import AutoPeftModelForCausalLM; `+
			`AutoPeftModelForCausalLM.from_pretrained("%[2]s").merge_and_unload().save_pretrained("%[2]s-merged"), and put the tokenizer there too`, name, slashed)
	}
	if name := find("*-of-*.safetensors"); name != "" {
		return is("%s is a part of a model, and there is no %s; get all files of the model", name, indexFile)
	}
	if name := find("*.safetensors"); name != "" {
		return is("%s is no name that weights are looked for under; if it is the whole model, name it %s", name, singleFile)
	}
	if name := find("consolidated*.pth"); name != "" {
		return is("%s is in Meta's own format, which is not read; get the Hugging Face version of the model", name)
	}
	if name := find("*.bin"); name != "" {
		return is("weights in pickle files (%s) are not read; convert them once, %s", name, converted(dir))
	}
	if name := find("*.pt", "*.pth", "*.ckpt"); name != "" {
		return is(`weights in pickle files (%s) are not read; convert them once, in Python: import torch, safetensors.torch; `+
			`safetensors.torch.save_file({k: v.clone().contiguous() for k, v in torch.load("%s").items()}, "%s")`, name, slashed+"/"+name, slashed+"/"+singleFile)
	}
	if name := find("*.gguf"); name != "" {
		return is("GGUF files (%s) are not read; %s", name, unquantized)
	}
	if name := find("*.h5", "*.msgpack"); name != "" {
		return is("weights of TensorFlow or Flax (%s) are not read; %s", name, elsewhere)
	}
	return is("no %s in it; give a Hugging Face model folder (config.json, %s, tokenizer.json)", singleFile, singleFile)
}

// Instead says what to do with a file that was given where a model's folder belongs.
func Instead(file string) string {
	const folder = "give the folder with config.json, model.safetensors and tokenizer.json"
	switch strings.ToLower(filepath.Ext(file)) {
	case ".gguf":
		return "a GGUF file; " + unquantized
	case ".bin", ".pt", ".pth", ".ckpt":
		return "a pickle file of PyTorch; " + folder
	}
	return "a file; " + folder
}
