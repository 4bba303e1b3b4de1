package braid

import "github.com/gembok-e2ee/gembok/internal/wire"

// Tag returns the number of m's state.
func (m Machine) Tag() byte { return m.state.tag() }

// Authenticator is the authenticator, for its vectors.
type Authenticator struct{ a authenticator }

func NewAuthenticator(key *[32]byte) Authenticator { return Authenticator{newAuthenticator(key)} }

func (a Authenticator) Update(e uint64, key *[32]byte) Authenticator {
	return Authenticator{a.a.update(e, key)}
}

func (a Authenticator) Header(e uint64, header *[64]byte) [32]byte { return a.a.header(e, header) }

func (a Authenticator) Ciphertext(e uint64, ct1, ct2 []byte) [32]byte {
	return a.a.ciphertext(e, ct1, ct2)
}

func (a Authenticator) Keys() (root, mac [32]byte) { return *a.a.root, *a.a.mac }

func EpochSecret(e uint64, k [32]byte) [32]byte { return *epochSecret(e, &k) }

// Stored returns m in its stored form.
func (m Machine) Stored() *wire.SPQRMachine {
	w := new(wire.SPQRMachine)
	m.Store(w)
	return w
}

// Bytes returns the encoding of m's stored form.
func (m Machine) Bytes() []byte {
	return (&wire.SPQRState{HasMachine: true, Machine: *m.Stored()}).Append(nil)
}
