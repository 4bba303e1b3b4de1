// Package relay is the server of the example: relay.go has its requests, and of the
// others each is one thing.
//
//	directory.go   who has which devices, and their prekeys
//	register.go    what accounts state of who holds their keys
//	postoffice.go  how a message is taken in, for the right devices or not at all
//	mailbox.go     where it waits for its reader
//	certify.go     certificates, by which people show each other who writes
//	blobs.go       files, encrypted
//	board.go       what two devices of somebody leave for each other to be linked
package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// maxPublication bounds what a device publishes, in bytes.
const maxPublication = 1 << 20

// A Relay is the server between the people: a directory of their devices and
// prekeys, and a mailbox for each device. It keeps all of it in memory, and sees
// whose mailbox a message is for, sizes and ciphertext; but not who sent it.
//
//	PUT    /keys/USER/DEVICE     publish prekeys: an x3dh.Publication
//	GET    /keys/USER            the devices of someone: a list of session.PeerDevice
//	GET    /keys/USER/DEVICE     take a prekey bundle: an x3dh.Bundle
//	DELETE /keys/USER/DEVICE     remove a device
//	PUT    /label/USER           publish who holds the keys of an account: a signed hosting.Manifest; 409 when there is one as new
//	GET    /label/USER           what somebody published so; it also comes with each bundle
//	GET    /pass/USER/DEVICE     get a certificate that says who this device is: a post.Passport
//	PUT    /sent/ID              send a message, of nobody: a post.Submission; 409 and a list of session.Difference when it is not for the right devices
//	GET    /mail/USER/DEVICE     read the mailbox: a post.Mailbag, when there is something, or after 25 s
//	GET    /mail/USER/DEVICE/OWN the same, and at once when the owner's devices are not OWN: numbers with commas
//	DELETE /mail/USER/DEVICE/ID  confirm that a message is saved
//	PUT    /link/USER/WHAT       leave something for another device of one's own
//	GET    /link/USER/WHAT       look whether it is there
//	PUT    /file/ID              leave a file, encrypted
//	GET    /file/ID              take a copy of it
//
// Whatever goes wrong between a person and the relay, the same request again is
// right: none of them does more when it comes twice, but that a bundle is
// wasted. It asks nobody who they are; see directory.put. A real one does where there
// is a name in the path, and where there is none asks for something that only those
// have whom the reader wants to hear from, against mail that nobody wants.
type Relay struct {
	keys     directory
	register register
	office   postOffice
	mail     mailroom
	links    board
	blobs    blobs
	notary   notary

	sees func(what string) // is told what passes

	// Deliver brings what was taken in to the mailboxes: Put, unless somebody stands in
	// between. It is set before the relay is used.
	Deliver func(mail []Delivery) error
}

// New returns a relay that tells sees what passes.
func New(sees func(what string)) *Relay {
	r := &Relay{
		keys: directory{people: map[string]map[uint32]*shelf{}}, mail: mailroom{boxes: map[session.Address]*mailbox{}},
		office: postOffice{taken: map[string]bool{}}, links: board{notes: map[string][]byte{}},
		blobs: blobs{kept: map[string][]byte{}}, notary: newNotary(), sees: sees,
	}
	r.Deliver = r.Put
	r.register = register{newest: map[string]*hosting.Manifest{}, shows: func(_ string, newest []byte) []byte { return newest }}
	return r
}

// Mail is what is in a mailbox.
func (r *Relay) Mail(a session.Address) []post.Envelope {
	r.mail.mu.Lock()
	defer r.mail.mu.Unlock()
	return slices.Clone(r.mail.box(a).mail)
}

// Signed is the manifest of a user that is handed out, nil for none.
func (r *Relay) Signed(user string) []byte { return r.register.signed(user) }

// Show has that handed out of a user's manifest: what of makes of the newest. nil is
// none.
func (r *Relay) Show(user string, of func(newest []byte) []byte) {
	r.register.mu.Lock()
	defer r.register.mu.Unlock()
	r.register.shows = func(u string, newest []byte) []byte {
		if u == user {
			return of(newest)
		}
		return newest
	}
}

// Handler answers the requests.
func (r *Relay) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /keys/{user}/{device}", answer(r.putKeys))
	mux.HandleFunc("GET /keys/{user}", answer(r.listDevices))
	mux.HandleFunc("GET /keys/{user}/{device}", answer(r.takeBundle))
	mux.HandleFunc("DELETE /keys/{user}/{device}", answer(r.removeDevice))
	mux.HandleFunc("PUT /label/{user}", answer(r.putManifest))
	mux.HandleFunc("GET /label/{user}", answer(r.getManifest))
	mux.HandleFunc("GET /pass/{user}/{device}", answer(r.getPassport))
	mux.HandleFunc("PUT /sent/{id}", anonymous(r.send))
	mux.HandleFunc("GET /mail/{user}/{device}", answer(r.readMail))
	mux.HandleFunc("GET /mail/{user}/{device}/{own}", answer(r.readMail))
	mux.HandleFunc("DELETE /mail/{user}/{device}/{id}", answer(r.confirmMail))
	mux.HandleFunc("PUT /link/{user}/{what}", answer(r.putLink))
	mux.HandleFunc("GET /link/{user}/{what}", answer(r.getLink))
	mux.HandleFunc("PUT /file/{id}", anonymous(r.putBlob))
	mux.HandleFunc("GET /file/{id}", anonymous(r.getBlob))
	return mux
}

