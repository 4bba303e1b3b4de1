package person

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What keeps messages from being sent outlives the process: another identity key
// and what is wrong with what the relay shows are in records, and what is asked the
// gate knows.

// The kinds of those records. Their owner is the name of whom they are about.
const (
	kindChanged = "changed" // an identity key that is not accepted, by device
	kindAlarm   = "alarm"   // what is wrong, as a wording
)

func (n notebook) about(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: n.scope, Kind: kind, Owner: owner, Name: name}
}

// erase removes those records of keys that are there.
func (n notebook) erase(ctx context.Context, all ...keystore.Key) error {
	recs, err := n.store.Load(ctx, all...)
	if err != nil {
		return err
	}
	var changes []keystore.Change
	for _, rec := range recs {
		if rec.Version != 0 {
			changes = append(changes, keystore.Change{Op: keystore.Delete, Key: rec.Key, Expect: rec.Version})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	_, err = n.store.Commit(ctx, changes...)
	if raced := (*keystore.ConflictError)(nil); errors.As(err, &raced) {
		return nil // there is something newer
	}
	return err
}

// A changedKey is an identity key that was shown of a device, and not accepted.
type changedKey struct {
	Device uint32 `json:"device"`
	Key    []byte `json:"key"`
}

// recall takes up the changed keys that were shown before this process started.
func (p *Person) recall(ctx context.Context) error {
	for rec, err := range p.notes.store.List(ctx, p.notes.scope, kindChanged, "") {
		if err != nil {
			return err
		}
		var c changedKey
		if err := json.Unmarshal(rec.Value, &c); err != nil {
			return fmt.Errorf("%w: a changed key", keystore.ErrCorrupt)
		}
		key, err := keys.ParseIdentityKey(c.Key)
		if err != nil {
			return fmt.Errorf("%w: a changed key", keystore.ErrCorrupt)
		}
		a := session.Address{User: post.UserOf(rec.Key.Owner), Device: c.Device}
		id, err := p.device.PeerIdentity(ctx, a)
		if err != nil {
			return err
		}
		if !id.Accepted.Equal(key) { // else the process stopped before it was noted
			p.changed[a] = key
		}
	}
	return nil
}

// noteChange stores and shows that somebody has another identity key than before.
func (p *Person) noteChange(ctx context.Context, a session.Address, key keys.IdentityKey, at time.Time) error {
	p.mu.Lock()
	p.changed[a] = key
	p.mu.Unlock()
	name := post.NameOf(a.User)
	k := p.notes.about(kindChanged, name, fmt.Sprint(a.Device))
	value, err := json.Marshal(changedKey{a.Device, key.Bytes()})
	if err != nil {
		return err
	}
	recs, err := p.notes.store.Load(ctx, k)
	if err != nil {
		return err
	}
	if !bytes.Equal(recs[0].Value, value) {
		lines := func(string) []string { return []string{Digits(key)} }
		n := announced(name, ChangedEvent, saying(changedText, lines, name)).at(at)
		if err := p.notes.announce(ctx, n, keystore.Change{Op: keystore.Put, Key: k, Expect: recs[0].Version, Value: value}); err != nil {
			return err
		}
	}
	p.screen.Show(Event{Kind: ChangedEvent, Peer: name, Text: Digits(key)})
	return nil
}

// settleChange forgets a changed key, which is accepted now.
func (p *Person) settleChange(ctx context.Context, a session.Address, key keys.IdentityKey) error {
	p.mu.Lock()
	delete(p.changed, a)
	p.accepted[post.NameOf(a.User)] = key
	p.mu.Unlock()
	return p.notes.erase(ctx, p.notes.about(kindChanged, post.NameOf(a.User), fmt.Sprint(a.Device)))
}

// An alarm is what is wrong with what the relay shows of somebody, until it shows
// something that is right.
type alarm struct {
	At   time.Time `json:"at"`
	Said wording   `json:"said"`
}

// alarm returns that about somebody, nil for none, and the version of its record.
func (n notebook) alarm(ctx context.Context, name string) (*alarm, uint64, error) {
	recs, err := n.store.Load(ctx, n.about(kindAlarm, name, ""))
	if err != nil || recs[0].Version == 0 {
		return nil, 0, err
	}
	x := new(alarm)
	if json.Unmarshal(recs[0].Value, x) != nil {
		return nil, 0, fmt.Errorf("%w: an alarm", keystore.ErrCorrupt)
	}
	return x, recs[0].Version, nil
}

// raise stores an alarm, and announces it where it says something else than before.
func (p *Person) raise(ctx context.Context, name string, s wording) error {
	old, version, err := p.notes.alarm(ctx, name)
	if err != nil || old != nil && old.Said["en"].Text == s["en"].Text {
		return err
	}
	n := announced(name, HostingEvent, s)
	value, err := json.Marshal(alarm{n.At, s})
	if err != nil {
		return err
	}
	err = p.notes.announce(ctx, n, keystore.Change{Op: keystore.Put, Key: p.notes.about(kindAlarm, name, ""), Expect: version, Value: value})
	if raced := (*keystore.ConflictError)(nil); errors.As(err, &raced) {
		return nil // another one was raised meanwhile
	}
	return err
}

// calm ends the alarms about people, of whom the relay shows what is right.
func (p *Person) calm(ctx context.Context, names ...string) error {
	var all []keystore.Key
	for _, name := range names {
		all = append(all, p.notes.about(kindAlarm, name, ""))
	}
	if len(all) == 0 {
		return nil
	}
	return p.notes.erase(ctx, all...)
}

// standing returns what the gate says to a message to somebody, which is not sent:
// nil also where the relay is to be asked first.
func (p *Person) standing(ctx context.Context, name string) (refused error, err error) {
	user := post.UserOf(name)
	label, err := p.gate.Label(ctx, p.own, user)
	if err != nil || label.State == "CURRENT" || label.State == "NARROWER" {
		return nil, err
	}
	err = p.own.Update(ctx, nil, func(t *session.Tx) error {
		var records []keystore.Record
		for _, key := range p.gate.Keys([]string{user}) {
			body, ok, err := t.Get(key)
			if err != nil {
				return err
			}
			rec := keystore.Record{Key: key}
			if ok {
				rec.Version, rec.Value = 1, append([]byte{}, body...)
			}
			records = append(records, rec)
		}
		refused = nil
		if label.State != "UNATTESTED" || !p.gate.Wants(t.Now(), records, user) {
			refused = p.gate.Send(t.Now(), records, session.Address{User: user, Device: 1}, keys.IdentityKey{})
		}
		return nil
	})
	if errors.Is(refused, hosting.ErrLabelMismatch) && label.State != "CONFLICT" {
		refused = nil // it is allowed, but for the device that was made up
	}
	return refused, err
}

// questionsAbout returns what is asked about people, by name: what the gate asks now,
// whether or not anything was tried. From then on consent answers it.
func (p *Person) questionsAbout(ctx context.Context, names ...string) (map[string]question, error) {
	if p.gate == nil {
		return nil, nil
	}
	for _, name := range names {
		refused, err := p.standing(ctx, name)
		if err != nil {
			return nil, err
		}
		var asks *hosting.ConsentRequiredError
		if !errors.As(refused, &asks) { // what a send was asked meanwhile stays
			continue
		}
		no, err := p.saidNo(ctx, asks)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		if old, known := p.questions[name]; !known || old.Token != asks.Token {
			p.questions[name] = question{asks, no}
		}
		p.mu.Unlock()
	}
	return p.asked(names...), nil
}

// saidNo reports whether the last answer to a question was no, which in the
// state CONFLICT the ledger alone tells.
func (p *Person) saidNo(ctx context.Context, e *hosting.ConsentRequiredError) (bool, error) {
	if e.State != "CONFLICT" {
		return e.State == "DECLINED", nil
	}
	var last *hosting.Consent
	for c, err := range p.gate.Consents(ctx, p.own) {
		switch {
		case errors.Is(err, session.ErrCorrupt), errors.Is(err, keystore.ErrNewerFormat):
		case err != nil:
			return false, err
		case c.Account == e.Account && c.From == e.From && c.To == e.To && (last == nil || c.At.After(last.At)):
			last = c
		}
	}
	return last != nil && last.Answer == hosting.No, nil
}
