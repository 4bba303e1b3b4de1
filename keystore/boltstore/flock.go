//go:build unix && !aix && !illumos && !solaris

package boltstore

import (
	"os"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// lock takes the lock that bbolt is about to take, on the same open file, which
// is to take it once. On Android bbolt takes another kind, that does not keep
// this process from opening the file twice.
func lock(f *os.File) error {
	end := time.Now().Add(lockTime)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK {
			return err
		}
		if time.Now().After(end) {
			return bolterrors.ErrTimeout
		}
		time.Sleep(lockTime / 20)
	}
}

// unlock gives up the lock of a file that stays mapped: closing it would not.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
