package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxTaken bounds how many submissions the relay remembers to have taken.
const maxTaken = 100000

// A differsError says how a submission differs from the lists of devices.
// Nothing of it was taken.
type differsError struct{ said []session.Difference }

func (e *differsError) Error() string { return "it is not for the right devices" }

// A Delivery is an envelope and whose mailbox it is for.
type Delivery struct {
	To       session.Address
	Envelope post.Envelope
}

// A postOffice takes in submissions, each wholly or not at all.
type postOffice struct {
	mu    sync.Mutex
	taken map[string]bool // submissions, by ID
}

func (r *Relay) send(req *http.Request) ([]byte, error) {
	body, err := read(req, post.MaxSubmission)
	if err != nil {
		return nil, err
	}
	var s post.Submission
	id := req.PathValue("id")
	if json.Unmarshal(body, &s) != nil || !post.ValidID(id) {
		return nil, post.ErrBad
	}
	if err := s.Split(); err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	r.office.mu.Lock()
	defer r.office.mu.Unlock()
	if r.office.taken[id] {
		return nil, nil // its answer was lost
	}
	if err := r.compare(&s); err != nil {
		return nil, err
	}
	var mail []Delivery
	for _, l := range s.Letters {
		r.sees(fmt.Sprintf("%s to %s, type %d, %d bytes: %x…", sender(&s), post.Label(l.To), l.Type, len(l.Bytes), l.Bytes[:min(16, len(l.Bytes))]))
		mail = append(mail, Delivery{l.To, post.Envelope{ID: id, From: s.From, SentAt: s.SentAt, Taken: time.Now(), Type: l.Type, Bytes: l.Bytes}})
	}
	if err := r.Deliver(mail); err != nil {
		return nil, err
	}
	if len(r.office.taken) >= maxTaken {
		clear(r.office.taken)
	}
	r.office.taken[id] = true
	return nil, nil
}

// sender is what the relay knows of who sent a submission.
func sender(s *post.Submission) string {
	if s.From == (session.Address{}) {
		return "somebody"
	}
	return post.Label(s.From)
}

// Put puts letters into their mailboxes.
func (r *Relay) Put(mail []Delivery) error {
	for _, m := range mail {
		if err := r.mail.put(m.To, m.Envelope); err != nil {
			return err
		}
	}
	return nil
}

// compare returns a differsError when s is for other devices than it should be.
func (r *Relay) compare(s *post.Submission) error {
	if r.keys.knows(s.From) == post.ErrRemoved {
		return post.ErrRemoved
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
		d := s.Differs(user, list)
		if len(d.Missing)+len(d.Stale)+len(d.Extra) > 0 {
			said = append(said, d)
			r.sees(fmt.Sprintf("%s did not know the devices of %s: %s", sender(s), post.NameOf(user), words(&d)))
		}
	}
	if len(said) > 0 {
		return &differsError{said}
	}
	return nil
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
