//go:build windows || aix || illumos || solaris

package boltstore

import "os"

// lock leaves the lock to bbolt.
func lock(*os.File) error { return nil }

// unlock leaves it to closing the file.
func unlock(*os.File) {}
