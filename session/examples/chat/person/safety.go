package person

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// safetyNumber returns what the conversation with somebody looks like from here,
// and the key of theirs that it is about. On the other side it looks the same if
// and only if nobody is in between.
func (p *Person) safetyNumber(ctx context.Context, name string) (*fingerprint.Fingerprint, keys.IdentityKey, error) {
	id, err := p.firstIdentity(ctx, name)
	if err != nil {
		return nil, id.Accepted, err
	}
	if id.Accepted.IsZero() {
		return nil, id.Accepted, plainly("nothing", nothingYetText, name)
	}
	f, err := fingerprint.New(
		fingerprint.Party{ID: fingerprint.StableID(p.me.User), Key: p.device.Identity()},
		fingerprint.Party{ID: fingerprint.StableID(post.UserOf(name)), Key: id.Accepted}, nil)
	return f, id.Accepted, err
}

// SafetyNumber returns the safety number with somebody, as digits and as a code for
// the other side to scan, and whether it was compared.
func (p *Person) SafetyNumber(ctx context.Context, name string) (digits string, code []byte, verified bool, err error) {
	f, key, err := p.safetyNumber(ctx, name)
	if err != nil {
		return "", nil, false, err
	}
	id, err := p.firstIdentity(ctx, name)
	return f.String(), f.Bytes(), id.Verified && id.Accepted.Equal(key), err
}

// firstIdentity returns the identity of the first of somebody's devices.
func (p *Person) firstIdentity(ctx context.Context, name string) (session.PeerIdentity, error) {
	a, err := p.firstDevice(ctx, name)
	if err != nil {
		return session.PeerIdentity{}, err
	}
	return p.device.PeerIdentity(ctx, a)
}

// Number shows the safety number with somebody, as digits and as a code.
func (p *Person) Number(ctx context.Context, name string) error {
	f, _, err := p.safetyNumber(ctx, name)
	if err != nil {
		return err
	}
	p.screen.Show(Event{Kind: NumberEvent, Peer: name, Text: f.String(), Code: f.Bytes()})
	return nil
}

// Verify compares the safety number with what somebody's device shows, the digits
// or what is in the code, and notes that it is the same.
func (p *Person) Verify(ctx context.Context, name, theirs string) error {
	f, key, err := p.safetyNumber(ctx, name)
	if err != nil {
		return err
	}
	if err := compare(f, strings.Join(strings.Fields(theirs), "")); err != nil {
		return err
	}
	list, err := p.relay.Devices(ctx, post.UserOf(name))
	if err != nil {
		return err
	}
	for _, d := range list { // all of them have the one key
		a := session.Address{User: post.UserOf(name), Device: d.Device}
		id, err := p.device.PeerIdentity(ctx, a)
		if err == nil && id.Accepted.Equal(key) {
			err = p.device.Verify(ctx, a, key, true)
		}
		if err != nil {
			return err
		}
	}
	if err := p.notes.announce(ctx, announced(name, VerifiedEvent, saying(verifiedText, nil, name))); err != nil {
		return err
	}
	p.screen.Show(Event{Kind: VerifiedEvent, Peer: name})
	return nil
}

// ErrNumber is that what is to be compared is no safety number.
var ErrNumber = errors.New("those are not the 60 digits that the other one sees, nor what the code there says")

// compare is nil for the digits of f, and for a code that the other side's f would
// show.
func compare(f *fingerprint.Fingerprint, theirs string) error {
	if digits := strings.ReplaceAll(f.String(), " ", ""); len(theirs) == len(digits) {
		if theirs != digits {
			return plainly("unequal", unequalText)
		}
		return nil
	}
	code, err := hex.DecodeString(theirs)
	if err != nil {
		return ErrNumber
	}
	switch result, err := f.Compare(code); {
	case err != nil:
		return err
	case result != fingerprint.Match:
		return plainly("unequal", noMatchText, result)
	}
	return nil
}
