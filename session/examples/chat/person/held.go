package person

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
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
	noted := map[session.Address]keys.IdentityKey{}
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
		if id.Accepted.Equal(key) { // and the process stopped before it was noted
			noted[a] = key
		} else {
			p.changed[a] = key
		}
	}
	for a, key := range noted { // what cannot be noted now is at the next start
		_ = p.noteAccepted(ctx, post.NameOf(a.User), map[session.Address]keys.IdentityKey{a: key})
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

// reconsider forgets those changed keys of somebody that are not in force any more, as
// of a bundle that somebody else made up: when something is sent next, it is seen
// which key the relay shows then.
func (p *Person) reconsider(ctx context.Context, name string) error {
	for a := range p.ChangedKeys(name) {
		id, err := p.device.PeerIdentity(ctx, a)
		if err != nil {
			return err
		}
		if !id.Seen.IsZero() && !id.Seen.Equal(id.Accepted) {
			continue // a message came under it
		}
		if err := p.forgetChange(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// forgetChange forgets a changed key.
func (p *Person) forgetChange(ctx context.Context, a session.Address) error {
	p.mu.Lock()
	delete(p.changed, a)
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

// A standing is how it stands with messages to somebody.
type standing struct {
	name    string
	state   string // of the label
	refused error  // what the gate says to a message; nil also where the relay is to be asked first
}

// standing asks the gate, and sends nothing.
func (p *Person) standing(ctx context.Context, name string) (standing, error) {
	user := post.UserOf(name)
	label, err := p.gate.Label(ctx, p.own, user)
	s := standing{name: name, state: string(label.State)}
	if err != nil || s.allowed() {
		return s, err
	}
	err = p.own.Update(ctx, nil, func(t *session.Tx) error {
		records, err := recordsFor(t, p.gate.Keys([]string{user}))
		if err != nil {
			return err
		}
		s.refused = nil
		if s.state != "UNATTESTED" || !p.gate.Wants(t.Now(), records, user) {
			s.refused = p.gate.Send(t.Now(), records, session.Address{User: user, Device: 1}, keys.IdentityKey{})
		}
		return nil
	})
	if errors.Is(s.refused, hosting.ErrLabelMismatch) && s.state != "CONFLICT" {
		s.refused = nil // it is allowed, but for the device that was made up
	}
	return s, err
}

func (s *standing) allowed() bool { return s.state == "CURRENT" || s.state == "NARROWER" }

// recordsFor returns the records that a gate is asked with.
func recordsFor(t *session.Tx, all []keystore.Key) (out []keystore.Record, err error) {
	for _, key := range all {
		body, ok, err := t.Get(key)
		if err != nil {
			return nil, err
		}
		rec := keystore.Record{Key: key}
		if ok {
			rec.Version, rec.Value = 1, append([]byte{}, body...)
		}
		out = append(out, rec)
	}
	return out, nil
}

// question takes note of what the gate asks, whether or not anything was tried, so
// that consent answers it; and of what it asks no more. What a send was asked besides
// stays.
func (p *Person) question(ctx context.Context, s *standing) error {
	if s.allowed() && len(p.asked(s.name)) > 0 {
		p.settle(s.name)
	}
	var asks *hosting.ConsentRequiredError
	if !errors.As(s.refused, &asks) {
		return nil
	}
	no, err := p.saidNo(ctx, asks)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, known := p.questions[s.name]; !known || old.Token != asks.Token {
		p.questions[s.name] = question{asks, no}
	}
	return nil
}

// saidNo reports whether the last answer to a question was no, which in the
// state CONFLICT the ledger alone tells.
func (p *Person) saidNo(ctx context.Context, e *hosting.ConsentRequiredError) (bool, error) {
	if e.State != "CONFLICT" {
		return e.State == "DECLINED", nil
	}
	all, err := p.answers(ctx, func(c *hosting.Consent) bool { return c.Account == e.Account && c.From == e.From && c.To == e.To })
	return all[e.Account] != nil && all[e.Account].Answer == hosting.No, err
}
