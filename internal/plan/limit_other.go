//go:build !linux && !darwin

package plan

func free() Limit { return Limit{} }
