//go:build !wasm

package main

import (
	"context"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func open(_ context.Context, _, place string) (keystore.Store, error) {
	return boltstore.Open(place, nil)
}

func check(ctx context.Context, _, place string) error { return boltstore.Check(ctx, place) }
