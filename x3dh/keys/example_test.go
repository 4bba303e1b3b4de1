package keys_test

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Two sides agree on the same 32 bytes.
func ExamplePrivateKey_Agree() {
	alice, bob := keys.GeneratePrivateKey(), keys.GeneratePrivateKey()
	a, err := alice.Agree(bob.PublicKey())
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := bob.Agree(alice.PublicKey())
	fmt.Println(a == b, err)
	// Output: true <nil>
}

// An identity key signs under a label, so that a signature means one thing.
func ExampleIdentityKeyPair_Sign() {
	alice := keys.GenerateIdentityKeyPair()
	sig := alice.Sign("example.profile", []byte("Alice"))
	fmt.Println(alice.Public().Verify("example.profile", []byte("Alice"), sig))
	fmt.Println(alice.Public().Verify("example.invoice", []byte("Alice"), sig))
	fmt.Println(alice)
	// Output:
	// <nil>
	// keys: invalid signature
	// redacted
}
