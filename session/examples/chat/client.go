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

	"github.com/gembok-e2ee/gembok/x3dh"
)

// errGone reports that the relay gave no answer. Try again later.
var errGone = errors.New("the relay cannot be reached")

// errRejected reports that the relay does not want a request, and never will.
var errRejected = errors.New("the relay rejects it")

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

// publish uploads prekeys.
func (c *client) publish(ctx context.Context, name string, p *x3dh.Publication) error {
	_, err := c.do(ctx, http.MethodPut, p.Bytes(), "keys", name)
	return err
}

// bundle takes a prekey bundle of someone.
func (c *client) bundle(ctx context.Context, name string) (*x3dh.Bundle, error) {
	b, err := c.do(ctx, http.MethodGet, nil, "keys", name)
	if err != nil {
		return nil, err
	}
	return x3dh.ParseBundle(b)
}

// send brings a message to someone's mailbox.
func (c *client) send(ctx context.Context, to string, e envelope) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPut, b, "mail", to, e.ID)
	return err
}

// mail returns what is in a mailbox, once there is something or it has waited
// long enough.
func (c *client) mail(ctx context.Context, name string) ([]envelope, error) {
	b, err := c.do(ctx, http.MethodGet, nil, "mail", name)
	if err != nil {
		return nil, err
	}
	var bag mailbag
	if err := json.Unmarshal(b, &bag); err != nil {
		return nil, fmt.Errorf("%w: its answer makes no sense", errGone)
	}
	return bag.Mail, nil
}

// confirm says that a message is saved.
func (c *client) confirm(ctx context.Context, name, id string) error {
	_, err := c.do(ctx, http.MethodDelete, nil, "mail", name, id)
	return err
}

// maxAnswer bounds what is read of an answer: a full mailbag, as JSON.
const maxAnswer = maxBatch * maxEnvelope

// do makes one request, and returns the body of the answer or an error of
// relay.go or above.
func (c *client) do(ctx context.Context, method string, body []byte, path ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait+10*time.Second)
	defer cancel()
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/"+strings.Join(path, "/"), bytes.NewReader(body))
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
	case status == http.StatusInsufficientStorage:
		return errFull
	case status < 500:
		return fmt.Errorf("%w (%d)", errRejected, status)
	}
	return fmt.Errorf("%w (%d)", errGone, status)
}
