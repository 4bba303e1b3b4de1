//go:build !wasm

package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	var errno syscall.Errno
	errors.As(err, &errno)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return keystore.ErrLocked
	case errors.Is(err, bolterrors.ErrMaxSizeReached), slices.Contains(full, errno):
		return keystore.ErrFull
	case errors.Is(err, fs.ErrPermission), slices.Contains(readOnly, errno):
		return keystore.ErrReadOnly
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return keystore.ErrNewerFormat
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return keystore.ErrCorrupt
	}
	return nil
}
