package hosting_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A business has one phone of its own, and a provider that answers for it.
func Example() {
	fixed := func(b byte) *keys.IdentityKeyPair {
		key, err := keys.NewIdentityKeyPair(bytes.Repeat([]byte{b}, 32))
		if err != nil {
			log.Fatal(err)
		}
		return key
	}
	phone, server, provider := fixed(1), fixed(2), fixed(3)
	account := phone // of the business; the identity key of a device may be it
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	m := &hosting.Manifest{
		Account: "toko", Kind: hosting.KindBusiness, Epoch: 1, NotBefore: now, NotAfter: now.AddDate(0, 0, 30),
		Endpoints: []hosting.Endpoint{
			{Device: 1, Identity: phone.Public(), Controller: hosting.OwnerDevice, Storage: hosting.StorageNone, NotAfter: now.AddDate(1, 0, 0)},
			{Device: 2, Identity: server.Public(), Controller: hosting.HostedByProvider, Storage: hosting.StorageProvider, NotAfter: now.AddDate(1, 0, 0),
				Provider: &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: provider.Public()},
				Readers:  hosting.Readers{Staff: true, AI: true}, Uses: hosting.Uses{Service: true}},
		},
	}
	// Each where its key is.
	for i, err := range []error{
		m.Endpoints[0].Accept("toko", account.Public(), phone),
		m.Endpoints[1].Accept("toko", account.Public(), server),
		m.Endpoints[1].Operate("toko", account.Public(), provider),
	} {
		if err != nil {
			log.Fatal(i, err)
		}
	}
	signed, err := m.Sign(account)
	if err != nil {
		log.Fatal(err)
	}

	// Whoever gets it, from wherever.
	got, err := hosting.Parse(signed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Account, got.Verify(now.Add(time.Hour)), got.Hash() == m.Hash())
	fmt.Println(got.Verify(now.AddDate(0, 0, 31)))
	// Output:
	// toko <nil> true
	// hosting: manifest out of date
}
