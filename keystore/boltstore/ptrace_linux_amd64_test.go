package boltstore_test

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A tracer runs a job of this test binary as its debugger, which is how system
// calls are made to fail, at any one of them, without a part in the store's code
// or a file system of our own. The job says by calls that no system has which one
// it wants to fail, and how, and learns from their result how many there were.
type tracer struct {
	pid   int
	calls map[int]*call // by thread: what it is in
	armed bool
	at    int // which call to strike, from 0
	how   int
	seen  int
	log   []call // if how is record

	written func(offset, length int64) []byte // reads the file that is recorded
}

// A call is one of those that can fail, as it was made.
type call struct {
	nr, fd, offset, length int64
	data                   []byte // that was written
	result                 *int64 // what to answer in place of the system
}

const (
	// Numbers that no system call has, which a job makes: what they say is in
	// the first two arguments.
	callArm    = 10_001 // at, how
	callDisarm = 10_002 // returns how many there were

	// How a call is struck: by an errno, or by one of these.
	strikeKill  = 10_001 // the process ends before it
	strikeShort = 10_002 // a write is made in half, and the next call fails for lack of room
	recordCalls = 10_003 // none is struck, all are noted
)

// struck are the calls that count: those that change a file, its size or its
// name, that flush it, that map it, and that read it otherwise.
func (c *call) struck(r *syscall.PtraceRegs) bool {
	switch c.nr {
	case syscall.SYS_PWRITE64, syscall.SYS_PREAD64, syscall.SYS_FTRUNCATE, syscall.SYS_FSYNC, syscall.SYS_FDATASYNC,
		syscall.SYS_RENAMEAT, syscall.SYS_LINKAT, syscall.SYS_UNLINKAT, syscall.SYS_FCHMODAT:
		return true
	case syscall.SYS_OPENAT:
		return r.Rdx&syscall.O_CREAT != 0
	case syscall.SYS_MMAP:
		return int32(r.R8) >= 0
	}
	return false
}

func newCall(r *syscall.PtraceRegs) *call {
	c := &call{nr: int64(r.Orig_rax), fd: int64(r.Rdi), length: int64(r.Rdx), offset: int64(r.R10)}
	if c.nr == syscall.SYS_FTRUNCATE {
		c.length = int64(r.Rsi)
	}
	return c
}

// trace runs a job to its end, and tells how that was. The test binary's own
// threads are told apart by locking one, since only that may trace.
func (tr *tracer) trace(t testing.TB, job, path string) syscall.WaitStatus {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), jobVariable+"="+job, pathVariable+"="+path, "GODEBUG=asyncpreemptoff=1", "GOGC=off")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		skip(t, "this system lets no process trace another one", err)
	}
	tr.pid, tr.calls = cmd.Process.Pid, map[int]*call{}
	var status syscall.WaitStatus
	_, err = syscall.Wait4(tr.pid, &status, 0, nil)
	require.NoError(t, err)
	const sysGood, exitKill = 1, 1 << 20
	require.NoError(t, syscall.PtraceSetOptions(tr.pid, sysGood|exitKill|syscall.PTRACE_O_TRACECLONE))
	_ = syscall.PtraceSyscall(tr.pid, 0)
	return tr.loop(t)
}

func (tr *tracer) loop(t testing.TB) (status syscall.WaitStatus) {
	for {
		tid, err := syscall.Wait4(-1, &status, syscall.WALL, nil)
		require.NoError(t, err)
		signal := 0
		switch {
		case status.Exited() || status.Signaled():
			if tid == tr.pid {
				return status
			}
			delete(tr.calls, tid)
			continue
		case status.StopSignal() == syscall.SIGTRAP|0x80:
			tr.stopped(tid)
		case status.StopSignal() != syscall.SIGTRAP && status.StopSignal() != syscall.SIGSTOP:
			signal = int(status.StopSignal())
		}
		_ = syscall.PtraceSyscall(tid, signal) // it may have been killed meanwhile
	}
}

// stopped is called when a thread enters a system call, and when it leaves it.
func (tr *tracer) stopped(tid int) {
	var r syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &r) != nil {
		return
	}
	c, inside := tr.calls[tid]
	if !inside || c == nil {
		c = newCall(&r)
		tr.calls[tid] = c
		tr.enter(tid, c, &r)
		return
	}
	tr.calls[tid] = nil
	if c.result != nil {
		r.Rax = uint64(*c.result)
		_ = syscall.PtraceSetRegs(tid, &r)
	} else if tr.armed && tr.how == recordCalls && c.struck(&r) && int64(r.Rax) >= 0 {
		if c.nr == syscall.SYS_PWRITE64 && tr.written != nil {
			c.data = tr.written(c.offset, c.length)
		}
		tr.log = append(tr.log, *c)
	}
}

func (tr *tracer) enter(tid int, c *call, r *syscall.PtraceRegs) {
	switch {
	case c.nr == callArm:
		tr.armed, tr.at, tr.how, tr.seen = true, int(r.Rdi), int(r.Rsi), 0
		answer(tid, c, r, 0)
	case c.nr == callDisarm:
		tr.armed = false
		answer(tid, c, r, int64(tr.seen))
	case !tr.armed || !c.struck(r):
	default:
		tr.seen++
		if tr.seen == tr.at+1 {
			tr.strike(tid, c, r)
		} else if tr.how == strikeShort && tr.seen == tr.at+2 {
			answer(tid, c, r, -int64(syscall.ENOSPC))
		}
	}
}

func (tr *tracer) strike(tid int, c *call, r *syscall.PtraceRegs) {
	switch tr.how {
	case recordCalls:
	case strikeKill:
		_ = syscall.Kill(tr.pid, syscall.SIGKILL)
	case strikeShort:
		if c.nr == syscall.SYS_PWRITE64 {
			r.Rdx /= 2
			_ = syscall.PtraceSetRegs(tid, r)
		}
	default:
		answer(tid, c, r, -int64(tr.how))
	}
}

// answer keeps the system from making a call, and answers it.
func answer(tid int, c *call, r *syscall.PtraceRegs, result int64) {
	r.Orig_rax = ^uint64(0)
	_ = syscall.PtraceSetRegs(tid, r)
	c.result = &result
}

// arm, in a job, asks for a call to be struck, counted from here.
func arm(at, how int) { _, _, _ = syscall.RawSyscall(callArm, uintptr(at), uintptr(how), 0) }

// disarm ends that, and returns how many calls there were.
func disarm() int {
	n, _, _ := syscall.RawSyscall(callDisarm, 0, 0, 0)
	return int(n)
}

// synced tells whether a call makes durable what was written before it.
func (c *call) synced() bool {
	return slices.Contains([]int64{syscall.SYS_FSYNC, syscall.SYS_FDATASYNC}, c.nr)
}
