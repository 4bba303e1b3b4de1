package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

func TestServerErrors(t *testing.T) {
	for status, want := range map[int]error{404: post.ErrUnknown, 409: post.ErrDiffers, 410: post.ErrRemoved, 413: post.ErrRejected, 400: post.ErrRejected, 500: post.ErrGone, 502: post.ErrGone, 507: post.ErrFull} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b", status) }))
		way, err := newTransport(server.URL)
		require.NoError(t, err)
		c := person.NewClient(way)
		_, err = c.Bundle(t.Context(), session.Address{User: post.UserOf("budi"), Device: 1})
		require.ErrorIs(t, err, want)
		require.NotContains(t, err.Error(), "\x1b")
		way.close()
		server.Close()
		_, err = c.Bundle(t.Context(), session.Address{User: post.UserOf("budi"), Device: 1})
		require.ErrorIs(t, err, post.ErrGone)
	}
}
