package group_test

import (
	"fmt"
	"log"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// Sender keys alone: Ani gives Budi hers, in a message of their session, and then
// encrypts once for whoever has it.
func ExampleGroups_Encrypt() {
	device := func(user string) *session.Device {
		a := session.Account{Address: session.Address{User: user, Device: 1}}
		d, err := session.Create(ctx, keystore.NewMemory(), a, &session.Options{Content: true})
		if err != nil {
			log.Fatal(err)
		}
		return d
	}
	ani, budi := device("ani"), device("budi")
	bundle, err := budi.Bundle(ctx) // an app has it from its server
	if err != nil {
		log.Fatal(err)
	}
	if err := ani.Begin(ctx, budi.Address(), bundle); err != nil {
		log.Fatal(err)
	}

	id, err := group.ParseDistributionID("d1d1d1d1-7000-11eb-b32a-33b8a8a487a6") // drawn once for each group
	if err != nil {
		log.Fatal(err)
	}
	anis, budis := group.New(ani, nil), group.New(budi, nil)
	key, err := anis.Distribution(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	give := &session.Content{Distribution: key}
	m, err := ani.Encrypt(ctx, budi.Address(), give.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := budis.Decrypt(ctx, ani.Address(), m, nil); err != nil {
		log.Fatal(err)
	}

	content := &session.Content{Body: []byte("Dinner at seven.")}
	if m, err = anis.Encrypt(ctx, id, content.Bytes()); err != nil {
		log.Fatal(err)
	}
	r, err := budis.Decrypt(ctx, ani.Address(), m, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", r.From, r.Content.Body)
	// Output: ani.1: Dinner at seven.
}
