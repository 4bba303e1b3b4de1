package market

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A memory is what a device was shown, and what its user answered.
type memory struct {
	seen    []*statement     // of the business, in time and signed
	claimed uint64           // the highest epoch that a message spoke of
	yes     map[string][]yes // to what, by user
	no      map[string]bool  // the last answer, by user
}

// A yes is one to a statement, nil for none.
type yes struct {
	to *statement
	at time.Time
}

func newMemory() memory { return memory{yes: map[string][]yes{}, no: map[string]bool{}} }

func (m *memory) clone() memory {
	return memory{slices.Clone(m.seen), m.claimed, maps.Clone(m.yes), maps.Clone(m.no)}
}

// newest is the statement of the highest epoch; one is false if there are two.
func (m *memory) newest() (out *statement, one bool) {
	one = true
	for _, s := range m.seen {
		switch {
		case out == nil || s.Epoch > out.Epoch:
			out, one = s, true
		case s.Epoch == out.Epoch && s.hash != out.hash:
			one = false
		}
	}
	return out, one
}

// gated reports whether it is the gate that refused.
func gated(err error) bool {
	for _, e := range []error{hosting.ErrLabelStripped, hosting.ErrLabelStale, hosting.ErrLabelMismatch, hosting.ErrManifestExpired,
		hosting.ErrControllerChangedForKey, keys.ErrSignature} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, new(*hosting.ConsentRequiredError))
}

// act does something, and holds what is shown after it against what was shown
// before.
func (d *device) act(what string, f func() error) error {
	d.shown, d.lied = nil, false
	err := f()
	if d.w.note("%v %s: %v", d.addr, what, err); d.lied {
		d.w.count["lies"]++
	}
	require.True(d.w.t, err == nil || gated(err) || errors.Is(err, errBroken) || errors.Is(err, session.ErrUnsettled) ||
		errors.As(err, new(*group.WaitingError)) || errors.As(err, new(*session.UntrustedIdentityError)) || errors.Is(err, session.ErrStale) || session.ReasonOf(err) != 0 || errors.Is(err, session.ErrNoRetry), "%v %s: %v", d.addr, what, err)
	if d.addr.User == toko {
		return err
	}
	if err == nil || gated(err) {
		d.sees(d.shown...)
	}
	d.look()
	return err
}

// sees notes what is shown to the device.
func (d *device) sees(all ...*statement) {
	for _, s := range all {
		if s.inTime(d.w.now) && s.Epoch >= d.memory.claimed { // what is older than what is awaited is stale
			d.memory.seen = append(d.memory.seen, s)
		}
	}
}

// look holds the label of the business against what was shown.
func (d *device) look() {
	t := d.w.t
	held, err := d.gate.Manifest(ctx, d.Device, toko)
	require.NoError(t, err)
	if held != nil {
		s := d.w.shop.all[held.Hash()]
		require.NotNil(t, s, "%v believes what the business never said", d.addr)
		if newest, _ := d.memory.newest(); newest == nil || newest.Epoch < s.Epoch { // an operation that came to nothing showed it
			d.memory.seen = append(d.memory.seen, s)
		}
	}
	label, err := d.gate.Label(ctx, d.Device, toko)
	require.NoError(t, err)
	newest, one := d.memory.newest()
	said := factsOf(&label)
	settled := label.State == "CURRENT" || label.State == "NARROWER"
	d.w.count["state "+string(label.State)]++
	if newest == nil {
		require.True(t, label.Unknown && !settled, "%v: %v of nobody knows whom", d.addr, label.State)
		return
	}
	for _, s := range d.memory.seen {
		if s.Epoch == newest.Epoch && len(s.facts) > 0 {
			require.True(t, label.Hosted(), "%v: hosted, and not shown as such in state %s", d.addr, label.State)
		}
	}
	if one {
		require.Subset(t, said, newest.facts, "%v in state %s", d.addr, label.State)
	}
	if settled {
		require.True(t, one && !label.Unknown, "%v: settled", d.addr)
		require.ElementsMatch(t, newest.facts, said, "%v", d.addr)
	}
}

// factsOf are those of a label.
func factsOf(l *hosting.Label) (out []string) {
	for _, p := range l.Parties {
		out = append(out, factOf(p.Controller, p.Domain))
	}
	if l.Readers.AI {
		out = append(out, readByModel)
	}
	return out
}

