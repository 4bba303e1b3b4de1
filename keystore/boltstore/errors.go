//go:build !wasm

package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/gembok-e2ee/gembok/keystore"
)

// storageError puts the sentinel that fits in front of an error of what lies
// beneath.
func storageError(err error) error {
	if err == nil || errors.Is(err, keystore.ErrCorrupt) || errors.Is(err, keystore.ErrNewerFormat) {
		return err // has it already
	}
	err = restore(err)
	if kind := classify(err); kind != nil {
		return fmt.Errorf("boltstore: %w: %w", kind, err)
	}
	return fmt.Errorf("boltstore: %w", err)
}

// mapFull is how bbolt says that a file is larger than can be mapped, which is
// 2 GiB on systems of 32 bits.
const mapFull = "mmap too large"

func classify(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return keystore.ErrLocked
	case errors.Is(err, bolterrors.ErrMaxSizeReached), is(err, full), strings.HasSuffix(err.Error(), mapFull):
		return keystore.ErrFull
	case errors.Is(err, fs.ErrPermission), is(err, readOnly):
		return keystore.ErrReadOnly
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return keystore.ErrNewerFormat
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return keystore.ErrCorrupt
	}
	return nil
}

// is tells whether err is one of the numbers.
func is(err error, numbers []syscall.Errno) bool {
	return slices.ContainsFunc(numbers, func(n syscall.Errno) bool { return errors.Is(err, n) })
}

// A textual error is one of which bbolt has left the text alone, as it does
// where the file grows or is mapped, with the number that the text ends with.
type textual struct {
	error
	number syscall.Errno
}

func (e textual) Unwrap() []error { return []error{e.error, e.number} }

// restore finds the number that is missing in err.
func restore(err error) error {
	for _, n := range slices.Concat(full, readOnly, []syscall.Errno{syscall.EIO, syscall.ENOMEM}) {
		if strings.HasSuffix(err.Error(), n.Error()) && !errors.Is(err, n) {
			return textual{err, n}
		}
	}
	return err
}
