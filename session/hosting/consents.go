package hosting

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// An Answer is what becomes of a ConsentRequiredError. The zero value is none.
type Answer uint8

const (
	// Yes is the user's.
	Yes Answer = 1 + iota
	// No is the user's.
	No
	// ByPolicy is a yes by a rule that the app has, of which the user was not asked.
	ByPolicy
)

// A Consent is a line of the ledger: what was answered to which change. The zero
// value is none.
type Consent struct {
	Account  string
	From, To [32]byte // as in the ConsentRequiredError
	At       time.Time
	Answer   Answer
}

// Consent answers the question that has a token, in the record of the account and in
// the ledger, in one commit. After a yes the call goes through that was refused;
// after a no nothing is sent to the account until a yes.
//
// Errors: ErrLabelStale for a token of anything but the question there is now,
// ErrManifestExpired for a yes to a manifest whose time is over, ErrLabelMismatch
// for a Device of another account, session.ErrMalformed for a name or an Answer that
// is none, session.ErrCorrupt, keystore.ErrNewerFormat, and those of the store.
// After an error nothing changed, but for keystore.ErrCommitUnknown.
func (g *Gate) Consent(ctx context.Context, d *session.Device, account string, token [32]byte, a Answer) error {
	user, err := userName(account)
	if err != nil {
		return err
	}
	if a < Yes || a > ByPolicy {
		return fmt.Errorf("%w: answer", wire.ErrMalformed)
	}
	return g.update(ctx, d, func(t *session.Tx, now time.Time) error {
		k, err := g.load(t, user)
		if err != nil {
			return err
		}
		next := k.profile
		asked := next.record.at(now)
		from, to, _, _ := asked.change(now)
		if next.record, err = next.decide(user, token, a != No, now); err != nil {
			return err
		}
		if err := t.Put(hostingKey(user), next.bytes()); err != nil {
			return err
		}
		return t.Put(consentKey(user, to, now), a.bytes(from, to, now))
	})
}

// consentKey names a line of the ledger.
func consentKey(user string, to [32]byte, now time.Time) keystore.Key {
	return keystore.Key{Kind: kindConsent, Owner: user, Name: hex.EncodeToString(to[:]) + "," + strconv.FormatUint(stamp(now), 10)}
}

func (a Answer) bytes(from, to [32]byte, now time.Time) []byte {
	w := &wire.Consent{From: from[:], To: to[:], When: stamp(now), How: 1, Decision: 1}
	switch a {
	case No:
		w.Decision = 2
	case ByPolicy:
		w.How = 2
	}
	return wire.AppendConsent(nil, w)
}

