package perf

import (
	"crypto/rand"

	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// newPair returns both ends of a session at the level of package ratchet, in
// mid-conversation: alice has read last.
func newPair() (alice, bob *ratchet.Session) {
	var secret [96]byte
	rand.Read(secret[:])
	signed := keys.GeneratePrivateKey()
	p := ratchet.Params{
		Local: keys.GenerateIdentityKeyPair().Public(), Remote: keys.GenerateIdentityKeyPair().Public(),
		BaseKey: keys.GeneratePrivateKey().PublicKey(),
	}
	alice = must(ratchet.Initiate(&secret, &p, signed.PublicKey(), &ratchet.Pending{KEMCiphertext: make([]byte, 1569)}))
	p.Local, p.Remote = p.Remote, p.Local
	bob = ratchet.Accept(&secret, &p, signed, signed.PublicKey())
	for range 2 {
		must(bob.Decrypt(must(alice.Encrypt(nil, nil)), nil))
		must(alice.Decrypt(must(bob.Encrypt(nil, nil)), nil))
	}
	return alice, bob
}

// RatchetEncrypt is one message after the other, without an answer. The
// post-quantum ratchet sends its header meanwhile, three chunks and then
// interpolated ones; those of longer objects cost up to 4 µs more.
func RatchetEncrypt(size int) Op {
	return always("ratchet-encrypt", size, runsOf(size), func() func() {
		alice, _ := newPair()
		plaintext := make([]byte, size)
		return func() { must(alice.Encrypt(plaintext, nil)) }
	})
}

// RatchetDecrypt is reading those messages in order. The first one, which has a
// DH step, is read before.
func RatchetDecrypt(size int) Op {
	return Op{Name: "ratchet-decrypt", Size: size, Runs: runsOf(size), ahead: runsOf(size), start: func() func() func() {
		alice, bob := newPair()
		must(bob.Decrypt(must(alice.Encrypt(nil, nil)), nil))
		plaintext := make([]byte, size)
		return func() func() {
			m := must(alice.Encrypt(plaintext, nil))
			return func() { must(bob.Decrypt(m, nil)) }
		}
	}}
}

// RatchetJump is reading a message of 100 bytes that n others should have come
// before.
func RatchetJump(n int) Op {
	return Op{Name: "ratchet-jump", Size: 100, Runs: 4, ahead: 4, start: func() func() func() {
		alice, bob := newPair()
		must(bob.Decrypt(must(alice.Encrypt(nil, nil)), nil))
		for range n {
			must(alice.Encrypt(nil, nil))
		}
		m, stored := must(alice.Encrypt(make([]byte, 100), nil)), bob.Append(nil)
		return func() func() {
			bob := must(ratchet.Parse(stored))
			return func() { must(bob.Decrypt(m, nil)) }
		}
	}}
}
