//go:build !wasm

package boltstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// What was committed is there when the file is opened again.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "gembok.db")
	k := keystore.Key{Scope: "ani/1", Kind: "note", Owner: "-"}

	store, err := boltstore.Open(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Value: []byte("Halo")}); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	store, err = boltstore.Open(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	records, err := store.Load(ctx, k)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, version %d\n", records[0].Value, records[0].Version)
	// Output: Halo, version 1
}

// A file in doubt is checked before it is opened; one from which much was
// deleted is compacted.
func ExampleCheck() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "gembok.db")
	store, err := boltstore.Open(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if err := store.Compact(ctx); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(boltstore.Check(ctx, path))

	if err := os.Truncate(path, 10_000); err != nil {
		log.Fatal(err)
	}
	fmt.Println(boltstore.Check(ctx, path))
	// Output:
	// <nil>
	// boltstore: keystore: corrupt record: short file
}
