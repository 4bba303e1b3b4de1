package ratchet

import (
	"crypto/aes"
	"crypto/cipher"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// EncryptWith is Encrypt with the post-quantum message and key given; it clears
// the key.
func (s *Session) EncryptWith(plaintext, addresses, pqMessage []byte, salt *[32]byte) ([]byte, error) {
	if err := s.checkSend(len(plaintext)); err != nil {
		return nil, err
	}
	pq, err := s.postQuantum()
	if err != nil {
		return nil, err
	}
	return s.encrypt(plaintext, addresses, pq, pqMessage, salt), nil
}

// PostQuantum reports whether the post-quantum ratchet is on. Only imported
// sessions can lack it.
func (s *Session) PostQuantum() bool {
	pq, err := s.postQuantum()
	return err == nil && pq.Enabled()
}

// A Draft is the next message of a session, of which a test makes what it
// wants: whoever has the keys can.
type Draft struct {
	wire.SignalMessage
	Seed          [32]byte
	Salt          *[32]byte
	From, To      []byte // identity keys in the MAC
	Cipher, MACed [32]byte
	IV            [16]byte
}

// Draft returns what Encrypt would send next. s stays as it is.
func (s *Session) Draft(plaintext []byte) (*Draft, error) {
	if err := s.checkSend(len(plaintext)); err != nil {
		return nil, err
	}
	pq, err := s.postQuantum()
	if err != nil {
		return nil, err
	}
	d := &Draft{From: s.state.LocalIdentity, To: s.state.RemoteIdentity}
	d.Version, d.RatchetKey = byte(s.state.Version), s.state.Sender.PublicKey
	d.Counter, d.Previous = s.state.Sender.Index, s.state.PreviousCounter
	if _, d.PQRatchet, d.Salt, err = pq.Send(); err != nil {
		return nil, err
	}
	d.Seed = chainSeed((*[32]byte)(s.state.Sender.Key))
	d.Encrypt(plaintext)
	return d, nil
}

// Encrypt derives the keys from Seed and Salt and makes the ciphertext.
func (d *Draft) Encrypt(plaintext []byte) {
	var k messageKeys
	k.expand(&d.Seed, d.Salt)
	d.Cipher, d.MACed, d.IV = k.cipher, k.mac, k.iv
	d.Ciphertext = etm.EncryptCBC(nil, &k.cipher, &k.iv, plaintext)
}

// Blocks makes the ciphertext of whole blocks, without padding.
func (d *Draft) Blocks(blocks []byte) {
	b, err := aes.NewCipher(d.Cipher[:])
	if err != nil {
		panic(err)
	}
	d.Ciphertext = make([]byte, len(blocks))
	cipher.NewCBCEncrypter(b, d.IV[:]).CryptBlocks(d.Ciphertext, blocks)
}

// Seal returns the message, with the right MAC.
func (d *Draft) Seal() []byte { return d.SealBody(wire.AppendSignalMessage(nil, &d.SignalMessage)) }

// SealBody returns any body with the right MAC.
func (d *Draft) SealBody(body []byte) []byte {
	mac := etm.MAC(&d.MACed, d.From, d.To, body)
	return append(body[:len(body):len(body)], mac[:wire.MACSize]...)
}

// MessageKeys returns seed, next chain key and the 80 bytes of message keys.
func MessageKeys(chainKey, salt *[32]byte) (seed, next [32]byte, keys []byte) {
	seed, next = chainSeed(chainKey), chainNext(chainKey)
	var k messageKeys
	k.expand(&seed, salt)
	return seed, next, append(append(append([]byte(nil), k.cipher[:]...), k.mac[:]...), k.iv[:]...)
}

// RootStep is rootStep.
var RootStep = rootStep

// Parts returns the places in memory of the secrets of s: root key, chain keys,
// ratchet private key, skipped keys.
func (s *Session) Parts() (all [][]byte) {
	all = append(all, s.state.RootKey, s.state.Sender.Key, s.state.Sender.PrivateKey)
	for _, c := range s.state.Receivers {
		all = append(all, c.Key, c.Skipped)
	}
	return all
}
