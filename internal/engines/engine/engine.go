// Package engine opens a store of any engine, by name and place, and starts
// PostgreSQL servers of its own, for tests and tools.
package engine

import (
	"context"
	"fmt"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// Names returns the names of the engines.
func Names() []string { return []string{"memory", "bolt"} }

// Open opens a store: "memory", which has no place; "bolt" and a file.
// It is made where there is none.
func Open(ctx context.Context, name, place string) (keystore.Store, error) {
	switch name {
	case "memory":
		return keystore.NewMemory(), nil
	case "bolt":
		return boltstore.Open(place, nil)
	}
	return nil, fmt.Errorf("engine: there is no engine %q", name)
}
