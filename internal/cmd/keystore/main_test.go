//go:build !wasm

package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	place := filepath.Join(t.TempDir(), "store")
	for range 2 {
		s, err := open(t.Context(), "bolt", place)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	_, err := open(t.Context(), "bolt", t.TempDir())
	require.Error(t, err)
}
