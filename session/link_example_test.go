package session_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// Ani's laptop becomes a device of the account that her phone has.
func ExampleDevice_Link() {
	ctx := context.Background()
	server := manifests(noManifest) // what connects the app's server
	phone, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "ani", Device: 1}},
		&session.Options{Directory: server})
	if err != nil {
		log.Fatal(err)
	}

	// The laptop shows link.Code(), perhaps in a QR code; link.PublicKey() and
	// its number go to the server.
	link, err := session.GenerateLink(session.Address{User: "ani", Device: 2}, nil)
	if err != nil {
		log.Fatal(err)
	}

	// The phone scans the code, gets the public key from the server, and sends
	// back what it sealed.
	sealed, err := phone.Link(ctx, link.Code(), link.PublicKey())
	if err != nil {
		log.Fatal(err)
	}

	account, err := link.Open(sealed)
	if err != nil {
		log.Fatal(err)
	}
	laptop, err := session.Create(ctx, keystore.NewMemory(), account, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(laptop.Address(), laptop.Identity().Equal(phone.Identity()))
	_, err = phone.Link(ctx, link.Code(), link.PublicKey())
	fmt.Println(err)
	// Output:
	// ani.2 true
	// session: link used or expired
}

func ExamplePreKeyPreset() {
	policy, err := session.PreKeyPreset("gateway")
	if err != nil {
		log.Fatal(err)
	}
	o := session.Options{PreKeys: policy}
	fmt.Println(o.PreKeys.OneTime, o.PreKeys.Rotate)
	// Output: 1024 48h0m0s
}
