//go:build !wasm && !windows

package boltstore

import "syscall"

// What an operating system says when there is no room, when nothing may be
// written, and when it cannot flush.
var (
	full     = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
	readOnly = []syscall.Errno{syscall.EROFS}
	noSync   = []syscall.Errno{syscall.EINVAL, syscall.ENOTSUP} // for a directory
)
