package x3dh_test

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func Example() {
	// Bob's device makes its keys and uploads the public halves.
	bob := keys.GenerateIdentityKeyPair()
	signed, oneTime, lastResort := keys.GeneratePrivateKey(), keys.GeneratePrivateKey(), keys.GenerateKEMPrivateKey()
	upload := (&x3dh.Publication{
		RegistrationID: 1234, DeviceID: 1, IdentityKey: bob.Public(),
		SignedPreKey: x3dh.SignedPreKey{ID: 1, Key: signed.PublicKey(), Signature: bob.SignPreKey(signed.PublicKey())},
		LastResort:   x3dh.KEMPreKey{ID: 1, Key: lastResort.Public(), Signature: bob.SignKEMPreKey(lastResort.Public())},
		PreKeys:      []x3dh.PreKey{{ID: 1, Key: oneTime.PublicKey()}},
	}).Bytes()

	// The directory verifies it, and hands a bundle to whoever asks.
	publication, err := x3dh.ParsePublication(upload)
	if err != nil || publication.Verify() != nil {
		panic("not a publication")
	}
	handed := publication.Take().Bytes()

	// Alice begins; base key and ciphertext go with her first message.
	alice := keys.GenerateIdentityKeyPair()
	bundle, err := x3dh.ParseBundle(handed)
	if err != nil {
		panic(err)
	}
	hers, err := x3dh.Initiate(alice, bundle)
	if err != nil {
		panic(err)
	}

	// Bob answers.
	his, err := x3dh.Respond(&x3dh.Response{
		Identity: bob, SignedPreKey: signed, PreKey: oneTime, KEMPreKey: lastResort,
		TheirIdentity: alice.Public(), BaseKey: hers.BaseKey(), Ciphertext: hers.Ciphertext(),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(hers.Keys() == his.Keys(), bundle.LastResort, hers)
	// Output: true true redacted
}
