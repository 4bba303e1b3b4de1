package x3dh

import "github.com/gembok-e2ee/gembok/x3dh/keys"

// InitiateWith is Initiate with the base key and the KEM's part given, and
// without looking at signatures.
func InitiateWith(id *keys.IdentityKeyPair, b *Bundle, base *keys.PrivateKey, ct []byte, ss [32]byte) (*Agreement, error) {
	return initiate(id, b, base, ct, &ss)
}
