//go:build !wasm && !windows

package boltstore

import "syscall"

// What an operating system says when there is no room, and when nothing may be
// written.
var (
	full     = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
	readOnly = []syscall.Errno{syscall.EROFS}
)
