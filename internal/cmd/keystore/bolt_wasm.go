package main

import (
	"context"
	"errors"

	"github.com/gembok-e2ee/gembok/keystore"
)

func open(context.Context, string, string) (keystore.Store, error) {
	return nil, errors.New("package boltstore is not for wasm")
}
