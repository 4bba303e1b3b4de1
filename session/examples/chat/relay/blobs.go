package relay

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxBlobs bounds the files that the relay keeps.
const maxBlobs = 200

// Blobs are files that people leave for each other, encrypted. Whose one is, and
// for whom, the relay does not know; nor what is in it, nor how long that is: its
// size is that of a bucket. A real store has them for so many days.
type blobs struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (r *Relay) putBlob(req *http.Request) ([]byte, error) {
	id := req.PathValue("id")
	b, err := read(req, post.MaxBlob)
	switch {
	case err != nil:
		return nil, err
	case !post.ValidID(id) || len(b) == 0:
		return nil, post.ErrBad
	}
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	switch _, there := r.blobs.kept[id]; {
	case there: // its answer was lost; and nobody replaces another's
		return nil, nil
	case len(r.blobs.kept) >= maxBlobs:
		return nil, post.ErrFull
	}
	r.blobs.kept[id] = b
	r.sees(fmt.Sprintf("somebody leaves a file, %d bytes: %x…", len(b), b[:min(16, len(b))]))
	return nil, nil
}

func (r *Relay) getBlob(req *http.Request) ([]byte, error) {
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	b, ok := r.blobs.kept[req.PathValue("id")]
	if !ok {
		return nil, post.ErrUnknown
	}
	r.sees(fmt.Sprintf("somebody takes a file, %d bytes", len(b)))
	return b, nil
}
