package person

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// errNonsense is an answer of the relay that is none.
var errNonsense = post.ErrNonsense

// A Request is one to the relay.
type Request struct {
	Method   string
	Path     []string // its parts, not escaped
	Body     []byte
	Progress func(done, total int64) // is told of the bytes that have passed; may be nil
}

// A Transport brings requests to the relay. err is that there was no answer.
type Transport interface {
	Do(ctx context.Context, r *Request) (status int, answer []byte, err error)
}

// A Client is a person's side of the relay.
type Client struct{ transport Transport }

// NewClient returns the side of the relay that t leads to.
func NewClient(t Transport) *Client { return &Client{t} }

// Devices returns someone's device list. With Bundle and Manifest it makes the
// client the session.Directory of a person's device.
func (c *Client) Devices(ctx context.Context, user string) ([]session.PeerDevice, error) {
	return fetch[[]session.PeerDevice](ctx, c, "keys", user)
}

// Bundle takes a prekey bundle of a device.
func (c *Client) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	b, err := c.do(ctx, "GET", nil, path("keys", peer)...)
	if err != nil {
		return nil, err
	}
	return x3dh.ParseBundle(b)
}

// Manifest returns what somebody published of who holds their keys; nil is none.
func (c *Client) Manifest(ctx context.Context, user string) ([]byte, error) {
	b, err := c.do(ctx, "GET", nil, "label", user)
	if errors.Is(err, post.ErrUnknown) {
		return nil, nil
	}
	return b, err
}

// declare publishes who holds the keys of an account. ErrDiffers is that there is a
// newer manifest.
func (c *Client) declare(ctx context.Context, user string, signed []byte) error {
	_, err := c.do(ctx, "PUT", signed, "label", user)
	return err
}

// publish uploads prekeys.
func (c *Client) publish(ctx context.Context, me session.Address, p *x3dh.Publication) error {
	_, err := c.do(ctx, "PUT", p.Bytes(), path("keys", me)...)
	return err
}

// remove takes a device off the list of its owner.
func (c *Client) remove(ctx context.Context, a session.Address) error {
	_, err := c.do(ctx, "DELETE", nil, path("keys", a)...)
	return err
}

// submit hands a message in. When it is not for the devices that the relay knows,
// nothing of it is taken, and the answer is what the relay says about them.
func (c *Client) submit(ctx context.Context, s *post.Submission) ([]session.Difference, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	b, err = c.do(ctx, "PUT", b, "sent", s.ID)
	if !errors.Is(err, post.ErrDiffers) {
		return nil, err
	}
	var said []session.Difference
	if json.Unmarshal(b, &said) != nil || len(said) == 0 {
		return nil, errNonsense
	}
	return said, nil
}

// mail returns what is in a mailbox, once there is something, or the owner has other
// devices than that, or it has waited long enough.
func (c *Client) mail(ctx context.Context, me session.Address, own string) (post.Mailbag, error) {
	return fetch[post.Mailbag](ctx, c, append(path("mail", me), own)...)
}

// certificate returns one for a device that has published.
func (c *Client) certificate(ctx context.Context, me session.Address) (post.Passport, error) {
	return fetch[post.Passport](ctx, c, path("pass", me)...)
}

// confirm says that a message is saved.
func (c *Client) confirm(ctx context.Context, me session.Address, id string) error {
	_, err := c.do(ctx, "DELETE", nil, append(path("mail", me), id)...)
	return err
}

// pin leaves something for another device of one's own.
func (c *Client) pin(ctx context.Context, user, what string, b []byte) error {
	_, err := c.do(ctx, "PUT", b, "link", user, what)
	return err
}

// pinned returns what another device of one's own has left.
func (c *Client) pinned(ctx context.Context, user, what string) ([]byte, error) {
	return c.do(ctx, "GET", nil, "link", user, what)
}

// leave leaves a file, encrypted.
func (c *Client) leave(ctx context.Context, id string, b []byte, progress func(done, total int64)) error {
	_, err := c.request(ctx, &Request{Method: "PUT", Path: []string{"file", id}, Body: b, Progress: progress})
	return err
}

// left returns a file, encrypted.
func (c *Client) left(ctx context.Context, id string, progress func(done, total int64)) ([]byte, error) {
	return c.request(ctx, &Request{Method: "GET", Path: []string{"file", id}, Progress: progress})
}

func path(what string, a session.Address) []string {
	return []string{what, a.User, fmt.Sprint(a.Device)}
}

// fetch reads something that is JSON.
func fetch[T any](ctx context.Context, c *Client, path ...string) (x T, err error) {
	b, err := c.do(ctx, "GET", nil, path...)
	if err != nil {
		return x, err
	}
	if json.Unmarshal(b, &x) != nil {
		return x, errNonsense
	}
	return x, nil
}

// do makes one request, and returns the body of the answer or an error of package
// post.
func (c *Client) do(ctx context.Context, method string, body []byte, path ...string) ([]byte, error) {
	return c.request(ctx, &Request{Method: method, Path: path, Body: body})
}

func (c *Client) request(ctx context.Context, r *Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, post.MaxWait+10*time.Second)
	defer cancel()
	status, answer, err := c.transport.Do(ctx, r)
	switch {
	case errors.Is(err, post.ErrNonsense):
		return nil, post.ErrNonsense
	case err != nil:
		return nil, post.ErrGone
	}
	return answer, post.Failure(status)
}
