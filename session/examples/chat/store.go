//go:build !wasm

package main

import (
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func openStore(path string) (keystore.Store, error) { return boltstore.Open(path, nil) }
