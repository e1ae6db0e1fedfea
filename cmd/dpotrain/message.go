package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// message is an error as a line for people. Package os puts the name of a system call before the path of a file, and the
// system's word for what is wrong behind it; here the path comes first, as in all other messages, and what is wrong is said
// plainly. An error that says nowhere what to do gets the advice that fits what the system said.
func message(err error) string {
	text, advice := err.Error(), ""
	each(err, func(e error) {
		path, cause := "", error(nil)
		switch x := e.(type) {
		case *fs.PathError:
			path, cause = x.Path, x.Err
		case *os.LinkError:
			path, cause = x.New, x.Err
		case *os.SyscallError:
			text = strings.ReplaceAll(text, x.Error(), x.Err.Error())
			return
		case syscall.Errno:
			what, todo := plain(x)
			text, advice = strings.ReplaceAll(text, x.Error(), what), todo
			return
		default:
			return
		}
		text = strings.ReplaceAll(text, e.Error(), path+": "+cause.Error())
		text = strings.ReplaceAll(text, path+": "+path+": ", path+": ") // who wrapped it named the file too
	})
	if advice != "" && !strings.Contains(text, "; ") {
		text += "; " + advice
	}
	return text
}

// each calls f with an error and all that it wraps, outermost first.
func each(err error, f func(error)) {
	if err == nil {
		return
	}
	f(err)
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		each(x.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			each(e, f)
		}
	}
}

// plain says what an error of the operating system means, and what to do about it.
func plain(errno syscall.Errno) (what, advice string) {
	switch {
	case errors.Is(errno, syscall.ENOSPC):
		return "the disk is full", "make room and try again"
	case errors.Is(errno, syscall.EFBIG):
		return "the file is larger than allowed here", "raise the limit (ulimit -f) and try again"
	case errors.Is(errno, syscall.EROFS):
		return "the file system cannot be written to", "choose another place"
	case errors.Is(errno, syscall.ENOTDIR):
		return "a part of this path is a file, not a folder", "look at the path"
	case errors.Is(errno, syscall.EISDIR):
		return "a folder is there, and a file is wanted", "look at the path"
	case errors.Is(errno, fs.ErrNotExist):
		return "no such file or folder", "look at the path"
	case errors.Is(errno, fs.ErrPermission):
		return "no permission", "change the permissions, or choose another place"
	}
	return errno.Error(), ""
}
