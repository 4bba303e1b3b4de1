package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A testRelay is a relay and a way to it.
type testRelay struct {
	*relay
	*client
	url string
}

func newTestRelay(t *testing.T) *testRelay {
	r := newRelay(func(string) {})
	server := httptest.NewServer(r.handler())
	c, err := newClient(server.URL)
	require.NoError(t, err)
	t.Cleanup(func() {
		c.close()
		server.CloseClientConnections() // ends long polls
		server.Close()
	})
	return &testRelay{r, c, server.URL}
}

func newDevice(t *testing.T, name string) *session.Device {
	d, err := openDevice(t.Context(), keystore.NewMemory(), name)
	require.NoError(t, err)
	return d
}

func publication(t *testing.T, name string) *x3dh.Publication {
	p, err := newDevice(t, name).Publish(t.Context())
	require.NoError(t, err)
	return p
}

// Every one-time prekey is in one bundle, however many ask at once and however
// often the same prekeys are uploaded; then come bundles of last resort.
func TestOneTimePreKeysOnce(t *testing.T) {
	r, p := newTestRelay(t), publication(t, "budi")
	n := len(p.PreKeys)
	require.Equal(t, n, len(p.KEMPreKeys))
	require.NoError(t, r.publish(t.Context(), "budi", p))
	var wg sync.WaitGroup
	bundles := make(chan *x3dh.Bundle, 2*n)
	for range 8 {
		wg.Go(func() {
			for i := range (n + 20) / 8 {
				if i%5 == 0 {
					_ = r.publish(t.Context(), "budi", p)
				}
				if b, err := r.bundle(t.Context(), "budi"); err == nil && b.Verify() == nil {
					bundles <- b
				}
			}
		})
	}
	wg.Wait()
	close(bundles)
	got, ec, kem, last := 0, map[uint32]bool{}, map[uint32]bool{}, 0
	for b := range bundles {
		got++
		if b.PreKey != nil {
			require.False(t, ec[b.PreKey.ID])
			ec[b.PreKey.ID] = true
		}
		if b.LastResort {
			last++
			require.Equal(t, p.LastResort.ID, b.KEMPreKey.ID)
			continue
		}
		require.False(t, kem[b.KEMPreKey.ID])
		kem[b.KEMPreKey.ID] = true
	}
	require.Equal(t, (n+20)/8*8, got)
	require.Len(t, ec, n)
	require.Len(t, kem, n)
	require.Equal(t, got-n, last)
}

func TestDirectory(t *testing.T) {
	r := newTestRelay(t)
	_, err := r.bundle(t.Context(), "budi")
	require.ErrorIs(t, err, errUnknown)

	// Another installation takes the place of the old one.
	old, next := publication(t, "budi"), publication(t, "budi")
	require.NoError(t, r.publish(t.Context(), "budi", old))
	require.NoError(t, r.publish(t.Context(), "budi", next))
	for range len(next.PreKeys) + 1 {
		b, err := r.bundle(t.Context(), "budi")
		require.NoError(t, err)
		require.Equal(t, next.IdentityKey, b.IdentityKey)
		require.NoError(t, b.Verify())
	}

	// A signature that does not hold is no publication.
	next.LastResort.Signature = bytes.Clone(next.LastResort.Signature)
	next.LastResort.Signature[0] ^= 1
	require.ErrorIs(t, r.publish(t.Context(), "budi", next), errRejected)
	require.ErrorIs(t, r.publish(t.Context(), "budi", &x3dh.Publication{RegistrationID: 1, DeviceID: 1}), errRejected)
	_, err = r.bundle(t.Context(), "budi")
	require.NoError(t, err)
}

func TestDirectoryBounds(t *testing.T) {
	r, p := newTestRelay(t), publication(t, "a")
	require.NoError(t, r.publish(t.Context(), "a", p))
	s := r.keys.people["a"]
	for i := range uint32(maxOffered) {
		s.offered[oneTime{id: 1<<24 + i}] = true // ids that nobody has
	}
	require.ErrorIs(t, r.publish(t.Context(), "a", p), errFull)
	for i := range maxPeople {
		r.keys.people[fmt.Sprint(i)] = s
	}
	require.ErrorIs(t, r.publish(t.Context(), "b", p), errFull)
}

