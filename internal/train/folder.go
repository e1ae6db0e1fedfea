package train

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
)

// hubName is how models are named on the Hugging Face Hub, where other trainers find them by themselves.
var hubName = regexp.MustCompile(`^[\w-][\w.-]*/[\w-][\w.-]*$`)

// modelFolder checks that a key's value is a folder, and says how to get one if it is the name of a model.
func modelFolder(key, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) && hubName.MatchString(dir):
		return fmt.Errorf("%s: %s: no such folder, and nothing is downloaded here; if it is a name on the Hugging Face Hub: hf download %s --local-dir models/%s, and give that folder",
			key, dir, dir, path.Base(dir))
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: %s: no such folder; give one with config.json, model.safetensors and tokenizer.json", key, dir)
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case !info.IsDir():
		return fmt.Errorf("%s: %s is a file; give the folder with config.json, model.safetensors and tokenizer.json", key, dir)
	}
	return nil
}
