package plan

import "golang.org/x/sys/unix"

func free() Limit {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return Limit{}
	}
	return Limit{int64(n), "the memory of this machine"}
}
