package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// errGone reports that the relay gave no answer. Try again later.
var errGone = errors.New("the relay cannot be reached")

// errRejected reports that the relay does not want a request, and never will.
var errRejected = errors.New("the relay rejects it")

var (
	errDiffers  = errors.New("the relay knows other devices")
	errNonsense = fmt.Errorf("%w: its answer makes no sense", errGone)
)

// A client is a person's side of the relay.
type client struct {
	base string // URL
	http http.Client
}

func newClient(base string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("-relay wants a URL such as http://127.0.0.1:8080")
	}
	return &client{base: strings.TrimSuffix(base, "/"), http: http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// Devices returns someone's device list. With Bundle and Manifest it makes the
// client the session.Directory of a person's device.
func (c *client) Devices(ctx context.Context, user string) ([]session.PeerDevice, error) {
	return fetch[[]session.PeerDevice](ctx, c, "keys", user)
}

// Bundle takes a prekey bundle of a device.
func (c *client) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	b, err := c.do(ctx, http.MethodGet, nil, path("keys", peer)...)
	if err != nil {
		return nil, err
	}
	return x3dh.ParseBundle(b)
}

// Manifest returns what somebody published of who holds their keys; nil is none.
func (c *client) Manifest(ctx context.Context, user string) ([]byte, error) {
	b, err := c.do(ctx, http.MethodGet, nil, "label", user)
	if errors.Is(err, errUnknown) {
		return nil, nil
	}
	return b, err
}

// declare publishes who holds the keys of an account. errDiffers is that there is a
// newer manifest.
func (c *client) declare(ctx context.Context, user string, signed []byte) error {
	_, err := c.do(ctx, http.MethodPut, signed, "label", user)
	return err
}

// publish uploads prekeys.
func (c *client) publish(ctx context.Context, me session.Address, p *x3dh.Publication) error {
	_, err := c.do(ctx, http.MethodPut, p.Bytes(), path("keys", me)...)
	return err
}

// remove takes a device off the list of its owner.
func (c *client) remove(ctx context.Context, a session.Address) error {
	_, err := c.do(ctx, http.MethodDelete, nil, path("keys", a)...)
	return err
}

// submit hands a message in. When it is not for the devices that the relay knows,
// nothing of it is taken, and the answer is what the relay says about them.
func (c *client) submit(ctx context.Context, s *submission) ([]session.Difference, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	b, err = c.do(ctx, http.MethodPut, b, "sent", s.ID)
	if !errors.Is(err, errDiffers) {
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
func (c *client) mail(ctx context.Context, me session.Address, own string) (mailbag, error) {
	return fetch[mailbag](ctx, c, append(path("mail", me), own)...)
}

// certificate returns one for a device that has published.
func (c *client) certificate(ctx context.Context, me session.Address) (passport, error) {
	return fetch[passport](ctx, c, path("pass", me)...)
}

// confirm says that a message is saved.
func (c *client) confirm(ctx context.Context, me session.Address, id string) error {
	_, err := c.do(ctx, http.MethodDelete, nil, append(path("mail", me), id)...)
	return err
}

// pin leaves something for another device of one's own.
func (c *client) pin(ctx context.Context, user, what string, b []byte) error {
	_, err := c.do(ctx, http.MethodPut, b, "link", user, what)
	return err
}

// pinned returns what another device of one's own has left.
func (c *client) pinned(ctx context.Context, user, what string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, nil, "link", user, what)
}

// leave leaves a file, encrypted.
func (c *client) leave(ctx context.Context, id string, b []byte) error {
	_, err := c.do(ctx, http.MethodPut, b, "file", id)
	return err
}

// left returns a file, encrypted.
func (c *client) left(ctx context.Context, id string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, nil, "file", id)
}

func path(what string, a session.Address) []string {
	return []string{what, a.User, fmt.Sprint(a.Device)}
}

// fetch reads something that is JSON.
func fetch[T any](ctx context.Context, c *client, path ...string) (x T, err error) {
	b, err := c.do(ctx, http.MethodGet, nil, path...)
	if err != nil {
		return x, err
	}
	if json.Unmarshal(b, &x) != nil {
		return x, errNonsense
	}
	return x, nil
}

// maxAnswer bounds what is read of an answer: a full mailbag, as JSON.
const maxAnswer = maxBatch * maxEnvelope

// do makes one request, and returns the body of the answer or an error of
// relay.go or above.
func (c *client) do(ctx context.Context, method string, body []byte, path ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait+10*time.Second)
	defer cancel()
	to := c.base
	for _, part := range path {
		to += "/" + url.PathEscape(part)
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, errGone
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, errGone
	}
	return answer, failure(res.StatusCode)
}

func failure(status int) error {
	switch {
	case status < 300:
		return nil
	case status == http.StatusNotFound:
		return errUnknown
	case status == http.StatusConflict:
		return errDiffers
	case status == http.StatusGone:
		return errRemoved
	case status == http.StatusInsufficientStorage:
		return errFull
	case status < 500:
		return fmt.Errorf("%w (%d)", errRejected, status)
	}
	return fmt.Errorf("%w (%d)", errGone, status)
}
