package session

import (
	"slices"
	"time"
)

// Now returns the time by the clock of the Device. It runs on from one call to the
// next.
func (t *Tx) Now() time.Time { return t.d.opts.Now() }

// compose has SendOptions.Compose say who gets what, of what is known now that
// every letter is open and none is sealed.
func (m *mailing) compose() error {
	if m.s.compose == nil {
		return nil
	}
	var c *Content
	if m.begins {
		content := m.s.content
		c, content.SentAt = &content, moment(m.s.sentAt)
	}
	skip, err := m.s.compose(m.t, m.prospects(), c)
	if err != nil {
		return err
	}
	m.parcels = slices.DeleteFunc(m.parcels, func(p *parcel) bool {
		if !slices.Contains(skip, p.to) {
			return false
		}
		m.t.check(m.d.sessionKey(p.to)) // of which that was said
		m.t.check(m.d.identityKey(p.to))
		return true
	})
	if c != nil {
		c.SentAt = time.Time{}
		err = m.write(c)
	}
	return err
}

// prospects are the devices that the message is for, and the users of whom there
// are none, in order.
func (m *mailing) prospects() []Result {
	out := slices.Clone(m.failed)
	for _, p := range m.parcels {
		out = append(out, p.prospect())
	}
	return inOrder(out)
}

// prospect is what is known of the device before anything is sealed for it.
func (p *parcel) prospect() Result {
	out := p.result()
	if p.letter.d == nil { // a blocked one
		return out
	}
	if p.registrationID != 0 {
		out.RegistrationID = p.registrationID
	}
	if out.Identity = p.letter.acceptedKey(); out.Identity.IsZero() {
		out.Identity = p.letter.remote
	}
	if !p.begins && p.letter.current != nil {
		out.Session = sessionName(p.letter.current)
	}
	return out
}
