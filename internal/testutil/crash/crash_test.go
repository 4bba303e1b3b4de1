//go:build !wasm

package crash_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func TestMain(m *testing.M) {
	crash.Child(open)
	os.Exit(m.Run())
}

// open opens a store at a place, which is what it is, a colon and a file.
func open(place string) (keystore.Store, error) {
	what, path, _ := strings.Cut(place, ":")
	if what != "bolt" && what != "encrypted" {
		return openToy(path, what)
	}
	s, err := boltstore.Open(path, nil)
	if err != nil || what == "bolt" {
		return s, err
	}
	return keystore.OpenEncrypted(context.Background(), s, keystore.Unlock{Key: new([32]byte)}, &keystore.EncryptedOptions{Blind: true})
}

// options kill processes on new stores of a kind.
func options(t *testing.T, what string, kills int) *crash.Options {
	dir, n := t.TempDir(), 0
	fresh := func() (string, error) {
		n++
		return what + ":" + filepath.Join(dir, fmt.Sprint("store-", n)), nil
	}
	return &crash.Options{Open: open, Fresh: fresh, Kills: kills}
}

func TestSteps(t *testing.T) {
	for seed := range uint64(4) {
		crash.Steps(t, keystore.NewMemory(), 1000, seed)
	}
}

// TestSTO_01_STO_02_STO_03_Kills kills a process on a store in a file at each
// call of its store in each operation of a Device, and at random.
func TestSTO_01_STO_02_STO_03_Kills(t *testing.T) {
	kills := 300
	if testing.Short() {
		kills = 40
	}
	r, err := crash.Run(context.Background(), options(t, "bolt", kills))
	t.Log(r, r.Count)
	require.NoError(t, err)
	if testing.Short() {
		return
	}
	require.Empty(t, r.Unvisited)
	for _, what := range []string{"never left", "read by none", "redelivered", "acknowledged", "went on", "rolled back",
		"sent to users", "session lost", "same answer", "renamed", "forgotten", "sung"} {
		require.NotZero(t, r.Count[what], what)
	}
}

// TestSTO_01_KillsEncrypted does it to one that is encrypted.
func TestSTO_01_KillsEncrypted(t *testing.T) {
	kills := 40
	if testing.Short() {
		kills = 10
	}
	r, err := crash.Run(context.Background(), options(t, "encrypted", kills))
	require.NoError(t, err, r)
}

// Stores that do not survive a kill are found out, by the record, and by what
// the app, its peers and the oracles of sessions know alone.
func TestFlaws(t *testing.T) {
	run := func(flaw string, blind bool, kills int) error {
		o := options(t, flaw, kills)
		if blind {
			o.Blind()
		}
		r, err := crash.Run(context.Background(), o)
		t.Log(flaw, blind, r, err)
		return err
	}
	require.NoError(t, run(right, false, 20))
	require.NoError(t, run(right, true, 20))
	for _, flaw := range []string{torn, forgetful, twice} {
		require.ErrorContains(t, run(flaw, false, 400), "seed 0", flaw)
		require.ErrorContains(t, run(flaw, true, 1000), "seed 0", flaw)
	}
	if !testing.Short() {
		require.Error(t, run(fallen, false, 1000))
	}
}
