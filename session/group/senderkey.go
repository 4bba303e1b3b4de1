package group

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// kindSenderKey is the kind of the records of sender keys: by user, and device and
// distribution id; and of their index, by user and device.
const kindSenderKey = "senderkey"

func indexKey(sender session.Address) keystore.Key {
	return keystore.Key{Kind: kindSenderKey, Owner: sender.User, Name: strconv.FormatUint(uint64(sender.Device), 10)}
}

func senderKey(sender session.Address, id DistributionID) keystore.Key {
	var buf [64]byte // every name fits
	name := strconv.AppendUint(buf[:0], uint64(sender.Device), 10)
	name = id.append(append(name, ','))
	return keystore.Key{Kind: kindSenderKey, Owner: sender.User, Name: string(name)}
}

// errRaw reports a Device whose plaintexts are not Contents: there is no place for
// a distribution message in them.
var errRaw = fmt.Errorf("%w: groups need Options.Content", session.ErrMalformed)

// errForOne reports what must not go to all alike.
var errForOne = fmt.Errorf("%w: content for one device", session.ErrMalformed)

// maxUnknown bounds how often a message is encrypted anew because nobody knows
// whether it was.
const maxUnknown = 16

// Distribution returns the message that gives others the own sender key of id,
// from its next message on: what was encrypted before they cannot read. The first
// call makes the key. It is secret, and goes in session.Content.Distribution to one
// device at a time.
//
// Errors: ErrMalformed without Options.Content; session.ErrCorrupt; those of the
// store.
func (g *Groups) Distribution(ctx context.Context, id DistributionID) ([]byte, error) {
	if !g.d.ContentMode() {
		return nil, errRaw
	}
	if err := g.ids.lock(ctx, id); err != nil {
		return nil, err
	}
	defer g.ids.unlock(ctx, id)
	var out []byte
	err := g.d.Update(ctx, nil, func(t *session.Tx) error {
		var err error
		out, err = g.distribution(t, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Encrypt encrypts plaintext, an encoded Content as Device.Encrypt takes it, with
// the own sender key of id: a message of session.TypeSenderKey for all who have the
// key. In a transaction of the app's it is empty until that is committed. A
// session.Gate is not asked, and puts nothing into the Content: it was asked when the
// key was given to each of them. Send asks it before every message.
//
// Errors: ErrMalformed for what is no Content, or a copy for other devices, or has
// a Distribution, and without Options.Content; ErrNoSenderKey before the first
// Distribution; session.ErrTooLarge; session.ErrExhausted; session.ErrCorrupt; those
// of the store. After an error no ciphertext leaves. The state is as before, but for
// keystore.ErrCommitUnknown, after which messages may have been passed over.
func (g *Groups) Encrypt(ctx context.Context, id DistributionID, plaintext []byte) (*session.Message, error) {
	padded, err := g.outgoing(plaintext)
	if err != nil {
		return nil, err
	}
	if err := g.ids.lock(ctx, id); err != nil {
		return nil, err
	}
	defer g.ids.unlock(ctx, id)
	made := new(session.Message)
	if err := g.anew(ctx, func(t *session.Tx) error {
		m, err := g.encrypt(t, id, padded)
		if err == nil {
			*made = *m
		}
		return err
	}); err != nil {
		return nil, err
	}
	return withhold(ctx, made), nil
}

// outgoing returns what is encrypted of a plaintext: with padding.
func (g *Groups) outgoing(plaintext []byte) ([]byte, error) {
	if !g.d.ContentMode() {
		return nil, errRaw
	}
	c, err := wire.ParseContent(plaintext)
	switch {
	case err != nil:
		return nil, err
	case c.Sync != nil, len(c.Distribution) > 0:
		return nil, errForOne
	}
	return wire.AppendPadded(nil, plaintext), nil
}

// anew runs f as one operation, and again when nobody knows whether it was
// committed: the next one encrypts with what is there then, and what the one
// before made is dropped.
func (g *Groups) anew(ctx context.Context, f func(*session.Tx) error) error {
	for again := 1; ; again++ {
		err := g.d.Update(ctx, nil, f)
		if !errors.Is(err, keystore.ErrCommitUnknown) || again == maxUnknown || keystore.PendingIn(ctx) != nil {
			return err
		}
	}
}

// withhold returns a message: at once, or, in a transaction of the app's, an empty
// one that is filled when that was committed.
func withhold(ctx context.Context, made *session.Message) *session.Message {
	pending := keystore.PendingIn(ctx)
	if pending == nil {
		return made
	}
	out := new(session.Message)
	pending.Hold(func() { *out = *made })
	return out
}

// load returns the states in a record, newest first; ok is false where there is no
// record.
func load(t *session.Tx, k keystore.Key) (states []wire.SenderKeyState, ok bool, err error) {
	body, ok, err := t.Get(k)
	if err != nil || !ok {
		return nil, false, err
	}
	rec, err := wire.ParseSenderKeyRecord(body)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", session.ErrCorrupt, err)
	}
	return rec.States, true, nil
}

// store puts a record.
func store(t *session.Tx, k keystore.Key, states []wire.SenderKeyState) error {
	return t.Encode(k, func(dst []byte) []byte {
		return wire.AppendSenderKeyRecord(dst, &wire.SenderKeyRecord{States: states})
	})
}

// own returns the states of the own sender key, and the key of their record. Errors
// are ErrNoSenderKey, and ErrCorrupt for a record without a state.
func (g *Groups) own(t *session.Tx, id DistributionID) ([]wire.SenderKeyState, keystore.Key, error) {
	k := senderKey(g.d.Address(), id)
	states, ok, err := load(t, k)
	switch {
	case err != nil:
	case !ok:
		err = ErrNoSenderKey
	case len(states) == 0:
		err = fmt.Errorf("%w: sender key without a state", session.ErrCorrupt)
	}
	return states, k, err
}

// distribution is Distribution within an operation, whose outcome then depends on
// the key's staying where it is.
func (g *Groups) distribution(t *session.Tx, id DistributionID) ([]byte, error) {
	states, k, err := g.own(t, id)
	if errors.Is(err, ErrNoSenderKey) {
		if err = g.rotate(t, id); err == nil {
			states, k, err = g.own(t, id)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := t.Check(k); err != nil {
		return nil, err
	}
	return tell(&states[0], id)
}

// encrypt is Encrypt within an operation, of a plaintext with its padding. Nothing
// of what it returns may leave unless the operation was committed.
func (g *Groups) encrypt(t *session.Tx, id DistributionID, padded []byte) (*session.Message, error) {
	states, k, err := g.own(t, id)
	if err != nil {
		return nil, err
	}
	s := &states[0]
	key, err := g.signing.key(id, s)
	if err != nil {
		return nil, err
	}
	b, next, err := seal(s, id, padded, key)
	if err != nil {
		return nil, err
	}
	states[0] = next
	err = store(t, k, states)
	clear(next.ChainKey)
	if err != nil {
		return nil, err
	}
	return &session.Message{Type: session.TypeSenderKey, Bytes: b}, nil
}

// rotate replaces the own sender key of id within an operation, or makes the
// first: another chain, another signing key. The error is keystore.ErrNewerFormat
// for a record that must not be touched, or of the store.
func (g *Groups) rotate(t *session.Tx, id DistributionID) error {
	k := senderKey(g.d.Address(), id)
	if _, _, err := t.Get(k); err != nil && !errors.Is(err, session.ErrCorrupt) {
		return err
	}
	var coins [4 + 32]byte
	rand.Read(coins[:])
	chainKey := [32]byte(coins[4:])
	s := newState(binary.BigEndian.Uint32(coins[:4]), &chainKey, keys.GenerateSigningKey())
	err := store(t, k, []wire.SenderKeyState{s})
	clear(coins[:])
	clear(chainKey[:])
	clear(s.ChainKey)
	clear(s.SigningPrivate)
	return err
}

// current tells where the own sender key of id is: its chain, and how many
// messages it has encrypted; ok is false where there is none. Errors are
// session.ErrCorrupt and those of the store. The outcome of the operation does not
// depend on it.
func (g *Groups) current(t *session.Tx, id DistributionID) (chainID, iteration uint32, ok bool, err error) {
	states, _, err := g.own(t, id)
	switch {
	case errors.Is(err, ErrNoSenderKey):
		return 0, 0, false, nil
	case err != nil:
		return 0, 0, false, err
	}
	return states[0].ChainID, states[0].Iteration, true, nil
}
