package relay

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// maxManifest bounds a signed manifest, in bytes.
const maxManifest = 8 << 10

// A register has the manifest of each account: what it states of who holds its
// keys, signed by it. The relay hands it out beside each prekey bundle, and alone.
// It can make none up, and whoever saw one misses it when it is left out.
type register struct {
	mu     sync.Mutex
	newest map[string]*hosting.Manifest // by user
	// shows is what is handed out of a user's manifest, nil for none: the newest, as
	// it is, unless the demo stands in between.
	shows func(user string, newest []byte) []byte
}

// put takes in a manifest. One that was here before comes again when its answer
// was lost; one that is no newer than that which is here is ErrOld, as two devices
// of an account may make one at once, and only one of them is the next. One by
// another account key is another installation, which nobody is asked to believe.
func (g *register) put(user string, m *hosting.Manifest, now time.Time) error {
	if m.Account != user {
		return fmt.Errorf("%w: manifest of another account", post.ErrBad)
	}
	if err := m.Verify(now); err != nil {
		return fmt.Errorf("%w: %w", post.ErrBad, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.newest[user]
	switch {
	case old == nil && len(g.newest) >= maxPeople:
		return post.ErrFull
	case old != nil && old.Hash() == m.Hash():
		return nil
	case old != nil && m.Epoch <= old.Epoch:
		return post.ErrOld
	}
	g.newest[user] = m
	return nil
}

// signed returns the manifest that is handed out, nil for none.
func (g *register) signed(user string) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	var newest []byte
	if m := g.newest[user]; m != nil {
		newest = m.Bytes()
	}
	return g.shows(user, newest)
}

func (r *Relay) putManifest(req *http.Request, a session.Address) ([]byte, error) {
	body, err := read(req, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := hosting.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", post.ErrBad, err)
	}
	if err := r.register.put(a.User, m, time.Now()); err != nil {
		return nil, err
	}
	r.sees(fmt.Sprintf("%s publishes who holds the keys, number %d", post.NameOf(a.User), m.Epoch))
	return nil, nil
}

func (r *Relay) getManifest(_ *http.Request, a session.Address) ([]byte, error) {
	signed := r.register.signed(a.User)
	if signed == nil {
		return nil, post.ErrUnknown
	}
	return signed, nil
}
