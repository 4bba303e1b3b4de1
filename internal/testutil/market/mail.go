package market

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A gone is a message that was encrypted for a device.
type gone struct {
	m  *session.Message
	to session.Address
}

// submit gives a Sending to the server, until it takes it.
func (d *device) submit(s *session.Sending, body string) bool {
	left := map[gone]bool{}
	for range 6 {
		for i := range s.Results {
			switch r := &s.Results[i]; {
			case r.Message == nil:
				d.w.note("  %v: %v", r.To, r.Err)
				d.trust(r.To, r.Err)
			case !left[gone{r.Message, r.To}]:
				left[gone{r.Message, r.To}] = true
				d.leaves(r.To, r.Identity)
			}
		}
		said := d.w.differs(d, s)
		if said == nil {
			return d.w.take(d, s, body)
		}
		err := d.act("reconciles", func() error { return d.groups.Reconcile(ctx, s, said...) })
		if err != nil && !d.decide(err) {
			return false
		}
		d.w.count["reconciled"]++
	}
	return false
}

// differs is what the server says of a Sending: which devices are missing, and which
// are none.
func (w *world) differs(from *device, s *session.Sending) (out []session.Difference) {
	users := map[string]*session.Difference{}
	for i := range s.Results {
		to := s.Results[i].To
		if users[to.User] == nil {
			users[to.User] = &session.Difference{User: to.User}
		}
	}
	for _, d := range w.devices() {
		diff := users[d.addr.User]
		at := slices.IndexFunc(s.Results, func(r session.Result) bool { return r.To == d.addr })
		switch {
		case diff == nil || d == from:
		case at < 0 || s.Results[at].Message == nil:
			diff.Missing = append(diff.Missing, d.addr.Device)
		case s.Results[at].RegistrationID != d.RegistrationID():
			diff.Stale = append(diff.Stale, d.addr.Device)
		}
	}
	for i := range s.Results {
		if r := &s.Results[i]; r.Message != nil && w.of[r.To] == nil {
			users[r.To.User].Extra = append(users[r.To.User].Extra, r.To.Device)
		}
	}
	for _, user := range slices.Sorted(maps.Keys(users)) {
		if diff := users[user]; len(diff.Missing)+len(diff.Stale)+len(diff.Extra) > 0 {
			out = append(out, *diff)
		}
	}
	return out
}

// take has the server take a Sending.
func (w *world) take(d *device, s *session.Sending, body string) bool {
	require.NoError(w.t, d.groups.Accept(ctx, s))
	x := &text{body: body, to: map[*device]bool{}}
	if body != "" {
		w.texts, w.said[body] = append(w.texts, x), x
	}
	for i := range s.Results {
		r := &s.Results[i]
		to := w.of[r.To]
		if r.Message == nil {
			continue // of one that is gone
		}
		to.letters = append(to.letters, letter{d, r.Message, s.SentAt, x})
		x.to[to] = true
	}
	return true
}

// read takes a letter: whatever it says, it is delivered.
func (d *device) read(l letter) bool {
	var r *session.Received
	err := d.act(fmt.Sprintf("reads from %v type %d reg %d", l.from.addr, l.m.Type, d.RegistrationID()), func() (err error) {
		r, err = d.groups.Decrypt(ctx, l.from.addr, l.m, nil)
		return err
	})
	t := d.w.t
	if err != nil {
		require.True(t, session.ReasonOf(err) != 0 && !gated(err) || d.w.puts && errors.Is(err, session.ErrDuplicate), "%v does not get a message from %v: %v", d.addr, l.from.addr, err)
		d.w.count["unreadable"]++
		d.ask(l, err)
		return false
	}
	if !r.Accepted {
		require.NoError(t, d.AcceptIdentity(ctx, l.from.addr, r.Identity))
	}
	if d.addr.User != toko && l.from.addr.User == toko {
		d.learns(r)
	}
	if body := string(r.Content.Body); body != "" {
		require.True(t, !d.heard[body] || d.w.puts, "%v read %s twice", d.addr, body)
		require.Same(t, l.said, d.w.said[body], "%v read %s", d.addr, body)
		d.heard[body] = true
		d.w.count["read"]++
	}
	require.NoError(t, d.Acknowledge(ctx, r))
	return true
}

// learns notes the manifest that a message had with it, and that what the gate says
// of the message has it.
func (d *device) learns(r *session.Received) {
	t := d.w.t
	receipt, err := d.gate.Receipt(r)
	require.NoError(t, err)
	c, err := wire.ParseContent(r.Plaintext)
	require.NoError(t, err)
	if c.Hosting != nil {
		defer func() { d.memory.claimed = max(d.memory.claimed, c.Hosting.Epoch) }()
	}
	if len(c.Manifest) == 0 {
		return
	}
	m, err := hosting.Parse(c.Manifest)
	require.NoError(t, err)
	s := d.w.shop.all[m.Hash()]
	require.NotNil(t, s)
	require.Equal(t, s.hash, receipt.Hash)
	d.sees(s)
	d.look()
	if newest, one := d.memory.newest(); one && newest == s {
		require.Subset(t, factsOf(&receipt.Label), s.facts)
		d.w.count["told in a message"]++
	}
}

// ask asks for what cannot be read, of who is still there.
func (d *device) ask(l letter, cause error) {
	var m *session.Message
	err := d.act("asks", func() (err error) {
		m, err = d.RequestRetry(ctx, l.from.addr, l.m, l.sentAt, cause)
		return err
	})
	if err != nil || d.w.of[l.from.addr] != l.from {
		delete(l.said.to, d)
		return
	}
	l.from.requests = append(l.from.requests, letter{d, m, l.sentAt, l.said})
	d.w.count["asked"]++
}

// resend answers a request, if the gate agrees, or the user.
func (d *device) resend(l letter) {
	var s *session.Sending
	for again := true; again; {
		err := d.act("sends again", func() (err error) {
			s, err = d.groups.Resend(ctx, l.from.addr, l.m)
			return err
		})
		again = err != nil && d.decide(err)
	}
	sent := false
	for i := 0; s != nil && i < len(s.Results); i++ {
		if r := &s.Results[i]; r.Message != nil && d.w.of[r.To] == l.from {
			sent = true
			d.leaves(r.To, r.Identity)
			l.from.letters = append(l.from.letters, letter{d, r.Message, s.SentAt, l.said})
			d.w.count["sent again"]++
		}
	}
	if !sent {
		delete(l.said.to, l.from)
	}
}
