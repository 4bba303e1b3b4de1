package keystore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Load, compute, Commit what was computed and expect what was loaded. Whoever
// was slower is told so, and does it again.
func ExampleStore() {
	ctx := context.Background()
	var store keystore.Store = keystore.NewMemory()
	defer store.Close()

	count := keystore.Key{Scope: "bot/1", Kind: "count", Owner: "-"}
	add := func(expect uint64, n byte) error {
		_, err := store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: count, Expect: expect, Value: []byte{n}})
		return err
	}
	seen, _ := store.Load(ctx, count)
	fmt.Println("first:", add(seen[0].Version, 1))

	err := add(seen[0].Version, 1) // someone who loaded at the same time
	if conflict, ok := errors.AsType[*keystore.ConflictError](err); ok {
		fmt.Println("second: lost on", len(conflict.Keys), "record")
	}
	again, _ := store.Load(ctx, count)
	fmt.Println("again:", add(again[0].Version, again[0].Value[0]+1))
	// Output:
	// first: <nil>
	// second: lost on 1 record
	// again: <nil>
}

// A store of any kind, encrypted under a passphrase, which is then changed.
func ExampleOpenEncrypted() {
	ctx := context.Background()
	plain := keystore.NewMemory() // or a boltstore, or a sqlstore
	store, err := keystore.OpenEncrypted(ctx, plain, keystore.Unlock{Passphrase: "correct horse battery staple"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	k := keystore.Key{Scope: "bot/1", Kind: "note", Owner: "-"}
	_, err = store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Value: []byte("a secret")})
	fmt.Println("committed:", err)
	fmt.Println("passphrase changed:", store.Relock(ctx, keystore.Unlock{Passphrase: "a better one"}, nil))
	fmt.Println("key changed:", store.Rekey(ctx))
	seen, _ := store.Load(ctx, k)
	fmt.Printf("%s\n", seen[0].Value)
	// Output:
	// committed: <nil>
	// passphrase changed: <nil>
	// key changed: <nil>
	// a secret
}
