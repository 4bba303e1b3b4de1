//go:build !wasm

package storetool_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

type opener = func(ctx context.Context, engine, place string) (keystore.Store, error)

// openOr opens stores of boltstore, and others by open.
func openOr(open opener) opener {
	return func(ctx context.Context, engine, place string) (keystore.Store, error) {
		if engine == "bolt" {
			return boltstore.Open(place, nil)
		}
		return open(ctx, engine, place)
	}
}

// There and back through a file, which is there with all values.
func TestMoveThroughBolt(t *testing.T) {
	b, w := newBench(t)
	place := filepath.Join(t.TempDir(), "store")
	memory := b.open
	b.opens = openOr(memory)
	b.runs(t, "move", "memory:own", "bolt:"+place)
	b.runs(t, "verify", "bolt:"+place)
	out := b.runs(t, "inspect", "bolt:"+place)
	require.Contains(t, out, "\nrecords     51, ")
	b.runs(t, "move", "bolt:"+place, "memory:back")
	require.Equal(t, values(t, w.Store), values(t, b.stores["back"]))
	goesOn(t, w, b.stores["back"])
}
