package relay

import (
	"net/http"
	"slices"
	"sync"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxLink bounds what passes between two devices that are being linked.
const maxLink = 4 << 10

// A board has, for each person, what their devices leave for each other.
type board struct {
	mu    sync.Mutex
	notes map[string][]byte // by user and what it is
}

// putLink pins something up. A new key takes the answer to an old one away.
func (r *Relay) putLink(req *http.Request, a session.Address) ([]byte, error) {
	what := req.PathValue("what")
	body, err := read(req, maxLink)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains([]string{post.LinkKey, post.LinkAnswer}, what):
		return nil, post.ErrBad
	}
	if _, err := r.keys.list(a.User); err != nil {
		return nil, err // who has no device links none; this bounds their number
	}
	r.links.mu.Lock()
	defer r.links.mu.Unlock()
	delete(r.links.notes, a.User+"/"+post.LinkAnswer)
	r.links.notes[a.User+"/"+what] = body
	r.sees("devices of " + post.NameOf(a.User) + " are linking: " + what)
	return nil, nil
}

func (r *Relay) getLink(req *http.Request, a session.Address) ([]byte, error) {
	r.links.mu.Lock()
	defer r.links.mu.Unlock()
	body, ok := r.links.notes[a.User+"/"+req.PathValue("what")]
	if !ok {
		return nil, post.ErrUnknown
	}
	return body, nil
}
