// Package post is what passes between the people of the example and their relay:
// names, envelopes, and what goes wrong. It goes into the page's program as well, so it
// imports no network.
package post

import (
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// Bounds of what passes, and of how long a reader waits for mail.
const (
	MaxEnvelope   = 128 << 10
	MaxSubmission = 4 << 20
	MaxBlob       = 4 << 20 // a file, encrypted
	MaxBatch      = 50      // messages in one mailbag
	MaxWait       = 25 * time.Second
)

// GoodFor is how long a certificate is good. Whoever is removed can write as
// somebody for no longer.
const GoodFor = 7 * 24 * time.Hour

// The two things that pass between two devices that are being linked.
const (
	LinkKey    = "key"    // of the new device
	LinkAnswer = "answer" // of the old one: the account, sealed to that key
)

// An Envelope is all that the relay knows of a message. From is empty where that
// is sealed.
type Envelope struct {
	ID     string              `json:"id"` // the sender's choice; the same one is the same message
	From   session.Address     `json:"from,omitzero"`
	SentAt time.Time           `json:"sentAt"` // by which a reader asks for it again
	Taken  time.Time           `json:"taken"`  // by the relay; certificates have to be good then
	Type   session.MessageType `json:"type"`
	Bytes  []byte              `json:"bytes"` // ciphertext
}

// A Mailbag is the answer to a reader. It says which devices the reader's owner
// has, since nobody else tells: whose devices ought to get a copy of a message,
// the relay does not know.
type Mailbag struct {
	Mail []Envelope `json:"mail"`
	Own  string     `json:"own"`
}

// A Passport is what somebody gets of a notary.
type Passport struct {
	Root        []byte `json:"root"`        // the key that others' certificates are held against
	Certificate []byte `json:"certificate"` // the own one
}

// A Submission is a message as it comes to the relay: encrypted for each device
// that is to read it, and sealed, so that nobody but those can tell who sent it,
// unless that one would have it otherwise.
type Submission struct {
	ID     string    `json:"id"` // the sender's choice; the same one is the same submission
	SentAt time.Time `json:"sentAt"`
	// From is the sender of what is not sealed, and empty else.
	From session.Address `json:"from,omitzero"`
	// Lists are the users whose devices must all be among the letters: whom the
	// message is to. There are none for a message to one device, nor for copies for
	// the sender's own: that one of somebody's devices gets none would say who sent.
	Lists   []string `json:"lists,omitempty"`
	Letters []Letter `json:"letters,omitempty"`
	// Envelope is for many devices at once, each of which gets a part of it.
	Envelope []byte `json:"envelope,omitempty"`
}

// A Letter is a message as one device is to get it.
type Letter struct {
	To             session.Address     `json:"to"`
	RegistrationID uint32              `json:"registration,omitempty"` // the sender believes it has; 0: any
	Type           session.MessageType `json:"type"`
	Bytes          []byte              `json:"bytes"`
}

// Split makes letters of an envelope for many.
func (s *Submission) Split() error {
	if s.Envelope == nil {
		return nil
	}
	u, err := sealed.Split(s.Envelope)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBad, err)
	}
	for i := range u.Deliveries {
		d := &u.Deliveries[i]
		received := u.Received(d) // one for all devices of a user
		for _, device := range d.Devices {
			to := session.Address{User: d.User, Device: device.ID}
			s.Letters = append(s.Letters, Letter{to, device.RegistrationID, session.TypeSealed, received})
		}
	}
	return nil
}

// Check reports whether s is one at all.
func (s *Submission) Check() error {
	if len(s.Letters) == 0 || s.From != (session.Address{}) && !ValidAddress(s.From) {
		return ErrBad
	}
	named := map[session.Address]bool{}
	for _, l := range s.Letters {
		switch {
		case len(l.Bytes) > MaxEnvelope:
			return ErrLarge
		case len(l.Bytes) == 0 || !ValidAddress(l.To) || named[l.To]:
			return ErrBad
		}
		named[l.To] = true
	}
	return nil
}

// Differs compares the letters to a user with the list of their devices.
func (s *Submission) Differs(user string, list []session.PeerDevice) session.Difference {
	d := session.Difference{User: user}
	written := map[uint32]bool{}
	for _, l := range s.Letters {
		if l.To.User != user {
			continue
		}
		written[l.To.Device] = true
		i := slices.IndexFunc(list, func(p session.PeerDevice) bool { return p.Device == l.To.Device })
		switch {
		case i < 0:
			d.Extra = append(d.Extra, l.To.Device)
		case l.RegistrationID != 0 && l.RegistrationID != list[i].RegistrationID:
			d.Stale = append(d.Stale, l.To.Device)
		}
	}
	for _, p := range list {
		if slices.Contains(s.Lists, user) && !written[p.Device] {
			d.Missing = append(d.Missing, p.Device)
		}
	}
	return d
}