// leaves holds a message that was encrypted for a key against what the user agreed
// to.
func (d *device) leaves(to session.Address, key keys.IdentityKey) {
	t, user := d.w.t, to.User
	if d.addr.User == toko || user == d.addr.User {
		return
	}
	require.False(t, d.memory.no[user], "%v wrote to %v after a no", d.addr, to)
	newest, one := d.memory.newest()
	if user != toko || newest == nil {
		require.True(t, slices.ContainsFunc(d.memory.yes[user], func(y yes) bool { return y.to == nil }), "%v wrote to %v unasked", d.addr, to)
		return
	}
	require.True(t, one, "%v wrote to %v, of whom there are two statements", d.addr, to)
	require.True(t, newest.lists(to.Device, key), "%v wrote to a key that is not listed", d.addr)
	require.True(t, newest.inTime(d.w.now) || slices.ContainsFunc(d.memory.yes[user], func(y yes) bool {
		return y.to == newest && d.w.now.Sub(y.at) <= 30*day
	}), "%v wrote when the manifest was out of date", d.addr)
	if len(newest.facts) > 0 {
		require.True(t, slices.ContainsFunc(d.memory.yes[user], func(y yes) bool { return y.to != nil && newest.within(y.to) }), "%v wrote unasked", d.addr)
	}
	if d.w.at[key].Hosted() {
		d.w.count["to a hosted key"]++
	} else {
		d.w.count["to another key"]++
	}
}

// decide answers what is asked, if anything is. In the end the answer is yes.
func (d *device) decide(err error) (agreed bool) {
	e, ok := errors.AsType[*hosting.ConsentRequiredError](err)
	if !ok {
		return false
	}
	answer, t := hosting.Yes, d.w.t
	if !d.w.honest && d.w.rng.IntN(5) == 0 {
		answer = hosting.No
	}
	d.w.note("%v says %v to %x of %s", d.addr, answer, e.To[:2], e.Account)
	require.NoError(t, d.gate.Consent(ctx, d.Device, e.Account, e.Token, answer))
	if d.memory.no[e.Account] = answer == hosting.No; answer == hosting.No {
		d.w.count["no"]++
		return false
	}
	to := d.w.shop.all[e.To]
	require.True(t, to != nil && e.Account == toko || e.To == [32]byte{}, "asked about what nobody said")
	d.memory.yes[e.Account] = append(slices.Clone(d.memory.yes[e.Account]), yes{to, d.w.now})
	d.w.count["yes"]++
	return true
}

// wrong answers what was not asked: nothing comes of it.
func (d *device) wrong() {
	before := testutil.StoreDigest(d.w.t, d.store)
	token := hosting.ConsentRequiredError{}.Token
	if m := d.w.shop.newest(); m != nil {
		token = m.hash
	}
	require.ErrorIs(d.w.t, d.gate.Consent(ctx, d.Device, toko, token, hosting.Yes), hosting.ErrLabelStale)
	require.Equal(d.w.t, before, testutil.StoreDigest(d.w.t, d.store))
	d.w.count["wrong token"]++
}

// write has a customer write to users.
func (d *device) write(users ...string) {
	d.send(slices.DeleteFunc(users, func(u string) bool { return u == d.addr.User }))
}

// send sends a text to users, after a yes if one is needed.
func (d *device) send(users []string) bool {
	if len(users) == 0 {
		return false
	}
	body, name := d.w.body(), ""
	if len(users) > 1 {
		name = club
	}
	return d.attempt(body, func() (*session.Sending, error) {
		return d.Send(ctx, users, &session.Content{Body: []byte(body)}, &session.SendOptions{Group: name, NoOwnDevices: d.addr.User == toko})
	})
}

func (w *world) body() string {
	w.count["bodies"]++
	return fmt.Sprintf("text %d", w.count["bodies"])
}

// direct has a customer write to one device of the business, with a session that is
// begun if there is none.
func (d *device) direct(to *device) {
	body := d.w.body()
	for range 4 {
		var m *session.Message
		err := d.act("encrypts "+body, func() (err error) {
			m, err = d.Encrypt(ctx, to.addr, (&session.Content{Body: []byte(body)}).Bytes())
			return err
		})
		switch {
		case err == nil:
			d.post(to, m, body)
			return
		case errors.Is(err, session.ErrNoSession), errors.Is(err, session.ErrStale):
			err = d.act("begins", func() error {
				b, err := directory{d}.Bundle(ctx, to.addr)
				require.NoError(d.w.t, err)
				return d.Begin(ctx, to.addr, b)
			})
			d.trust(to.addr, err)
		case !d.decide(err):
			d.trust(to.addr, err)
			return
		}
	}
}

