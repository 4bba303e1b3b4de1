package main

import (
	"fmt"
	"net/http"
	"sync"
)

// Bounds of the files that the relay keeps.
const (
	maxBlob  = 4 << 20 // bytes, encrypted
	maxBlobs = 200
)

// Blobs are files that people leave for each other, encrypted. Whose one is, and
// for whom, the relay does not know; nor what is in it, nor how long that is: its
// size is that of a bucket. A real store has them for so many days.
type blobs struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (r *relay) putBlob(req *http.Request) ([]byte, error) {
	id := req.PathValue("id")
	b, err := read(req, maxBlob)
	switch {
	case err != nil:
		return nil, err
	case !validID(id) || len(b) == 0:
		return nil, errBad
	}
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	switch _, there := r.blobs.kept[id]; {
	case there: // its answer was lost; and nobody replaces another's
		return nil, nil
	case len(r.blobs.kept) >= maxBlobs:
		return nil, errFull
	}
	r.blobs.kept[id] = b
	r.sees(fmt.Sprintf("somebody leaves a file, %d bytes: %x…", len(b), b[:min(16, len(b))]))
	return nil, nil
}

func (r *relay) getBlob(req *http.Request) ([]byte, error) {
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	b, ok := r.blobs.kept[req.PathValue("id")]
	if !ok {
		return nil, errUnknown
	}
	r.sees(fmt.Sprintf("somebody takes a file, %d bytes", len(b)))
	return b, nil
}
