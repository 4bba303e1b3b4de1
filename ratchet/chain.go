package ratchet

import (
	"bytes"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// rootStep is KDF_RK (wire-core, Section 7.4): it replaces root and returns
// the key of the new chain. On error, which is keys.ErrZeroAgreement, root is
// as it was.
func rootStep(root *[32]byte, own *keys.PrivateKey, theirs keys.PublicKey) (chainKey [32]byte, err error) {
	dh, err := own.Agree(theirs)
	if err != nil {
		return chainKey, err
	}
	var out [64]byte
	kdf.HKDF(out[:], root, dh[:], []byte("WhisperRatchet"))
	*root, chainKey = [32]byte(out[:32]), [32]byte(out[32:])
	clear(dh[:])
	clear(out[:])
	return chainKey, nil
}

// chainSeed and chainNext are KDF_CK (wire-core, Section 7.4): the seed of the
// next message's keys, and the chain key after it.
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
	k.cipher, k.mac, k.iv = [32]byte(out[:32]), [32]byte(out[32:64]), [16]byte(out[64:])
	clear(out[:])
}

// read fills k with the expanded form in which old libraries kept skipped keys
// (storage, Section 4.3); the caller has seen that it is one.
func (k *messageKeys) read(w *wire.MessageKey) {
	k.cipher, k.mac, k.iv = [32]byte(w.CipherKey), [32]byte(w.MACKey), [16]byte(w.IV)
}

func (k *messageKeys) clear() { *k = messageKeys{} }

// newSender returns the sending chain of the ratchet key own.
func newSender(own *keys.PrivateKey, public keys.PublicKey, chainKey *[32]byte) *wire.Chain {
	return &wire.Chain{PublicKey: public.Bytes(), PrivateKey: own.Bytes(), Key: bytes.Clone(chainKey[:])}
}

// check reports a stored state without what every operation needs (wire-core,
// Section 9.5).
func (s *Session) check() error {
	w := &s.state
	switch c := w.Sender; {
	case !isKey(w.LocalIdentity), !isKey(w.RemoteIdentity):
		return fmt.Errorf("%w: identity key", ErrCorrupt)
	case c != nil && (!isKey(c.PublicKey) || len(c.PrivateKey) != 32 || len(c.Key) != 32):
		return fmt.Errorf("%w: sending chain", ErrCorrupt)
	}
	return nil
}

func isKey(b []byte) bool {
	_, err := keys.ParsePublicKey(b)
	return err == nil
}

// receiver returns the place of the chain for a ratchet key, or −1. Entries
// that are not a key never match a message, whose key is one (storage, Section
// 4.8).
func (s *Session) receiver(ratchetKey []byte) int {
	for i := range s.state.Receivers {
		if bytes.Equal(s.state.Receivers[i].PublicKey, ratchetKey) {
			return i
		}
	}
	return -1
}

// forget overwrites the secrets of a chain that was replaced.
func forget(c *wire.Chain) {
	clear(c.PrivateKey)
	clear(c.Key)
	forgetSkipped(c)
}

// forgetSkipped overwrites the skipped keys, if they are the session's own.
func forgetSkipped(c *wire.Chain) {
	if !c.Shared {
		clear(c.Skipped)
	}
}
