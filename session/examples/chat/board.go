package main

import (
	"net/http"
	"slices"
	"sync"

	"github.com/gembok-e2ee/gembok/session"
)

// maxLink bounds what passes between two devices that are being linked.
const maxLink = 4 << 10

// The two things that pass between them.
const (
	linkKey    = "key"    // of the new device
	linkAnswer = "answer" // of the old one: the account, sealed to that key
)

// A board has, for each person, what their devices leave for each other.
type board struct {
	mu    sync.Mutex
	notes map[string][]byte // by user and what it is
}

// putLink pins something up. A new key takes the answer to an old one away.
func (r *relay) putLink(req *http.Request, a session.Address) ([]byte, error) {
	what := req.PathValue("what")
	body, err := read(req, maxLink)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains([]string{linkKey, linkAnswer}, what):
		return nil, errBad
	}
	if _, err := r.keys.list(a.User); err != nil {
		return nil, err // who has no device links none; this bounds their number
	}
	r.links.mu.Lock()
	defer r.links.mu.Unlock()
	delete(r.links.notes, a.User+"/"+linkAnswer)
	r.links.notes[a.User+"/"+what] = body
	r.sees("devices of " + nameOf(a.User) + " are linking: " + what)
	return nil, nil
}

func (r *relay) getLink(req *http.Request, a session.Address) ([]byte, error) {
	r.links.mu.Lock()
	defer r.links.mu.Unlock()
	body, ok := r.links.notes[a.User+"/"+req.PathValue("what")]
	if !ok {
		return nil, errUnknown
	}
	return body, nil
}
