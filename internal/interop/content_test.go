package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// contentPair is a device of gembok that reads and writes Content, and one of
// the official library, which knows nothing of it.
func contentPair(t *testing.T) (g, o *citizen) {
	w := newTown(t, interop.Share(t), true)
	w.halves()
	g, o = w.of("ani", 1), w.of("citra", 2)
	b, err := w.Bundle(context.Background(), o.address)
	require.NoError(t, err)
	require.NoError(t, g.device.Begin(context.Background(), o.address, b))
	return g, o
}

// encrypt encrypts what a Content is, for an official device.
func (c *citizen) encrypt(to *citizen, content *session.Content) mail {
	m, err := c.device.Encrypt(context.Background(), to.address, content.Bytes())
	require.NoError(c.town.t, err)
	return mail{from: c.address, to: to.address, msg: interop.Message{Type: int(m.Type), Bytes: m.Bytes}}
}

// encryptBytes encrypts bytes for a device of gembok.
func (c *citizen) encryptBytes(to *citizen, plaintext []byte) mail {
	m, err := c.party.Encrypt(interop.Address{Name: to.address.User, Device: to.address.Device}, plaintext, time.Time{})
	require.NoError(c.town.t, err)
	return mail{from: c.address, to: to.address, msg: m}
}

// The official library decrypts exactly a padded Content, whatever its length;
// gembok takes padding to other blocks, too.
func TestInteropContentPadding(t *testing.T) {
	g, o := contentPair(t)
	remote := interop.Address{Name: "ani", Device: 1}
	sizes := make(map[int]int)
	for n := range 3 * 80 {
		if n%8 > 1 && n%80 < 70 {
			continue
		}
		c := &session.Content{Body: make([]byte, n), SentAt: time.UnixMilli(1_700_000_000_000), Timer: 7 * time.Second, TimerVersion: 3}
		got, err := o.party.Decrypt(remote, g.encrypt(o, c).msg)
		require.NoError(t, err)
		require.Equal(t, pad(c.Bytes()), got)
		require.Equal(t, c.Bytes(), unpad(t, got))
		read, err := wire.ParseContent(unpad(t, got))
		require.NoError(t, err)
		require.Equal(t, &wire.Timer{Seconds: 7, Version: 3}, read.Timer)
		sizes[len(got)]++

		back := append(append(c.Bytes(), 0x80), make([]byte, n%3*80)...)
		r, err := g.receive(o.encryptBytes(g, back))
		require.NoError(t, err)
		require.Equal(t, c.Bytes(), r.Plaintext)
		require.Equal(t, c.Bytes(), r.Content.Bytes())
		require.Len(t, r.Content.Body, n)
	}
	require.Len(t, sizes, 4, "%v", sizes)
}

// What a peer that is authentic has badly padded, or is no Content, changes
// nothing; the messages around it are read.
func TestInteropContentMalformed(t *testing.T) {
	g, o := contentPair(t)
	good := (&session.Content{Body: []byte("good"), SentAt: time.UnixMilli(1_700_000_000_000)}).Bytes()
	_, err := o.party.Decrypt(interop.Address{Name: "ani", Device: 1}, g.encrypt(o, &session.Content{}).msg)
	require.NoError(t, err)
	copied := wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Recipient: "budi", Content: good}})
	for name, bad := range map[string][]byte{
		"empty": {}, "zeros": make([]byte, 79), "no padding": good, "other end": append(pad(good), 1),
		"no content": pad([]byte{0xFF}), "copy of another account": pad(copied),
	} {
		m := o.encryptBytes(g, bad)
		before := testutil.StoreDigest(t, g.store)
		_, err := g.receive(m)
		require.ErrorIs(t, err, session.ErrMalformed, name)
		require.Equal(t, before, testutil.StoreDigest(t, g.store), name)
		r, err := g.receive(o.encryptBytes(g, pad(good)))
		require.NoError(t, err, name)
		require.Equal(t, "good", string(r.Content.Body))
	}
}