func letter(id string) envelope {
	return envelope{ID: id, From: "ani", Type: session.TypeSignal, Bytes: []byte("ciphertext " + id)}
}

func TestMailbox(t *testing.T) {
	r := newTestRelay(t)
	require.ErrorIs(t, r.send(t.Context(), "budi", letter("a")), errUnknown)
	_, err := r.client.mail(t.Context(), "budi")
	require.ErrorIs(t, err, errUnknown)
	require.ErrorIs(t, r.confirm(t.Context(), "budi", "a"), errUnknown)
	require.NoError(t, r.publish(t.Context(), "budi", publication(t, "budi")))

	for _, id := range []string{"b", "a", "c", "a", "b"} {
		require.NoError(t, r.send(t.Context(), "budi", letter(id)))
	}
	for range 2 { // unconfirmed mail comes again
		mail, err := r.client.mail(t.Context(), "budi")
		require.NoError(t, err)
		require.Equal(t, []envelope{letter("b"), letter("a"), letter("c")}, mail)
	}
	for _, id := range []string{"a", "a", "unknown"} {
		require.NoError(t, r.confirm(t.Context(), "budi", id))
	}
	mail, err := r.client.mail(t.Context(), "budi")
	require.NoError(t, err)
	require.Equal(t, []envelope{letter("b"), letter("c")}, mail)
}

func TestMailboxBounds(t *testing.T) {
	r := newTestRelay(t)
	require.NoError(t, r.publish(t.Context(), "budi", publication(t, "budi")))
	for i := range maxMail {
		require.NoError(t, r.relay.mail.put("budi", letter(fmt.Sprint(i))))
	}
	require.NoError(t, r.send(t.Context(), "budi", letter("0")))
	require.ErrorIs(t, r.send(t.Context(), "budi", letter("more")), errFull)
	mail, err := r.client.mail(t.Context(), "budi")
	require.NoError(t, err)
	require.Len(t, mail, maxBatch)
	require.Equal(t, letter("0"), mail[0])
	require.NoError(t, r.confirm(t.Context(), "budi", "0"))
	require.NoError(t, r.send(t.Context(), "budi", letter("more")))

	big := letter("big")
	big.Bytes = make([]byte, maxEnvelope)
	require.ErrorIs(t, r.send(t.Context(), "ani", big), errRejected)
	largest := letter("largest") // of what a person may write, with the ratchet's part
	largest.Bytes = make([]byte, maxText+8<<10)
	require.ErrorIs(t, r.send(t.Context(), "ani", largest), errUnknown)
}

// A reader waits for mail, and no longer than asked.
func TestMailboxWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mailroom{boxes: map[string]*mailbox{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got []envelope
		done := make(chan struct{})
		go func() {
			got = m.wait(ctx, "budi")
			close(done)
		}()
		time.Sleep(30 * time.Second)
		require.NoError(t, m.put("ani", letter("x")))
		synctest.Wait()
		require.Nil(t, got)
		require.NoError(t, m.put("budi", letter("y")))
		<-done
		require.Equal(t, []envelope{letter("y")}, got)
		m.confirm("budi", "y")
		require.Empty(t, m.wait(ctx, "budi"))
		require.Error(t, ctx.Err())
	})
}