// answer makes a handler of f, which is given the address in the path, and
// returns a body or one of the errors above.
func answer(f func(*http.Request, session.Address) ([]byte, error)) http.HandlerFunc {
	return anonymous(func(req *http.Request) ([]byte, error) {
		a := session.Address{User: req.PathValue("user"), Device: 1}
		if device := req.PathValue("device"); device != "" {
			n, _ := strconv.ParseUint(device, 10, 32) // 0 is no device
			a.Device = uint32(n)
		}
		if !post.ValidAddress(a) {
			return nil, post.ErrBad
		}
		return f(req, a)
	})
}

// anonymous makes a handler of f, where nobody says who they are.
func anonymous(f func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		req.Body = http.MaxBytesReader(w, req.Body, post.MaxSubmission)
		body, err := f(req)
		w.Header().Set("Content-Type", "application/octet-stream")
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			err = post.ErrLarge
		}
		switch differs := (*differsError)(nil); {
		case errors.As(err, &differs):
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(differs.said)
		case err != nil:
			http.Error(w, err.Error(), post.Status(err))
		default:
			w.Header().Set("Content-Length", strconv.Itoa(len(body))) // by which a page shows how much is to come
			_, _ = w.Write(body)                                      // a reader that is gone asks again
		}
	}
}

// read reads the body of a request, of that many bytes at most.
func read(req *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, most+1))
	if err == nil && int64(len(body)) > most {
		err = post.ErrLarge
	}
	return body, err
}

func (r *Relay) putKeys(req *http.Request, a session.Address) ([]byte, error) {
	body, err := read(req, maxPublication)
	if err != nil {
		return nil, err
	}
	p, err := x3dh.ParsePublication(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", post.ErrBad, err)
	}
	isNew, err := r.keys.put(a, p)
	if isNew {
		r.mail.clear(a) // for the device that was here before
		r.mail.wake(a.User)
	}
	if err == nil {
		r.sees(fmt.Sprintf("%s publishes prekeys, %d and %d (KEM) of them one-time", post.Label(a), len(p.PreKeys), len(p.KEMPreKeys)))
	}
	return nil, err
}

func (r *Relay) listDevices(_ *http.Request, a session.Address) ([]byte, error) {
	list, err := r.keys.list(a.User)
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

func (r *Relay) takeBundle(_ *http.Request, a session.Address) ([]byte, error) {
	b, err := r.keys.take(a)
	if err != nil {
		return nil, err
	}
	b.Manifest = r.register.signed(a.User)
	r.sees(fmt.Sprintf("somebody takes a prekey bundle of %s, %d bytes", post.Label(a), len(b.Bytes())))
	return b.Bytes(), nil
}

func (r *Relay) removeDevice(_ *http.Request, a session.Address) ([]byte, error) {
	if err := r.keys.remove(a); err != nil {
		return nil, err
	}
	r.mail.clear(a)
	r.mail.wake(a.User)
	r.sees(post.Label(a) + " is removed")
	return nil, nil
}

func (r *Relay) readMail(req *http.Request, a session.Address) ([]byte, error) {
	if err := r.keys.knows(a); err != nil {
		return nil, err
	}
	list, err := r.keys.list(a.User)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), post.MaxWait)
	defer cancel()
	if own := req.PathValue("own"); own != "" && own != numbers(list) {
		cancel() // that is something to tell
	}
	mail := r.mail.wait(ctx, a)
	if err := r.keys.knows(a); err != nil {
		return nil, err // removed meanwhile
	}
	list, err = r.keys.list(a.User)
	if err != nil {
		return nil, err
	}
	return json.Marshal(post.Mailbag{Mail: mail, Own: numbers(list)})
}

// numbers are those of devices, with commas.
func numbers(list []session.PeerDevice) string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprint(d.Device))
	}
	return strings.Join(out, ",")
}

func (r *Relay) getPassport(_ *http.Request, a session.Address) ([]byte, error) {
	identity, err := r.keys.identity(a)
	if err != nil {
		return nil, err
	}
	return r.certify(a, identity, time.Now())
}

func (r *Relay) confirmMail(req *http.Request, a session.Address) ([]byte, error) {
	if err := r.keys.knows(a); err != nil {
		return nil, err
	}
	r.mail.confirm(a, req.PathValue("id"))
	return nil, nil
}

// Host answers on l until ctx ends.
func Host(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      post.MaxWait + 30*time.Second,
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
