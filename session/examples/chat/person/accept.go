package person

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Accept accepts the identity key of someone that was shown as changed.
func (p *Person) Accept(ctx context.Context, name string) error {
	return p.accept(ctx, name, p.ChangedKeys(name))
}

// AcceptKey is Accept of the key that a Conversation shows, and of no other, which may
// have come meanwhile.
func (p *Person) AcceptKey(ctx context.Context, name, digits string) error {
	changed := p.ChangedKeys(name)
	maps.DeleteFunc(changed, func(_ session.Address, key keys.IdentityKey) bool { return Digits(key) != digits })
	return p.accept(ctx, name, changed)
}

func (p *Person) accept(ctx context.Context, name string, changed map[session.Address]keys.IdentityKey) error {
	if len(changed) == 0 {
		return plainly("nothing", noKeyText, name)
	}
	for a, key := range changed {
		if err := p.device.AcceptIdentity(ctx, a, key); err != nil {
			return err
		}
		p.mu.Lock()
		p.accepted[name] = key
		p.mu.Unlock()
	}
	if err := p.noteAccepted(ctx, name, changed); err != nil {
		return err
	}
	return p.agreeTo(ctx, name)
}

// noteAccepted forgets that keys of somebody were not accepted, and announces that they are.
func (p *Person) noteAccepted(ctx context.Context, name string, changed map[session.Address]keys.IdentityKey) error {
	var all []keystore.Key
	for a := range changed {
		all = append(all, p.notes.about(kindChanged, name, fmt.Sprint(a.Device)))
	}
	recs, err := p.notes.store.Load(ctx, all...)
	if err != nil {
		return err
	}
	var forget []keystore.Change
	for _, rec := range recs {
		if rec.Version != 0 {
			forget = append(forget, keystore.Change{Op: keystore.Delete, Key: rec.Key, Expect: rec.Version})
		}
	}
	if err := p.notes.announce(ctx, announced(name, AgreedEvent, saying(acceptedText, nil, name)), forget...); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.changed, func(a session.Address, key keys.IdentityKey) bool { return changed[a].Equal(key) })
	return nil
}

// agreeTo settles what was answered by accepting an identity key, before anything is
// sent: that the account signs with it.
func (p *Person) agreeTo(ctx context.Context, name string) error {
	defer p.settle(name)
	if p.gate == nil {
		return nil
	}
	s, err := p.standing(ctx, name)
	var consent *hosting.ConsentRequiredError
	if err != nil || !errors.As(s.refused, &consent) || !p.trusts(ctx, consent) {
		return err
	}
	return p.gate.Consent(ctx, p.own, consent.Account, consent.Token, hosting.ByPolicy)
}
