package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// safetyNumber returns what the conversation with somebody looks like from here,
// and the key of theirs that it is about. On the other side it looks the same if
// and only if nobody is in between.
func (p *person) safetyNumber(ctx context.Context, name string) (*fingerprint.Fingerprint, keys.IdentityKey, error) {
	id, err := p.device.PeerIdentity(ctx, session.Address{User: userOf(name), Device: 1})
	if err != nil {
		return nil, id.Accepted, err
	}
	if id.Accepted.IsZero() {
		return nil, id.Accepted, errors.New("nothing is known of " + name + " yet")
	}
	f, err := fingerprint.New(
		fingerprint.Party{ID: fingerprint.StableID(p.me.User), Key: p.device.Identity()},
		fingerprint.Party{ID: fingerprint.StableID(userOf(name)), Key: id.Accepted}, nil)
	return f, id.Accepted, err
}

// number shows the safety number with somebody, as digits and as a code.
func (p *person) number(ctx context.Context, name string) error {
	f, _, err := p.safetyNumber(ctx, name)
	if err != nil {
		return err
	}
	p.screen.show(event{Kind: numberEvent, Peer: name, Text: f.String(), Code: f.Bytes()})
	return nil
}

// verify compares the safety number with what somebody's device shows, the digits
// or what is in the code, and notes that it is the same.
func (p *person) verify(ctx context.Context, name, theirs string) error {
	f, key, err := p.safetyNumber(ctx, name)
	if err != nil {
		return err
	}
	if err := compare(f, strings.Join(strings.Fields(theirs), "")); err != nil {
		return err
	}
	list, err := p.relay.Devices(ctx, userOf(name))
	if err != nil {
		return err
	}
	for _, d := range list { // all of them have the one key
		a := session.Address{User: userOf(name), Device: d.Device}
		id, err := p.device.PeerIdentity(ctx, a)
		if err == nil && id.Accepted.Equal(key) {
			err = p.device.Verify(ctx, a, key, true)
		}
		if err != nil {
			return err
		}
	}
	p.screen.show(event{Kind: verifiedEvent, Peer: name})
	return nil
}

// compare is nil for the digits of f, and for a code that the other side's f would
// show.
func compare(f *fingerprint.Fingerprint, theirs string) error {
	if digits := strings.ReplaceAll(f.String(), " ", ""); len(theirs) == len(digits) {
		if theirs != digits {
			return errors.New("the digits differ: somebody may be in between; do not trust this conversation")
		}
		return nil
	}
	code, err := hex.DecodeString(theirs)
	if err != nil {
		return errors.New("/verify NAME wants the 60 digits that the other one sees, or what the code there says")
	}
	switch result, err := f.Compare(code); {
	case err != nil:
		return err
	case result != fingerprint.Match:
		return fmt.Errorf("the code does not match (%v): somebody may be in between; do not trust this conversation", result)
	}
	return nil
}
