package plan

import "os"

func free() Limit { return freeLinux(os.DirFS("/")) }
