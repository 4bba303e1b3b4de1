package braid

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/kem"
)

const protocol = "Signal_PQCKA_V1_MLKEM768:"

// macSize is the length of both MACs.
const macSize = 32

// An authenticator makes the MACs of headers and ciphertexts, and takes in the
// secret of each epoch (spqr.md, Section 4). It is a value; its keys are never
// written in place.
type authenticator struct {
	root, mac *[32]byte
}

func newAuthenticator(authKey *[32]byte) authenticator {
	return authenticator{root: new([32]byte)}.update(1, authKey)
}

// update returns the authenticator that has taken in key, of epoch e.
func (a authenticator) update(e uint64, key *[32]byte) authenticator {
	var ikm, out [64]byte
	copy(ikm[:], a.root[:])
	copy(ikm[32:], key[:])
	var info [64]byte
	kdf.HKDF(out[:], nil, ikm[:], label(info[:0], "Authenticator Update", e))
	root, mac := [32]byte(out[:32]), [32]byte(out[32:])
	clear(ikm[:])
	clear(out[:])
	return authenticator{root: &root, mac: &mac}
}

// header returns the MAC of the header of epoch e, with the keys that the epoch
// before left.
func (a authenticator) header(e uint64, header *[kem.Header768Size]byte) [macSize]byte {
	var buf [128]byte
	return kdf.HMAC(a.mac, append(label(buf[:0], "ekheader", e), header[:]...))
}

// ciphertext returns the MAC of the ciphertext of epoch e, with the keys that
// have taken in its secret.
func (a authenticator) ciphertext(e uint64, ct1, ct2 []byte) [macSize]byte {
	var buf [64 + kem.Ciphertext1Size + kem.Ciphertext2Size]byte
	msg := append(label(buf[:0], "ciphertext", e), ct1...)
	return kdf.HMAC(a.mac, append(msg, ct2...))
}

// equal compares two MACs in constant time.
func equal(mac [macSize]byte, got []byte) bool {
	return subtle.ConstantTimeCompare(mac[:], got) == 1
}

// epochSecret derives the secret of epoch e from the shared secret k of its
// exchange, which it clears (Section 3.3).
func epochSecret(e uint64, k *[32]byte) *[32]byte {
	secret := new([32]byte)
	var info [64]byte
	kdf.HKDF(secret[:], nil, k[:], label(info[:0], "SCKA Key", e))
	clear(k[:])
	return secret
}

// label appends the protocol's name, what the bytes are for, and the epoch.
func label(dst []byte, use string, e uint64) []byte {
	dst = append(append(dst, protocol...), use...)
	return binary.BigEndian.AppendUint64(dst, e)
}
