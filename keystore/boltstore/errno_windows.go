package boltstore

import "syscall"

// What Windows says when there is no room, and when nothing may be written.
var (
	// ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED
	full = []syscall.Errno{39, 112, 1295, syscall.ENOSPC}
	// ERROR_WRITE_PROTECT
	readOnly = []syscall.Errno{19, syscall.EROFS}
	noSync   []syscall.Errno
)
