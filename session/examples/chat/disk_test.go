package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// What is saved has a name that nothing had, and all of its bytes.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	picture, err := drawPicture()
	require.NoError(t, err)
	saved := filepath.Join(dir, "saved")
	require.NoError(t, saveAs(saved, picture))
	got, err := readFile(saved)
	require.NoError(t, err)
	require.Equal(t, picture, got)
	require.ErrorIs(t, saveAs(saved, nil), os.ErrExist)
	require.Error(t, saveAs(filepath.Join(saved, "below"), nil))
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{saved}, left)

	_, err = readFile(saved + "-2")
	require.Error(t, err)
	require.NoError(t, os.Truncate(saved, person.MaxFile+1))
	_, err = readFile(saved)
	require.ErrorContains(t, err, "not sent")
}
