package group

import (
	"context"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Decrypt is Device.Decrypt for messages of groups, too. The result is stored with
// what it changed, and comes again until it is acknowledged.
//
// A message of a session may bring a sender key in its Content: it is taken in by
// the same commit, for that device and the identity key of the message, and for
// nobody else. One under another key than the accepted one takes nothing away from
// others: where it would, the message is delivered without it.
//
// A session.TypeSenderKey is read with the sender key that it names. Identity is
// the key under which that came, and DecryptOptions.Identity is held against it.
//
// Errors: those of Device.Decrypt; of a sender key in a message, ErrMalformed,
// session.ErrVersion and keys.ErrKey; of a message of a group, ErrMalformed,
// session.ErrVersion and session.ErrTooLarge for its bytes, ErrNoSenderKey, also
// for one from before the sender key that was given, IdentityMismatchError, keys.ErrSignature, session.ErrDuplicate, also for one of
// this device's own, session.ErrTooFar for more than 25,000 messages ahead,
// session.ErrExhausted, session.ErrAuth and session.ErrCorrupt. After an error
// everything is as before, and the message may be tried again; after
// keystore.ErrCommitUnknown it may have been decrypted, and is then Redelivered.
func (g *Groups) Decrypt(ctx context.Context, from session.Address, m *session.Message, o *session.DecryptOptions) (*session.Received, error) {
	from, err := from.Canonical()
	if err != nil {
		return nil, err
	}
	if err := g.senders.lock(ctx, from); err != nil {
		return nil, err
	}
	defer g.senders.unlock(ctx, from)
	if m != nil && m.Type == session.TypeSenderKey {
		return g.decrypt(ctx, from, m, o)
	}
	var out *session.Received
	err = g.d.Update(ctx, []session.Address{from}, func(t *session.Tx) error {
		out, err = g.pairwise(t, from, m, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// decrypt decrypts a message of a group. It touches no session, so that it does
// without the lock of the Device, and those who have that may go on.
func (g *Groups) decrypt(ctx context.Context, from session.Address, m *session.Message, o *session.DecryptOptions) (*session.Received, error) {
	in, err := g.inbound(from, m, o)
	if err != nil {
		return nil, err
	}
	if err := g.d.Update(ctx, nil, in.run); err != nil {
		return nil, err
	}
	return in.out, nil
}

// pairwise decrypts a message of a session, and takes in the sender key in it.
func (g *Groups) pairwise(t *session.Tx, from session.Address, m *session.Message, o *session.DecryptOptions) (*session.Received, error) {
	r, err := t.Decrypt(from, m, o)
	if err != nil || r.Content == nil || len(r.Content.Distribution) == 0 || from == g.d.Address() {
		return r, err
	}
	d, err := wire.ParseSenderKeyDistributionMessage(r.Content.Distribution)
	if err != nil {
		return nil, err
	}
	s, err := distributed(&d, r.Identity.Bytes())
	if err != nil {
		return nil, err
	}
	return r, take(t, r, DistributionID(d.Distribution), &s)
}

// inbound reads the bytes of a message of a group, before anything is loaded.
func (g *Groups) inbound(from session.Address, m *session.Message, o *session.DecryptOptions) (*inbound, error) {
	msg, err := parse(m)
	switch {
	case err != nil:
		return nil, err
	case from == g.d.Address():
		return nil, fmt.Errorf("%w: own message", session.ErrDuplicate)
	}
	in := &inbound{from: from, padded: g.d.ContentMode(), raw: m.Bytes, msg: msg, signing: &g.signing,
		record: senderKey(from, DistributionID(msg.Distribution))}
	if o != nil {
		in.opts = *o
	}
	return in, nil
}

// An inbound is a message of a group on its way through Decrypt.
type inbound struct {
	wire.Secret

	from    session.Address
	padded  bool
	opts    session.DecryptOptions
	raw     []byte
	msg     wire.SenderKeyMessage
	record  keystore.Key
	signing *signing
	out     *session.Received

	receipt receipt // of one run
}

// run decrypts the message and stages it, or finds it staged: that is out.
func (in *inbound) run(t *session.Tx) (err error) {
	if in.out, err = t.Staged(in.from, in.raw, in.record); err != nil {
		return err
	}
	if in.out != nil {
		return in.require(in.out.Identity)
	}
	if in.out, err = in.decrypt(t); err != nil {
		return t.Late(in.from, in.raw, err)
	}
	return t.Stage(in.out, in.raw)
}

// decrypt decrypts the message with the state that it names.
func (in *inbound) decrypt(t *session.Tx) (*session.Received, error) {
	states, _, err := load(t, in.record)
	if err != nil {
		return nil, err
	}
	at := find(states, in.msg.ChainID)
	if at < 0 {
		return nil, ErrNoSenderKey
	}
	s := &states[at]
	identity, err := identityOf(s)
	if err != nil {
		return nil, err
	}
	if err := in.require(identity); err != nil {
		return nil, err
	}
	in.receipt = receipt{}
	defer in.receipt.clear()
	plaintext, next, err := open(&in.receipt, in.signing, s, &in.msg)
	if err != nil {
		return nil, err
	}
	if in.padded {
		if plaintext, err = wire.TrimPadding(plaintext); err != nil {
			return nil, err
		}
	}
	r := &session.Received{From: in.from, Identity: identity, Plaintext: plaintext, Expires: in.opts.Expires}
	states[at] = next
	return r, store(t, in.record, states)
}

// identityOf returns the identity key that a state came under; the zero key for
// one of which it is not known.
func identityOf(s *wire.SenderKeyState) (keys.IdentityKey, error) {
	if len(s.Identity) == 0 {
		return keys.IdentityKey{}, nil
	}
	k, err := keys.ParseIdentityKey(s.Identity)
	if err != nil {
		return k, fmt.Errorf("%w: identity key of a sender key", session.ErrCorrupt)
	}
	return k, nil
}

// require holds the sender's key against the one the caller demands.
func (in *inbound) require(key keys.IdentityKey) error {
	if want := in.opts.Identity; want != nil && !want.Equal(key) {
		return &session.IdentityMismatchError{Address: in.from, Expected: *want, Seen: key}
	}
	return nil
}
