package session

import (
	"errors"
	"fmt"
	"slices"
)

// errAnew reports that a message for all devices alike, or one that has
// disappeared, is not to leave.
var errAnew = fmt.Errorf("%w: encrypt anew", ErrUnsettled)

// look finds out about a device that gets the same message as all others:
// whether it may, who it is, and on which session the two are. A session that
// would not be sent on is none.
func (p *parcel) look(m *mailing) {
	p.letter = m.t.letter(p.to)
	l := &p.letter
	err := l.open()
	switch {
	case err == nil && l.settledOn() && p.usable():
		p.session = sessionName(l.current)
		if p.registrationID = p.listed; p.listed == 0 {
			p.registrationID = l.current.RemoteRegistrationID()
		}
	case err == nil:
		p.registrationID = p.listed
	case errors.Is(err, ErrNoSession):
		if p.registrationID, p.err = p.listed, l.read(l.identity); p.err == nil && !l.settled() {
			p.err = l.refuse(identityOf(l.rec.Seen))
		}
	default:
		p.err = err
	}
	p.identity = l.acceptedKey()
	l.remote, l.current = p.identity, nil
}

// settledOn reports whether a key of the peer was accepted, and not only may be.
func (st *standing) settledOn() bool { return !st.acceptedKey().IsZero() }

// share has the message encrypted that all devices of others get alike.
func (m *mailing) share() error {
	if m.s.shared == nil || !m.begins {
		return nil
	}
	devices := slices.DeleteFunc(m.all(), func(r Result) bool { return r.To.User == m.d.address.User })
	if len(devices) == 0 {
		return nil
	}
	plaintexts, err := m.plaintexts()
	if err != nil {
		return err
	}
	message, err := m.s.shared(m.t, devices, plaintexts[false])
	switch {
	case err != nil:
		return err
	case message == nil && slices.ContainsFunc(devices, func(r Result) bool { return r.Err == nil }):
		return fmt.Errorf("%w: no message for all devices", ErrMalformed)
	}
	m.t.bound = m.t.bound || message != nil
	for _, p := range m.parcels {
		if p.shared && p.err == nil {
			p.message, p.hint = message, sentHint(nil, p.identity.Bytes())
		}
	}
	return nil
}

// wrap has the results that are new sealed for the way, if that is wanted.
func (m *mailing) wrap() error {
	if m.s.seal == nil {
		return nil
	}
	var at []int
	fresh := m.s.with(nil)
	fresh.Envelope = nil
	for i, r := range m.results {
		if m.begins || m.made[r.To] != nil {
			at, fresh.Results = append(at, i), append(fresh.Results, r)
		}
	}
	if err := m.s.seal(fresh); err != nil {
		return err
	}
	if len(fresh.Results) != len(at) || fresh.Envelope != nil && !m.begins {
		return fmt.Errorf("%w: sealed other results", ErrMalformed)
	}
	for i, r := range fresh.Results {
		was := &m.results[at[i]]
		if r.Message == nil && was.Message != nil && (!was.shared || fresh.Envelope == nil) {
			return fmt.Errorf("%w: sealed into nothing", ErrMalformed)
		}
		was.Message = r.Message
	}
	if m.begins {
		m.envelope = fresh.Envelope
	}
	return nil
}

// reaches reports whether there is a message for the device of a result, be it
// in the envelope for all.
func (s *Sending) reaches(r *Result) bool {
	return r != nil && (r.Message != nil || r.shared && r.Err == nil && s.Envelope != nil)
}

// withdraw takes the message out of a result: that for all devices alike, or any.
func (r *Result) withdraw(any bool) {
	if (r.shared || any) && r.Err == nil {
		r.Message, r.Err = nil, errAnew
	}
}
