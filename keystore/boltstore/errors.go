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
	if kind := classify(err); kind != nil {
		return fmt.Errorf("boltstore: %w: %w", kind, err)
	}
	return fmt.Errorf("boltstore: %w", err)
}

func classify(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return keystore.ErrLocked
	case errors.Is(err, bolterrors.ErrMaxSizeReached), says(err, full):
		return keystore.ErrFull
	case errors.Is(err, fs.ErrPermission), says(err, readOnly):
		return keystore.ErrReadOnly
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return keystore.ErrNewerFormat
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return keystore.ErrCorrupt
	}
	return nil
}

// says tells whether err is one of the numbers, or ends with its text, since
// that is all that bbolt leaves of an error on growing the file.
func says(err error, numbers []syscall.Errno) bool {
	return slices.ContainsFunc(numbers, func(n syscall.Errno) bool {
		return errors.Is(err, n) || strings.HasSuffix(err.Error(), n.Error())
	})
}
