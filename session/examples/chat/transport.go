package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxAnswer bounds what is read of an answer: a full mailbag, as JSON.
const maxAnswer = post.MaxBatch * post.MaxEnvelope

// A transport brings a person's requests to the relay by HTTP.
type transport struct {
	base string // URL
	http http.Client
}

func newTransport(base string) (*transport, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("-relay wants a URL such as http://127.0.0.1:8080")
	}
	return &transport{base: strings.TrimSuffix(base, "/"), http: http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}}, nil
}

func (t *transport) close() { t.http.CloseIdleConnections() }

// Do makes one request. It tells of no progress: the terminal shows none.
func (t *transport) Do(ctx context.Context, r *person.Request) (status int, answer []byte, err error) {
	to := t.base
	for _, part := range r.Path {
		to += "/" + url.PathEscape(part)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, to, bytes.NewReader(r.Body))
	if err != nil {
		return 0, nil, err
	}
	res, err := t.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, answer, err
}
