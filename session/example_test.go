package session_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

func Example() {
	ctx := context.Background()
	// Each device keeps its keys and sessions in a store of its own.
	ani, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "ani", Device: 1}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	budi, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "budi", Device: 1}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	// Budi's app uploads what Publish returns; the server hands out bundles of it.
	published, err := budi.Publish(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := ani.Begin(ctx, budi.Address(), published.Take()); err != nil {
		log.Fatal(err)
	}
	message, err := ani.Encrypt(ctx, budi.Address(), []byte("Halo, Budi!"))
	if err != nil {
		log.Fatal(err)
	}
	received, err := budi.Decrypt(ctx, ani.Address(), message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", received.Plaintext)
	if err := budi.Acknowledge(ctx, received); err != nil { // once the app has saved it
		log.Fatal(err)
	}
	// Output: Halo, Budi!
}
