package boltstore

import "syscall"

// What Windows says when there is no room, and when nothing may be written.
var (
	full     = []syscall.Errno{39, 112, 1295} // ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED
	readOnly = []syscall.Errno{19}            // ERROR_WRITE_PROTECT
)
