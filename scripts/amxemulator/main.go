//go:build linux && amd64

// Command amxemulator runs a program on an x86-64 CPU that has no AMX: it traces it, carries out those instructions of AMX that
// internal/compute/cpu has, and passes everything else on. scripts/test-amx calls it. The program must believe that it has AMX: its tests are
// built with the tag amxemulated.
//
//	amxemulator PROGRAM [ARGUMENT ...]
//
// Each such instruction is illegal on the CPU and stops its thread; what it does to memory is done from here, what it does to tiles is kept here.
// An exit code is passed on; 125 means that it cannot trace.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const cannotTrace = 125

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: amxemulator PROGRAM [ARGUMENT ...]")
		os.Exit(2)
	}
	code, err := trace(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "amxemulator:", err)
	}
	os.Exit(code)
}

// trace runs the program to its end and gives its exit code.
func trace(program string, args []string) (int, error) {
	runtime.LockOSThread() // the kernel takes a thread for the tracer
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return cannotTrace, err
	}
	main := cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(main, &status, unix.WALL, nil); err != nil || !status.Stopped() {
		return cannotTrace, fmt.Errorf("the program does not stop at its start: %v, %#x", err, status)
	}
	err := unix.PtraceSetOptions(main, unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|unix.PTRACE_O_TRACEEXEC)
	if err == nil {
		err = unix.PtraceCont(main, 0)
	}
	if err != nil {
		return cannotTrace, fmt.Errorf("trace: %w", err)
	}
	threads := map[int]*thread{main: {id: main}}
	for {
		id, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return cannotTrace, fmt.Errorf("wait: %w", err)
		case status.Exited() && id == main:
			return status.ExitStatus(), nil
		case status.Signaled() && id == main:
			return 128 + int(status.Signal()), nil
		case !status.Stopped():
			delete(threads, id)
			continue
		}
		signal := status.StopSignal()
		t, known := threads[id]
		if !known {
			t = &thread{id: id}
			threads[id] = t
		}
		switch {
		case signal == unix.SIGSTOP && !known: // the first stop of a thread
			signal = 0
		case signal == unix.SIGTRAP: // an event: a thread or a process has been made
			signal = 0
		case signal == unix.SIGILL:
			done, err := t.step()
			if err != nil {
				fmt.Fprintln(os.Stderr, "amxemulator:", err)
			}
			if done {
				signal = 0
			}
		}
		if err := unix.PtraceCont(id, int(signal)); err != nil && !errors.Is(err, unix.ESRCH) { // it may have been killed
			return cannotTrace, fmt.Errorf("continue: %w", err)
		}
	}
}

// thread is a thread of the program and its tiles.
type thread struct {
	id    int
	tiles tiles
}

// step carries out the instructions of AMX at which the thread stands, and says whether there was one.
func (t *thread) step() (bool, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.id, &regs); err != nil {
		return false, err
	}
	code := make([]byte, 128)
	n, err := t.memory(unix.ProcessVMReadv, code, uintptr(regs.Rip), 0, len(code))
	if n == 0 {
		return false, err
	}
	general := [16]uint64{regs.Rax, regs.Rcx, regs.Rdx, regs.Rbx, regs.Rsp, regs.Rbp, regs.Rsi, regs.Rdi, regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15}
	done := false
	for code = code[:n]; ; done = true {
		in, ok := decode(code, &general)
		if !ok {
			break
		}
		if err := t.execute(in); err != nil {
			return false, fmt.Errorf("at %#x: %v: %w", regs.Rip, in, err)
		}
		code = code[in.length:]
		regs.Rip += uint64(in.length)
	}
	if !done {
		return false, nil
	}
	return true, unix.PtraceSetRegs(t.id, &regs)
}

func (t *thread) execute(in instruction) error {
	u := &t.tiles
	switch in.op {
	case configure:
		var config [64]byte
		if _, err := t.memory(unix.ProcessVMReadv, config[:], in.address, 0, len(config)); err != nil {
			return err
		}
		return u.configure(config)
	case release:
		*u = tiles{}
		return nil
	case zero:
		return u.zero(in.r)
	case load, store:
		rows, columns, err := u.size(in.r)
		if err != nil {
			return err
		}
		var x [16 * 64]byte
		if in.op == store {
			for i := range rows {
				copy(x[i*columns:(i+1)*columns], u.data[in.r][i][:])
			}
			_, err = t.memory(unix.ProcessVMWritev, x[:rows*columns], in.address, in.stride, columns)
			return err
		}
		if _, err := t.memory(unix.ProcessVMReadv, x[:rows*columns], in.address, in.stride, columns); err != nil {
			return err
		}
		u.data[in.r] = tile{}
		for i := range rows {
			copy(u.data[in.r][i][:columns], x[i*columns:])
		}
		return nil
	}
	return u.dot(in.r, in.a, in.b)
}

// memory reads or writes rows of the program's memory, which lie one behind the other in x.
func (t *thread) memory(f func(int, []unix.Iovec, []unix.RemoteIovec, uint) (int, error), x []byte, address, stride uintptr, columns int) (int, error) {
	local := []unix.Iovec{{Base: &x[0], Len: uint64(len(x))}}
	var remote []unix.RemoteIovec
	for at := 0; at < len(x); at += columns {
		remote = append(remote, unix.RemoteIovec{Base: address, Len: columns})
		address += stride
	}
	n, err := f(t.id, local, remote, 0)
	if err == nil && n < len(x) {
		err = errors.New("memory that is not there")
	}
	return n, err
}
