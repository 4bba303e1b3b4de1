package main

import (
	"context"
	"errors"

	"github.com/gembok-e2ee/gembok/keystore"
)

var errWasm = errors.New("package boltstore is not for wasm")

func open(context.Context, string, string) (keystore.Store, error) { return nil, errWasm }

func check(context.Context, string, string) error { return errWasm }
