package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// maxTaken bounds how many submissions the relay remembers to have taken.
const maxTaken = 100000

// A submission is a message as it comes to the relay: encrypted for each device
// that is to read it, and sealed, so that nobody but those can tell who sent it,
// unless that one would have it otherwise (-unsealed).
type submission struct {
	ID     string    `json:"id"` // the sender's choice; the same one is the same submission
	SentAt time.Time `json:"sentAt"`
	// From is the sender of what is not sealed, and empty else.
	From session.Address `json:"from,omitzero"`
	// Lists are the users whose devices must all be among the letters: whom the
	// message is to. There are none for a message to one device, nor for copies for
	// the sender's own: that one of somebody's devices gets none would say who sent.
	Lists   []string `json:"lists,omitempty"`
	Letters []letter `json:"letters,omitempty"`
	// Envelope is for many devices at once, each of which gets a part of it.
	Envelope []byte `json:"envelope,omitempty"`
}

// A letter is a message as one device is to get it.
type letter struct {
	To             session.Address     `json:"to"`
	RegistrationID uint32              `json:"registration,omitempty"` // the sender believes it has; 0: any
	Type           session.MessageType `json:"type"`
	Bytes          []byte              `json:"bytes"`
}

// A differsError says how a submission differs from the lists of devices.
// Nothing of it was taken.
type differsError struct{ said []session.Difference }

func (e *differsError) Error() string { return "it is not for the right devices" }

// A delivery is an envelope and whose mailbox it is for.
type delivery struct {
	to       session.Address
	envelope envelope
}

// A postOffice takes in submissions, each wholly or not at all.
type postOffice struct {
	mu      sync.Mutex
	taken   map[string]bool             // submissions, by ID
	deliver func(mail []delivery) error // relay.putMail, unless the demo stands in between
}

func (r *relay) send(req *http.Request) ([]byte, error) {
	body, err := read(req, maxSubmission)
	if err != nil {
		return nil, err
	}
	var s submission
	id := req.PathValue("id")
	if json.Unmarshal(body, &s) != nil || !validID(id) {
		return nil, errBad
	}
	if err := s.split(); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	r.post.mu.Lock()
	defer r.post.mu.Unlock()
	if r.post.taken[id] {
		return nil, nil // its answer was lost
	}
	if err := r.compare(&s); err != nil {
		return nil, err
	}
	var mail []delivery
	for _, l := range s.Letters {
		r.sees(fmt.Sprintf("%s to %s, type %d, %d bytes: %x…", s.sender(), label(l.To), l.Type, len(l.Bytes), l.Bytes[:min(16, len(l.Bytes))]))
		mail = append(mail, delivery{l.To, envelope{ID: id, From: s.From, SentAt: s.SentAt, Taken: time.Now(), Type: l.Type, Bytes: l.Bytes}})
	}
	if err := r.post.deliver(mail); err != nil {
		return nil, err
	}
	if len(r.post.taken) >= maxTaken {
		clear(r.post.taken)
	}
	r.post.taken[id] = true
	return nil, nil
}

// sender is what the relay knows of who sent it.
func (s *submission) sender() string {
	if s.From == (session.Address{}) {
		return "somebody"
	}
	return label(s.From)
}

// split makes letters of an envelope for many.
func (s *submission) split() error {
	if s.Envelope == nil {
		return nil
	}
	u, err := sealed.Split(s.Envelope)
	if err != nil {
		return fmt.Errorf("%w: %w", errBad, err)
	}
	for i := range u.Deliveries {
		d := &u.Deliveries[i]
		received := u.Received(d) // one for all devices of a user
		for _, device := range d.Devices {
			to := session.Address{User: d.User, Device: device.ID}
			s.Letters = append(s.Letters, letter{to, device.RegistrationID, session.TypeSealed, received})
		}
	}
	return nil
}

// check reports whether s is one at all.
func (s *submission) check() error {
	if len(s.Letters) == 0 || s.From != (session.Address{}) && !validAddress(s.From) {
		return errBad
	}
	named := map[session.Address]bool{}
	for _, l := range s.Letters {
		switch {
		case len(l.Bytes) > maxEnvelope:
			return errLarge
		case len(l.Bytes) == 0 || !validAddress(l.To) || named[l.To]:
			return errBad
		}
		named[l.To] = true
	}
	return nil
}

// putMail puts letters into their mailboxes.
func (r *relay) putMail(mail []delivery) error {
	for _, m := range mail {
		if err := r.mail.put(m.to, m.envelope); err != nil {
			return err
		}
	}
	return nil
}

// compare returns a differsError when s is for other devices than it should be.
func (r *relay) compare(s *submission) error {
	if r.keys.knows(s.From) == errRemoved {
		return errRemoved
	}
	users := slices.Clone(s.Lists)
	for _, l := range s.Letters {
		users = append(users, l.To.User)
	}
	slices.Sort(users)
	var said []session.Difference
	for _, user := range slices.Compact(users) {
		list, err := r.keys.list(user)
		if err != nil {
			return err
		}
		d := s.differs(user, list)
		if len(d.Missing)+len(d.Stale)+len(d.Extra) > 0 {
			said = append(said, d)
			r.sees(fmt.Sprintf("%s did not know the devices of %s: %s", s.sender(), nameOf(user), words(&d)))
		}
	}
	if len(said) > 0 {
		return &differsError{said}
	}
	return nil
}

// differs compares the letters to a user with the list of their devices.
func (s *submission) differs(user string, list []session.PeerDevice) session.Difference {
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

func words(d *session.Difference) string {
	var parts []string
	for what, devices := range map[string][]uint32{"new": d.Missing, "another by now": d.Stale, "removed": d.Extra} {
		for _, n := range devices {
			parts = append(parts, fmt.Sprintf("device %d is %s", n, what))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
