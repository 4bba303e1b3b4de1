package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/gembok-e2ee/gembok/x3dh"
)

// Bounds of what the relay reads, and of how long it waits for mail.
const (
	maxPublication = 1 << 20
	maxEnvelope    = 128 << 10
	maxWait        = 25 * time.Second
)

// What a request to the relay may fail with. Each is an HTTP status.
var (
	errBad     = errors.New("not understood")        // 400
	errUnknown = errors.New("nobody has that name")  // 404
	errLarge   = errors.New("too large")             // 413
	errFull    = errors.New("the relay has no room") // 507
)

// A relay is the server between the people: a directory of prekeys, and a
// mailbox for each of them. It keeps all of it in memory, and sees names, sizes
// and ciphertext.
//
//	PUT    /keys/NAME       publish prekeys: an x3dh.Publication
//	GET    /keys/NAME       take a prekey bundle: an x3dh.Bundle
//	PUT    /mail/NAME/ID    send a message: an envelope, as JSON
//	GET    /mail/NAME       read the mailbox: {"mail": [envelope…]}, when there is something, or after 25 s
//	DELETE /mail/NAME/ID    confirm that a message is saved
//
// Whatever goes wrong between a person and the relay, the same request again is
// right: none of them does more when it comes twice, but that a bundle is
// wasted. It asks nobody who they are; see directory.put.
type relay struct {
	keys directory
	mail mailroom

	sees    func(what string)                 // is told what passes
	deliver func(to string, e envelope) error // mail.put, unless the demo stands in between
}

func newRelay(sees func(what string)) *relay {
	r := &relay{keys: directory{people: map[string]*shelf{}}, mail: mailroom{boxes: map[string]*mailbox{}}, sees: sees}
	r.deliver = r.mail.put
	return r
}

func (r *relay) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /keys/{name}", answer(r.putKeys))
	mux.HandleFunc("GET /keys/{name}", answer(r.takeBundle))
	mux.HandleFunc("PUT /mail/{name}/{id}", answer(r.putMail))
	mux.HandleFunc("GET /mail/{name}", answer(r.readMail))
	mux.HandleFunc("DELETE /mail/{name}/{id}", answer(r.confirmMail))
	return mux
}

// answer makes a handler of f, which returns a body or one of the errors above.
func answer(f func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		req.Body = http.MaxBytesReader(w, req.Body, maxPublication)
		var body []byte
		err := errBad
		if validName(req.PathValue("name")) {
			body, err = f(req)
		}
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(body) // a reader that is gone asks again
	}
}

func status(err error) int {
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case errors.Is(err, errUnknown):
		return http.StatusNotFound
	case errors.Is(err, errFull):
		return http.StatusInsufficientStorage
	case errors.Is(err, errLarge), errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func (r *relay) putKeys(req *http.Request) ([]byte, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	p, err := x3dh.ParsePublication(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBad, err)
	}
	name := req.PathValue("name")
	r.sees(fmt.Sprintf("%s publishes prekeys, %d and %d (KEM) of them one-time", name, len(p.PreKeys), len(p.KEMPreKeys)))
	return nil, r.keys.put(name, p)
}

func (r *relay) takeBundle(req *http.Request) ([]byte, error) {
	name := req.PathValue("name")
	b, err := r.keys.take(name)
	if err != nil {
		return nil, err
	}
	r.sees(fmt.Sprintf("somebody takes a prekey bundle of %s, %d bytes", name, len(b.Bytes())))
	return b.Bytes(), nil
}

func (r *relay) putMail(req *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxEnvelope+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxEnvelope {
		return nil, errLarge
	}
	var e envelope
	to := req.PathValue("name")
	switch err := json.Unmarshal(body, &e); {
	case err != nil || !validName(e.From) || len(e.Bytes) == 0 || e.ID != req.PathValue("id") || !validID(e.ID):
		return nil, errBad
	case !r.keys.knows(to):
		return nil, errUnknown
	}
	r.sees(fmt.Sprintf("%s to %s, type %d, %d bytes: %x…", e.From, to, e.Type, len(e.Bytes), e.Bytes[:min(16, len(e.Bytes))]))
	return nil, r.deliver(to, e)
}

func (r *relay) readMail(req *http.Request) ([]byte, error) {
	name := req.PathValue("name")
	if !r.keys.knows(name) {
		return nil, errUnknown
	}
	ctx, cancel := context.WithTimeout(req.Context(), maxWait)
	defer cancel()
	return json.Marshal(mailbag{r.mail.wait(ctx, name)})
}

// A mailbag is the answer to a reader.
type mailbag struct {
	Mail []envelope `json:"mail"`
}

func (r *relay) confirmMail(req *http.Request) ([]byte, error) {
	name := req.PathValue("name")
	if !r.keys.knows(name) {
		return nil, errUnknown
	}
	r.mail.confirm(name, req.PathValue("id"))
	return nil, nil
}

// host answers on l until ctx ends.
func host(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      maxWait + 30*time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that hang up
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.Shutdown(grace) != nil {
		_ = s.Close()
	}
	<-served
	return nil
}

// serve runs the relay alone, and prints what it sees.
func serve(ctx context.Context, out io.Writer, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "relay at http://%s; it forgets all when it ends\n", l.Addr())
	lines := log.New(out, "", log.Ltime)
	return host(ctx, l, newRelay(func(what string) { lines.Print(what) }).handler())
}
