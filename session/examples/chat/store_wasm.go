package main

import (
	"errors"

	"github.com/gembok-e2ee/gembok/keystore"
)

func openStore(string) (keystore.Store, error) {
	return nil, errors.New("package boltstore is not for wasm")
}
