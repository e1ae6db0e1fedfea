package rows

import (
	"fmt"
	"io"
	"os"
)

// Spool copies what can be read once, under the name that errors have for it, to a file in the folder for temporary ones, which close takes away. Where the
// system lets an open file be removed it has no name from the beginning, so that nothing is left of it however the program ends.
func Spool(name string, in io.Reader) (f *os.File, close func(), err error) {
	f, err = os.CreateTemp("", "dpotrain-*")
	if err != nil {
		return nil, nil, fmt.Errorf("%s: has to be copied first: %w", name, err)
	}
	nameless := os.Remove(f.Name()) == nil // Windows refuses
	close = func() {
		f.Close()
		if !nameless {
			os.Remove(f.Name())
		}
	}
	if _, err := io.Copy(f, in); err != nil {
		close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, close, nil
}