// post gives the server a message for one device, which is that for which it was
// encrypted or another one in its place.
func (d *device) post(to *device, m *session.Message, body string) {
	id, err := d.PeerIdentity(ctx, to.addr)
	require.NoError(d.w.t, err)
	d.leaves(to.addr, id.Accepted)
	if id.Accepted == to.Identity() {
		x := &text{body: body, to: map[*device]bool{to: true}}
		d.w.texts, d.w.said[body] = append(d.w.texts, x), x
		to.letters = append(to.letters, letter{d, m, d.w.now, x})
		d.w.count["to one device"]++
	}
}

// attempt sends something, and again after each yes.
func (d *device) attempt(body string, send func() (*session.Sending, error)) bool {
	for range 4 {
		var s *session.Sending
		err := d.act("sends "+body, func() (err error) {
			s, err = send()
			return err
		})
		if err == nil {
			return s == nil || d.submit(s, body)
		}
		require.Nil(d.w.t, s)
		d.w.count["refused"]++
		switch asked := errors.As(err, new(*hosting.ConsentRequiredError)); {
		case asked && !d.decide(err):
			return false
		case !asked && gated(err):
			d.refresh() // the devices are others than it knows
		}
	}
	return false
}

// club has a customer say something to all, and hands out the key before.
func (d *device) club() {
	body := d.w.body()
	for range 3 {
		var waiting *group.WaitingError
		ok := d.attempt(body, func() (*session.Sending, error) {
			s, err := d.groups.Send(ctx, club, &session.Content{Body: []byte(body)}, nil)
			waiting = nil
			errors.As(err, &waiting)
			return s, err
		})
		if ok {
			d.w.count["group texts"]++
			return
		}
		if waiting == nil {
			return
		}
		d.trustAll(waiting)
		d.attempt("", func() (*session.Sending, error) { return d.groups.Distribute(ctx, club, nil) })
	}
}

func (d *device) trustAll(e *group.WaitingError) {
	for i, why := range e.Errs {
		d.trust(e.Devices[i], why)
	}
}

// trust accepts the key that the server says a device has.
func (d *device) trust(a session.Address, why error) {
	if untrusted, ok := errors.AsType[*session.UntrustedIdentityError](why); ok {
		require.NoError(d.w.t, d.AcceptIdentity(ctx, a, untrusted.Seen))
	}
}

// refresh asks the server for all that it has of the business.
func (d *device) refresh() {
	d.act("refreshes", func() error { return d.Refresh(ctx, toko) })
	d.w.count["refreshed"]++
}

// putBack makes a backup, or puts the store back to it.
func (d *device) putBack() {
	if !d.w.puts {
		return
	}
	if d.backup == nil {
		d.backup = &backup{testutil.Records(d.w.t, d.store), d.memory.clone()}
		return
	}
	t := d.w.t
	var changes []keystore.Change
	for _, r := range d.backup.records {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: bytes.Clone(r.Value)})
	}
	d.store = keystore.NewMemory()
	_, err := d.store.Commit(ctx, changes...)
	require.NoError(t, err)
	if newest, err := d.store.Generation(ctx); err == nil {
		require.ErrorIs(t, session.CheckGeneration(ctx, d.store, newest+1), keystore.ErrRolledBack)
	}
	d.memory, d.backup = d.backup.memory, nil
	d.gate = hosting.NewGate(d.addr.User, nil)
	d.Device, err = session.Open(ctx, d.store, d.addr, d.options())
	require.NoError(t, err)
	require.NoError(t, d.AfterRestore(ctx))
	d.groups = group.New(d.Device, nil)
	d.w.note("%v is put back", d.addr)
	d.w.count["put back"]++
	d.look()
}

// settled requires that in the end all is shown as it is.
func (d *device) settled() {
	l, err := d.gate.Label(ctx, d.Device, toko)
	require.NoError(d.w.t, err)
	require.Contains(d.w.t, []hosting.State{"CURRENT", "NARROWER"}, l.State)
	require.ElementsMatch(d.w.t, d.w.shop.newest().facts, factsOf(&l))
}