func TestRelayBadInput(t *testing.T) {
	r := newTestRelay(t)
	require.NoError(t, r.publish(t.Context(), "budi", publication(t, "budi")))
	good, err := json.Marshal(letter("a"))
	require.NoError(t, err)
	change := func(old, new string) string { return strings.Replace(string(good), old, new, 1) }
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/mail/budi/a", string(good), 200},
		{"PUT", "/mail/budi/b", string(good), 400},
		{"PUT", "/mail/budi/a", "", 400},
		{"PUT", "/mail/budi/a", "{", 400},
		{"PUT", "/mail/budi/a", "[]", 400},
		{"PUT", "/mail/budi/a", "null", 400},
		{"PUT", "/mail/budi/a", change(`"type":2`, `"type":256`), 400},
		{"PUT", "/mail/budi/a", change(`"ani"`, `"ani budi"`), 400},
		{"PUT", "/mail/budi/a", change(`"ani"`, `""`), 400},
		{"PUT", "/mail/budi/a", change(`"bytes":"`, `"bytes":"*`), 400},
		{"PUT", "/mail/budi/A", change(`"id":"a"`, `"id":"A"`), 400},
		{"PUT", "/mail/budi/%1b", change(`"id":"a"`, `"id":"\u001b"`), 400},
		{"PUT", "/mail/budi/a", strings.Repeat(" ", maxEnvelope+1), 413},
		{"PUT", "/mail/citra/a", string(good), 404},
		{"PUT", "/mail/bu%20di/a", string(good), 400},
		{"GET", "/mail/%ff", "", 400},
		{"GET", "/keys/" + strings.Repeat("b", 17), "", 400},
		{"GET", "/keys/b%00", "", 400},
		{"PUT", "/keys/budi", "no publication", 400},
		{"PUT", "/keys/budi", "", 400},
		{"PUT", "/keys/budi", strings.Repeat("x", maxPublication+1), 413},
		{"POST", "/keys/budi", "", 405},
		{"GET", "/", "", 404},
		{"GET", "/keys/", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, r.url+c.path, strings.NewReader(c.body))
		require.NoError(t, err)
		res, err := r.http.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
		require.Equal(t, c.status, res.StatusCode, "%s %s %.40s", c.method, c.path, c.body)
	}
	mail, err := r.client.mail(t.Context(), "budi")
	require.NoError(t, err)
	require.Equal(t, []envelope{letter("a")}, mail)
}

// FuzzRelay sends the relay anything; it answers, and never with an error of
// its own.
func FuzzRelay(f *testing.F) {
	f.Add("PUT", "mail", "budi", "a", []byte(`{"id":"a","from":"ani","type":2,"bytes":"AA=="}`))
	f.Add("PUT", "keys", "budi", "", []byte{8, 1, 16, 1})
	f.Add("DELETE", "mail", "budi", "a", []byte(nil))
	f.Fuzz(func(t *testing.T, method, what, name, id string, body []byte) {
		r := newRelay(func(string) {})
		r.keys.people["budi"] = &shelf{stock: &x3dh.Publication{}, offered: map[oneTime]bool{}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for mail
		req := httptest.NewRequest("GET", "/", bytes.NewReader(body)).WithContext(ctx)
		req.Method, req.URL.Path = method, "/"+what+"/"+name+"/"+id
		res := httptest.NewRecorder()
		r.handler().ServeHTTP(res, req)
		require.Less(t, res.Code, 500)
	})
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "Ani", "ani-2_b", "Лена", "陈", "sixteen-bytes-ab"} {
		require.True(t, validName(name), name)
		require.Equal(t, name, nameOf(address(name)))
	}
	for _, name := range []string{"", "a b", "a.b", "a/b", "a:", "seventeen-bytes-a", "a\x00", "\xff", "a\u202eb", "😀", "a\n"} {
		require.False(t, validName(name), "%q", name)
	}
	require.NotEqual(t, address("ani"), address("Ani"))
	for _, id := range []string{"", "A", "a b", "a/b", strings.Repeat("a", 65)} {
		require.False(t, validID(id), id)
	}
	for range 100 {
		require.True(t, validID(newID()))
	}
}

func TestServerErrors(t *testing.T) {
	for status, want := range map[int]error{404: errUnknown, 413: errRejected, 400: errRejected, 500: errGone, 502: errGone, 507: errFull} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b", status) }))
		c, err := newClient(server.URL)
		require.NoError(t, err)
		_, err = c.bundle(t.Context(), "budi")
		require.ErrorIs(t, err, want)
		require.NotContains(t, err.Error(), "\x1b")
		c.close()
		server.Close()
		_, err = c.bundle(t.Context(), "budi")
		require.ErrorIs(t, err, errGone)
	}
}
