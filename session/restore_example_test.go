package session_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// At the start, the store is held against the mark that the app kept elsewhere.
func ExampleCheckGeneration() {
	ctx, store := context.Background(), keystore.NewMemory() // in place of one that is put back from a backup
	ani := session.Address{User: "ani", Device: 1}
	if _, err := session.Create(ctx, store, session.Account{Address: ani}, nil); err != nil {
		log.Fatal(err)
	}
	var mark uint64 = 1000 // kept before the backup was put back

	err := session.CheckGeneration(ctx, store, mark)
	if err != nil && !errors.Is(err, keystore.ErrRolledBack) {
		log.Fatal(err)
	}
	fmt.Println(err)
	d, err := session.Open(ctx, store, ani, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := d.AfterRestore(ctx); err != nil { // nothing, in a store that was not rolled back
		log.Fatal(err)
	}
	if mark, err = store.Generation(ctx); err != nil { // to be kept from here on
		log.Fatal(err)
	}
	directory, err := d.Upkeep(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(directory.PreKeys), "new prekeys to upload; newer than", mark)
	// Output:
	// keystore: rolled back to an older state
	// 100 new prekeys to upload; newer than 3
}
