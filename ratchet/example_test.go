package ratchet_test

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func Example() {
	// A handshake, such as package x3dh's, leaves both sides with these.
	var secret [96]byte
	alice, bob := keys.GenerateIdentityKeyPair().Public(), keys.GenerateIdentityKeyPair().Public()
	base, signed := keys.GeneratePrivateKey().PublicKey(), keys.GeneratePrivateKey()

	hers, err := ratchet.Initiate(&secret, &ratchet.Params{Local: alice, Remote: bob, BaseKey: base},
		signed.PublicKey(), &ratchet.Pending{SignedPreKeyID: 1})
	if err != nil {
		panic(err)
	}
	his := ratchet.Accept(&secret, &ratchet.Params{Local: bob, Remote: alice, BaseKey: base}, signed, signed.PublicKey())

	first, err := hers.Encrypt([]byte("hello"), nil)
	if err != nil {
		panic(err)
	}
	second, err := hers.Encrypt([]byte("are you there?"), nil)
	if err != nil {
		panic(err)
	}
	stored := hers.Append(nil) // before a message leaves: its keys are used once

	for _, msg := range [][]byte{second, first, first} {
		plaintext, err := his.Decrypt(msg, nil)
		fmt.Printf("%q %v\n", plaintext, err)
	}
	hers, err = ratchet.Parse(stored)
	fmt.Println(hers, err)
	// Output:
	// "are you there?" <nil>
	// "hello" <nil>
	// "" ratchet: message already decrypted: counter 0, chain at 2
	// redacted <nil>
}
