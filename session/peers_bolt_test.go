//go:build !wasm

package session_test

import (
	"path/filepath"
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
)

// The same over the embedded store.

func TestSES_02_Bolt(t *testing.T) {
	oldCopy(t, openBolt(t, filepath.Join(t.TempDir(), "old")))
	promoteOnlyNewer(t, openBolt(t, filepath.Join(t.TempDir(), "newer")))
}

func TestSTO_04_LivePeersBolt(t *testing.T) {
	livePeers(t, func() keystore.Store { return openBolt(t, filepath.Join(t.TempDir(), "store")) })
}

func TestRenameRaceBolt(t *testing.T) {
	renameRace(t, openBolt(t, filepath.Join(t.TempDir(), "store")))
}
