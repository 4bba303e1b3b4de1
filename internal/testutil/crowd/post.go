package crowd

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// speak has somebody say something, if all have the key.
func (w *world) speak(d *device) bool {
	body := fmt.Sprintf("text %d", len(w.texts)+w.count["taken back"]+w.count["stopped"])
	var s *session.Sending
	err := d.act(func() (err error) {
		s, err = d.groups.Send(ctx, club, &session.Content{Body: []byte(body)}, nil)
		return err
	})
	if waiting, ok := errors.AsType[*group.WaitingError](err); ok {
		w.count["waiting"]++
		for i, why := range waiting.Errs {
			if why != nil {
				d.trust(waiting.Devices[i], why)
			}
		}
		w.distribute(d)
		return false
	}
	if errors.Is(err, errStopped) {
		return false
	}
	require.NoError(w.t, err)
	x := &text{body: body, from: d, sentAt: s.SentAt, to: map[*device]bool{}, became: map[*device][]string{}}
	return w.submit(d, s, x)
}

// distribute has somebody hand out the key.
func (w *world) distribute(d *device) bool {
	var s *session.Sending
	err := d.act(func() (err error) {
		s, err = d.groups.Distribute(ctx, club, nil)
		return err
	})
	if errors.Is(err, errStopped) {
		return false
	}
	require.NoError(w.t, err)
	if s == nil {
		return true
	}
	w.count["keys"]++
	d.trustAll(s)
	return w.submit(d, s, nil)
}

// submit gives a Sending to the server, until it takes it.
func (w *world) submit(d *device, s *session.Sending, x *text) bool {
	for range 4 {
		if x == nil {
			w.expose(d, s)
		}
		var users []string
		if x != nil {
			users = []string{d.addr.User}
		}
		said := w.differs(d, s, users, x == nil && w.rng.IntN(2) == 0)
		if said == nil {
			return w.take(d, s, x)
		}
		err := d.act(func() error { return d.groups.Reconcile(ctx, s, said...) })
		switch {
		case errors.Is(err, errStopped):
			w.count["stopped"]++
			return false
		case errors.Is(err, session.ErrUnsettled):
			w.count["taken back"]++
			d.trustAll(s)
			return false
		}
		require.NoError(w.t, err)
		w.count["reconciled"]++
		d.trustAll(s)
	}
	w.count["stopped"]++
	return false
}

// take has the server take a Sending, and bring it.
func (w *world) take(d *device, s *session.Sending, x *text) bool {
	if x != nil {
		w.texts, w.said[x.body] = append(w.texts, x), x
		w.count["texts"]++
	}
	for i := range s.Results {
		r := &s.Results[i]
		if r.Message == nil {
			continue
		}
		to := w.of[r.To]
		to.letters = append(to.letters, letter{from: d, m: r.Message, sentAt: s.SentAt, said: x})
		if x == nil {
			continue
		}
		require.True(w.t, d.knows(r.To.User) || r.To.User == d.addr.User, "%v got a text", r.To)
		x.to[to] = true
		if r.Message.Type == session.TypeSenderKey {
			x.shared = r.Message
		}
	}
	err := d.act(func() error { return d.groups.Accept(ctx, s) })
	require.True(w.t, err == nil || errors.Is(err, errStopped), "%v", err)
	return err == nil
}

// expose gives what was encrypted for devices that are gone to them.
func (w *world) expose(from *device, s *session.Sending) {
	for i := range s.Results {
		r := &s.Results[i]
		if to := w.of[r.To]; r.Message == nil || to != nil && to.RegistrationID() == r.RegistrationID {
			continue
		}
		for _, d := range w.all {
			if d.addr == r.To && d.RegistrationID() == r.RegistrationID {
				_, _ = d.groups.Decrypt(ctx, from.addr, r.Message, nil)
				w.count["given to one that is gone"]++
			}
		}
	}
}

// differs is what the server says of a Sending: of the users that it is for, or, if
// it does not mind, only of devices that there are not.
func (w *world) differs(from *device, s *session.Sending, users []string, lenient bool) (out []session.Difference) {
	for i := range s.Results {
		if r := &s.Results[i]; r.To.Device != 0 && !slices.Contains(users, r.To.User) {
			users = append(users, r.To.User)
		}
	}
	for _, user := range users {
		diff := session.Difference{User: user}
		has := map[uint32]bool{}
		for i := range s.Results {
			r := &s.Results[i]
			if r.To.User != user || r.Message == nil {
				continue
			}
			has[r.To.Device] = true
			switch d := w.of[r.To]; {
			case d == nil:
				diff.Extra = append(diff.Extra, r.To.Device)
			case d.RegistrationID() != r.RegistrationID:
				diff.Stale = append(diff.Stale, r.To.Device)
			}
		}
		list, _ := w.Devices(ctx, user)
		for _, p := range list {
			a := session.Address{User: user, Device: p.Device}
			if !has[p.Device] && !lenient && a != from.addr && !from.exclude[a] {
				diff.Missing = append(diff.Missing, p.Device)
			}
		}
		if len(diff.Missing)+len(diff.Stale)+len(diff.Extra) > 0 {
			out = append(out, diff)
		}
	}
	return out
}

// arrive brings a device one of its letters, of the first few in any order.
func (w *world) arrive(d *device) {
	if len(d.letters) == 0 {
		return
	}
	at := w.rng.IntN(min(len(d.letters), 20))
	l := d.letters[at]
	if !w.honest && w.rng.IntN(20) == 0 {
		w.count["came twice"]++ // it stays
	} else {
		d.letters = slices.Delete(d.letters, at, at+1)
	}
	if l.said == nil && !w.honest && w.rng.IntN(6) == 0 {
		w.count["keys lost"]++
		return
	}
	if !d.read(l) {
		d.letters = append(d.letters, l)
	}
}

// answer has somebody answer what he was asked for.
func (w *world) answer(d *device) {
	requests := d.requests
	d.requests = nil
	for _, q := range requests {
		if q.by.gone {
			continue
		}
		var s *session.Sending
		err := d.act(func() (err error) {
			s, err = d.groups.Resend(ctx, q.by.addr, q.m)
			return err
		})
		if errors.Is(err, session.ErrNoRetry) {
			if q.tries++; q.tries < 10 || !w.honest { // too early, or for good
				d.requests = append(d.requests, q)
			}
			q.said.note(q.by, err)
			w.count["not sent again"]++
			continue
		}
		if errors.Is(err, errStopped) {
			d.requests = append(d.requests, q)
			continue
		}
		require.NoError(w.t, err)
		r := &s.Results[0]
		if r.Err != nil {
			q.said.note(q.by, r.Err)
			if _, ok := errors.AsType[*session.UntrustedIdentityError](r.Err); ok {
				d.trust(r.To, r.Err)
			}
			if q.tries++; q.tries < 10 || !w.honest {
				d.requests = append(d.requests, q)
			}
			continue
		}
		w.count["sent again"]++
		q.said.note(q.by, "sent again")
		q.by.letters = append(q.by.letters, letter{from: d, m: r.Message, sentAt: s.SentAt, said: q.said})
	}
}
