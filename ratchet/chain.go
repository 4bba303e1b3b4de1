package ratchet

import (
	"crypto/subtle"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// rootStep is KDF_RK (wire-core, Section 7.4): it advances root in place and
// returns the key of the new chain.
func rootStep(root *[32]byte, own *keys.PrivateKey, theirs keys.PublicKey) (chainKey [32]byte, err error) {
	dh, err := own.Agree(theirs)
	if err != nil {
		return chainKey, err
	}
	var out [64]byte
	kdf.HKDF(out[:], root, dh[:], []byte("WhisperRatchet"))
	copy(root[:], out[:32])
	copy(chainKey[:], out[32:])
	clear(dh[:])
	clear(out[:])
	return chainKey, nil
}

// chainSeed is the message seed of a chain key; chainNext is the next chain
// key (KDF_CK; wire-core, Section 7.4).
func chainSeed(ck *[32]byte) [32]byte { return kdf.HMAC(ck, []byte{1}) }
func chainNext(ck *[32]byte) [32]byte { return kdf.HMAC(ck, []byte{2}) }

// messageKeys are the keys of one message.
type messageKeys struct {
	cipher, mac [32]byte
	iv          [16]byte
}

// expand derives the keys from the seed, salted with the post-quantum key;
// salt is nil only in sessions without the post-quantum ratchet.
func (k *messageKeys) expand(seed, salt *[32]byte) {
	var out [80]byte
	kdf.HKDF(out[:], salt, seed[:], []byte("WhisperMessageKeys"))
	copy(k.cipher[:], out[:])
	copy(k.mac[:], out[32:])
	copy(k.iv[:], out[64:])
	clear(out[:])
}

func (k *messageKeys) clear() { *k = messageKeys{} }

func senderChain(own *keys.PrivateKey, public keys.PublicKey, chainKey *[32]byte) *wire.Chain {
	return &wire.Chain{PublicKey: public.Bytes(), PrivateKey: own.Bytes(), Key: bytesOf(chainKey[:])}
}

// key32 reads a stored 32-byte key.
func key32(b []byte, what string) (k [32]byte, err error) {
	if len(b) != 32 {
		return k, fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	return [32]byte(b), nil
}

// receiver returns the place of the chain for a ratchet key, or -1. Entries
// that do not decode to a key never match (storage, Section 4.8).
func (s *Session) receiver(ratchetKey []byte) int {
	for i := range s.state.Receivers {
		if subtle.ConstantTimeCompare(s.state.Receivers[i].PublicKey, ratchetKey) == 1 {
			return i
		}
	}
	return -1
}
