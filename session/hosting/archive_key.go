package hosting

import (
	"fmt"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// workFactor is the logarithm of scrypt's N with which archives are written,
// and the largest with which they are read: 256 MiB of memory.
const workFactor = 18

// An ArchiveKey is what an archive is encrypted to: a passphrase, which
// NewArchiveKey takes, or a recovery key, which GenerateArchiveKey draws. It
// holds a secret and prints as redacted. It is safe for concurrent use. The zero
// value neither writes nor reads.
type ArchiveKey struct {
	wire.Secret

	passphrase string
	factor     int // of scrypt, for writing
	identity   *age.HybridIdentity
	recipient  *age.HybridRecipient
}

// NewArchiveKey returns the key of a passphrase, which must not be empty. Its
// bytes count, as they are: an app that takes it from a keyboard brings it to
// one spelling first.
func NewArchiveKey(passphrase string) *ArchiveKey {
	return &ArchiveKey{passphrase: passphrase, factor: workFactor}
}

// GenerateArchiveKey draws a recovery key: a hybrid post-quantum identity of
// age (ML-KEM-768 and X25519).
func GenerateArchiveKey() *ArchiveKey {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		panic("hosting: internal error: " + err.Error()) // of keys that it drew itself
	}
	return &ArchiveKey{identity: id, recipient: id.Recipient()}
}

// ParseArchiveKey reads the Text of a recovery key, with space around it. The
// error is session.ErrMalformed.
func ParseArchiveKey(text string) (*ArchiveKey, error) {
	text = strings.TrimSpace(text)
	if id, err := age.ParseHybridIdentity(text); err == nil {
		return &ArchiveKey{identity: id, recipient: id.Recipient()}, nil
	}
	if r, err := age.ParseHybridRecipient(text); err == nil {
		return &ArchiveKey{recipient: r}, nil
	}
	return nil, fmt.Errorf("%w: recovery key", wire.ErrMalformed) // age's error may show it
}

// Text returns a recovery key as it is written down, "AGE-SECRET-KEY-PQ-1" and
// more, or, of what Public returns, "age1pq1" and more. It is empty for a
// passphrase.
func (k *ArchiveKey) Text() string {
	switch {
	case k.identity != nil:
		return k.identity.String()
	case k.recipient != nil:
		return k.recipient.String()
	}
	return ""
}

// Public returns the part of a recovery key that writes archives and reads none,
// for a device that is not to hold the whole. Of a passphrase there is none, and
// it is the zero value.
func (k *ArchiveKey) Public() *ArchiveKey { return &ArchiveKey{recipient: k.recipient} }

// to is what to encrypt to.
func (k *ArchiveKey) to() (age.Recipient, error) {
	switch {
	case k != nil && k.recipient != nil:
		return k.recipient, nil
	case k != nil && k.passphrase != "":
		r, err := age.NewScryptRecipient(k.passphrase)
		if err != nil {
			return nil, fmt.Errorf("%w: empty", keystore.ErrPassphrase)
		}
		r.SetWorkFactor(k.factor)
		return r, nil
	}
	return nil, fmt.Errorf("%w: none to write an archive with", keystore.ErrPassphrase)
}

// from is what to decrypt with.
func (k *ArchiveKey) from() (age.Identity, error) {
	switch {
	case k != nil && k.identity != nil:
		return k.identity, nil
	case k != nil && k.passphrase != "":
		id, err := age.NewScryptIdentity(k.passphrase)
		if err != nil {
			return nil, fmt.Errorf("%w: empty", keystore.ErrPassphrase)
		}
		id.SetMaxWorkFactor(workFactor)
		return thrifty{id}, nil
	}
	return nil, fmt.Errorf("%w: none to read an archive with", keystore.ErrPassphrase)
}

// A thrifty identity says with ErrTooLarge that a passphrase would cost too
// much, which scrypt's own does in words.
type thrifty struct{ *age.ScryptIdentity }

func (b thrifty) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != "scrypt" || len(s.Args) != 2 {
			continue
		}
		if n, err := strconv.Atoi(s.Args[1]); err == nil && n > workFactor {
			return nil, fmt.Errorf("%w: work factor %d, of at most %d", wire.ErrTooLarge, n, workFactor)
		}
	}
	return b.ScryptIdentity.Unwrap(stanzas)
}
