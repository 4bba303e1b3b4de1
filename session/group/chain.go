package group

import "github.com/gembok-e2ee/gembok/internal/kdf"

// chainSeed and chainNext are the steps of a chain (Section 4.1): the seed of the
// next message's keys, and the chain key after it.
func chainSeed(ck *[32]byte) [32]byte { return kdf.HMAC(ck, []byte{1}) }
func chainNext(ck *[32]byte) [32]byte { return kdf.HMAC(ck, []byte{2}) }

// messageKeys are the keys of one message. There is none for a MAC: messages are
// signed.
type messageKeys struct {
	iv     [16]byte
	cipher [32]byte
}

// expand derives the keys from a seed.
func (k *messageKeys) expand(seed *[32]byte) {
	var out [48]byte
	kdf.HKDF(out[:], nil, seed[:], []byte("WhisperGroup"))
	k.iv, k.cipher = [16]byte(out[:16]), [32]byte(out[16:])
	clear(out[:])
}

func (k *messageKeys) clear() { *k = messageKeys{} }