// Consents yields the ledger, in no order. A record that is damaged is yielded as
// its error, session.ErrCorrupt or keystore.ErrNewerFormat, and the others follow; an
// error of the store comes last.
func (g *Gate) Consents(ctx context.Context, d *session.Device) iter.Seq2[*Consent, error] {
	return func(yield func(*Consent, error) bool) {
		for rec, err := range d.List(ctx, kindConsent) {
			var c *Consent
			if err == nil {
				c, err = readConsent(&rec)
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

func readConsent(rec *keystore.Record) (*Consent, error) {
	w, err := wire.ParseConsent(rec.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: consent record: %w", keystore.ErrCorrupt, err)
	}
	c := &Consent{Account: rec.Key.Owner, From: hash32(w.From), To: hash32(w.To), At: moment(w.When), Answer: Yes}
	switch {
	case w.Decision == 2:
		c.Answer = No
	case w.How == 2:
		c.Answer = ByPolicy
	}
	return c, nil
}

// update runs f as one operation of a Device of the account.
func (g *Gate) update(ctx context.Context, d *session.Device, f func(t *session.Tx, now time.Time) error) error {
	if err := g.of(d); err != nil {
		return err
	}
	return d.Update(ctx, nil, func(t *session.Tx) error { return f(t, t.Now()) })
}

// load returns what the record of a user says. To look is no commit; what puts the
// record expects it to be still so.
func (g *Gate) load(t *session.Tx, user string) (*known, error) {
	body, ok, err := t.Get(hostingKey(user))
	if err != nil {
		return nil, err
	}
	rec := keystore.Record{Key: hostingKey(user)}
	if ok {
		rec.Version, rec.Value = 1, append([]byte{}, body...)
	}
	return g.memory.read(user, user == g.account, &rec)
}

// Label returns what an app shows of a conversation with users: of one, his label
// with its State; of several, what Union says. The own account, among others, says
// nothing. Errors are session.ErrMalformed for a name, ErrLabelMismatch for a Device
// of another account, session.ErrCorrupt, keystore.ErrNewerFormat, and those of the
// store.
func (g *Gate) Label(ctx context.Context, d *session.Device, users ...string) (Label, error) {
	var out Label
	err := g.update(ctx, d, func(t *session.Tx, now time.Time) error {
		out = Label{}
		var all []keystore.Key
		for i, user := range users {
			user, err := userName(user)
			if err != nil {
				return err
			}
			if user != g.account || i == 0 && len(users) == 1 {
				all = append(all, hostingKey(user))
			}
		}
		if err := t.Load(all...); err != nil {
			return err
		}
		for _, key := range all {
			k, err := g.load(t, key.Owner)
			if err != nil {
				return err
			}
			out = out.Union(k.label(now, &g.policy))
		}
		return nil
	})
	if err != nil {
		return Label{}, err
	}
	return out, nil
}

// Manifest returns the newest manifest of a user that is held and believed, agreed
// to or not, the own account's too; nil is none. It is the caller's. Its Hash is what
// package fingerprint covers. Errors are those of Label.
func (g *Gate) Manifest(ctx context.Context, d *session.Device, user string) (*Manifest, error) {
	k, err := g.look(ctx, d, user)
	if err != nil {
		return nil, err
	}
	if k.newest() == nil {
		return nil, nil
	}
	return k.newest().clone(), nil
}

// Evidence returns two manifests of a user that are held and contradict each other;
// nil is none. Errors are those of Label.
func (g *Gate) Evidence(ctx context.Context, d *session.Device, user string) (*Evidence, error) {
	k, err := g.look(ctx, d, user)
	if err != nil {
		return nil, err
	}
	all := k.record.held()
	for i, a := range all {
		for _, b := range all[:i] {
			if e := newEvidence(a, b); e.contradicts() {
				return e, nil
			}
		}
	}
	return nil, nil
}

// look returns what the record of a user says.
func (g *Gate) look(ctx context.Context, d *session.Device, user string) (k *known, err error) {
	if user, err = userName(user); err != nil {
		return nil, err
	}
	err = g.update(ctx, d, func(t *session.Tx, _ time.Time) error {
		k, err = g.load(t, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Publish makes a manifest that the own account signed the one that messages name
// and take along. That it gets to the Directory is for the app. Where the record of
// the one before is damaged, it takes its place; the same one again is no error.
//
// Errors are those of Parse and Verify; ErrLabelStale for an epoch that is not above
// that of the one before; ErrLabelMismatch for another account or account key, for
// one that does not follow on the one before, for another key of this Device, and
// for a Device of another account; ErrControllerChangedForKey; keystore.ErrNewerFormat;
// those of the store.
func (g *Gate) Publish(ctx context.Context, d *session.Device, signed []byte) error {
	m, err := Parse(signed)
	if err != nil {
		return err
	}
	return g.update(ctx, d, func(t *session.Tx, now time.Time) error {
		if err := m.Verify(now); err != nil {
			return err
		}
		if e := m.endpoint(d.Address().Device); e != nil && e.Identity != d.Identity() {
			return fmt.Errorf("%w: key of this device", ErrLabelMismatch)
		}
		k, err := g.load(t, g.account)
		if errors.Is(err, keystore.ErrCorrupt) {
			k, err = &nothing, nil
		}
		if err != nil {
			return err
		}
		if own := k.current; own != nil && own.Epoch == m.Epoch && own.Hash() == m.Hash() {
			return nil
		}
		if err := k.mayBecome(g.account, m); err != nil {
			return err
		}
		next := k.profile
		next.record = next.becomes(m, now)
		return t.Put(hostingKey(g.account), next.bytes())
	})
}

// mayBecome returns nil when m, authentic, may be the next manifest of the own
// account.
func (r *record) mayBecome(account string, m *Manifest) error {
	own := r.current
	switch {
	case m.Account != account || own != nil && m.Key != own.Key:
		return ErrLabelMismatch
	case own != nil && m.Epoch <= own.Epoch:
		return ErrLabelStale
	case own != nil && m.Epoch == own.Epoch+1 && m.Previous != own.Hash():
		return fmt.Errorf("%w: previous manifest", ErrLabelMismatch)
	case !r.keepsControllers(m):
		return ErrControllerChangedForKey
	}
	return nil
}
