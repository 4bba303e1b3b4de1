package session

import (
	"context"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// staleAfter is how long an unanswered session is used for sending.
const staleAfter = 30 * 24 * time.Hour

// A MessageType says what the bytes of a Message are; it travels beside them
// (wire-core, Section 6.6). The zero value is none.
type MessageType byte

// The types of messages between two devices.
const (
	TypeSignal MessageType = MessageType(wire.TypeSignal) // within a session
	TypePreKey MessageType = MessageType(wire.TypePreKey) // begins a session
	// TypeSealed is an envelope of package sealed, in one piece for one device.
	TypeSealed MessageType = 6
	// TypeSenderKey is a message of package group, to all who have the sender key.
	TypeSenderKey MessageType = MessageType(wire.TypeSenderKey)
	// TypePlaintext asks for a message again that could not be decrypted. It is
	// not encrypted, and says nothing that whoever carries the messages does not
	// know. RequestRetry makes one, Resend takes it.
	TypePlaintext MessageType = MessageType(wire.TypePlaintext)
)

// A Message is a ciphertext and its type. The zero value is none.
type Message struct {
	Type  MessageType
	Bytes []byte
}

// Begin begins a session with a peer device from its bundle; it becomes the
// current one, and one that was current is archived. The first identity key
// of a device is trusted. A Gate sees the manifest that comes with the bundle;
// events tell of what it does not believe.
//
// Errors: ErrMalformed for a bundle of another device, or of this one's own
// prekeys; ErrBlocked;
// UntrustedIdentityError for another identity key than the accepted one;
// ErrSignature and ErrZeroAgreement of package x3dh.
func (d *Device) Begin(ctx context.Context, peer Address, bundle *x3dh.Bundle) error {
	peer, err := peer.canonical()
	if err != nil {
		return err
	}
	if bundle == nil || bundle.DeviceID != peer.Device {
		return fmt.Errorf("%w: no bundle of device %d", ErrMalformed, peer.Device)
	}
	return d.run(ctx, peer.String(), func(t *Tx) error {
		if err := t.load(t.sessionKeys(peer)...); err != nil {
			return err
		}
		if err := t.mayReach(peer.User); err != nil {
			return err
		}
		tr, err := t.trust(peer)
		if err != nil {
			return err
		}
		if !tr.accepts(bundle.IdentityKey) {
			return tr.refuse(bundle.IdentityKey)
		}
		b, err := t.openBook(peer)
		if err != nil {
			return err
		}
		if reflects, err := t.reflects(bundle); err != nil {
			return err
		} else if reflects {
			return errReflects
		}
		s, err := d.initiate(peer, bundle, d.now())
		if err != nil {
			return err
		}
		if err := b.archiveCurrent(d.now()); err != nil {
			return err
		}
		b.renew(s)
		b.write()
		tr.rely(bundle.IdentityKey, d.now())
		return t.seeBundle(peer.User, bundle)
	})
}

// initiate makes the initiator's session from a bundle, at now in milliseconds.
func (d *Device) initiate(peer Address, bundle *x3dh.Bundle, now uint64) (*ratchet.Session, error) {
	a, err := x3dh.Initiate(d.identity, bundle)
	if err != nil {
		return nil, err
	}
	defer a.Clear()
	secret := a.Keys()
	defer clear(secret[:])
	pending := ratchet.Pending{
		SignedPreKeyID: bundle.SignedPreKey.ID,
		KEMPreKeyID:    bundle.KEMPreKey.ID,
		KEMCiphertext:  a.Ciphertext(),
		Created:        int64(now / 1000),
	}
	if bundle.PreKey != nil {
		pending.HasPreKey, pending.PreKeyID = true, bundle.PreKey.ID
	}
	p := d.params(peer, bundle.IdentityKey, bundle.RegistrationID, a.BaseKey())
	return ratchet.Initiate(&secret, p, bundle.SignedPreKey.Key, &pending)
}

func (d *Device) params(peer Address, remote keys.IdentityKey, regID uint32, base keys.PublicKey) *ratchet.Params {
	return &ratchet.Params{
		Local: d.identity.Public(), Remote: remote,
		LocalRegistrationID: d.regID, RemoteRegistrationID: regID,
		BaseKey: base,
		Self:    d.isSelf(peer, remote.Bytes()),
	}
}

// Encrypt encrypts plaintext, of 0 to 64 MiB, for a peer device on the current
// session. Until the peer's first answer the message is a TypePreKey. With
// Options.Content the plaintext is what Content.Bytes returns; with the padding
// that it gets it may have 64 MiB.
//
// Errors: ErrMalformed where it is no Content; ErrBlocked; ErrNoSession; ErrStale;
// UntrustedIdentityError while the newest identity key seen is not the accepted
// one; those of the gate; ErrTooLarge; ErrExhausted; ErrCorrupt;
// keystore.ErrCommitUnknown. After an error no ciphertext leaves. The state is
// as before, but for the last error, after which a counter may have been passed
// over.
func (d *Device) Encrypt(ctx context.Context, peer Address, plaintext []byte) (*Message, error) {
	peer, err := peer.canonical()
	if err != nil {
		return nil, err
	}
	content, err := d.outgoes(peer, plaintext)
	if err != nil {
		return nil, err
	}
	var out *Message
	err = d.run(ctx, peer.String(), func(t *Tx) error {
		if err := t.load(t.sessionKeys(peer)...); err != nil {
			return err
		}
		padded, err := t.outgoing(peer, plaintext, content)
		if err != nil {
			return err
		}
		m, err := d.encrypt(t, peer, padded)
		out = withhold(t, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// encrypt is Encrypt on loaded records.
func (d *Device) encrypt(t *Tx, peer Address, plaintext []byte) (*Message, error) {
	if err := t.mayReach(peer.User); err != nil {
		return nil, err
	}
	l := t.letter(peer)
	if err := l.open(); err != nil {
		return nil, err
	}
	if err := t.mayTransmit(peer, l.remote); err != nil {
		return nil, err
	}
	m, err := l.seal(plaintext)
	if err != nil {
		return nil, err
	}
	t.post(&l)
	return m, nil
}
