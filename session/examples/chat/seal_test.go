package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A wiretap is all that passes a relay from one person.
type wiretap struct {
	mu       sync.Mutex
	requests []string
}

// to returns the way to a relay that is tapped.
func (w *wiretap) to(t *testing.T, r *testRelay) string {
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(b))
		var s submission
		_ = json.Unmarshal(b, &s)
		text := fmt.Sprintf("%s %s %v %s %q %s", req.Method, req.URL, req.Header, b, s.Lists, s.Envelope)
		for _, l := range s.Letters {
			text += string(l.Bytes)
		}
		w.mu.Lock()
		w.requests = append(w.requests, text)
		w.mu.Unlock()
		r.handler().ServeHTTP(out, req)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Whoever looks at what the relay gets with a message, logs and keeps finds
// nobody who sent it: no name, no id, no key; not with a picture, not in a group, nor when a message
// is asked for and sent again.
func TestRelayLogShowsNoSender(t *testing.T) {
	const name = "Sriwahyuni-Dewi"
	r, budi := newTestRelay(t), (*testPerson)(nil)
	budi = newTestPerson(t, budi1, r.url, keystore.NewMemory())
	budi.arrives(t)
	var tap wiretap
	ani := newTestPerson(t, deviceOf(name, 1), tap.to(t, r), keystore.NewMemory())
	ani.arrives(t)
	budi.sends(t, name, "Who is there?") // that is not hers
	ani.hears(t, readEvent, "Who is there?")

	var log []string
	r.sees = func(what string) { log = append(log, what) }
	tap.requests = nil
	var kept bytes.Buffer
	keep := func() {
		for _, e := range r.relay.mail.boxes[budi1].mail {
			require.Equal(t, session.TypeSealed, e.Type)
			fmt.Fprintf(&kept, "%+v %s", e, e.Bytes)
		}
	}
	for i := range 3 {
		ani.sends(t, "budi", fmt.Sprint(i))
		keep()
		budi.hears(t, readEvent, fmt.Sprint(i))
	}
	picture := filepath.Join(t.TempDir(), "picture")
	require.NoError(t, os.WriteFile(picture, []byte("picture"), 0o600))
	require.NoError(t, ani.sendFile(t.Context(), "budi", picture))
	_, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	ani.next(t, sentEvent)
	budi.hears(t, readEvent, fileText("picture", 7))
	require.NoError(t, ani.gather(t.Context(), "family", []string{"budi"}))
	ani.sendsAll(t, sentEvent)
	require.NoError(t, ani.write(t.Context(), name+"/family", "to all"))
	ani.sendsAll(t, keyEvent, sentEvent)
	keep()
	budi.receives(t, groupEvent, readEvent)
	require.NoError(t, budi.device.Forget(t.Context(), ani.me.User))
	ani.sends(t, "budi", "four")
	shown := log
	budi.receives(t, askedEvent)
	log = nil // Budi's
	ani.receives(t)
	_, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	ani.next(t, resentEvent)
	keep()
	shown = append(shown, log...)
	budi.hears(t, readEvent, "four")

	id, err := hex.DecodeString(strings.ReplaceAll(ani.me.User, "-", ""))
	require.NoError(t, err)
	key := ani.device.Identity().Bytes()[1:]
	needles := []string{name, ani.me.User, hex.EncodeToString(id), string(id), string(key), hex.EncodeToString(key)}
	clean := func(what string) {
		for _, x := range needles {
			require.NotContains(t, what, x)
		}
	}
	sent := 0
	for _, req := range tap.requests {
		if strings.HasPrefix(req, "GET /mail/") || strings.HasPrefix(req, "DELETE /mail/") {
			continue // she reads her own
		}
		if clean(req); strings.HasPrefix(req, "PUT /sent/") {
			sent++
		}
	}
	require.Equal(t, 9, sent)
	require.NotEmpty(t, kept)
	clean(kept.String())
	require.Contains(t, strings.Join(shown, "\n"), "somebody to budi, type 6")
	clean(strings.Join(shown, "\n"))
}

// What is no envelope, or was changed, or has no certificate that is good, is
// refused, and nobody is asked: nobody is known to have sent it.
func TestBadEnvelopes(t *testing.T) {
	r, ani, budi := twoFriends(t)
	ani.sends(t, "budi", "three")
	box := r.relay.mail.boxes[budi1]
	good := box.mail[0]
	box.mail = nil
	put := func(id string, change func(e *envelope)) {
		e := good
		e.ID, e.Bytes = id, bytes.Clone(e.Bytes)
		change(&e)
		box.mail = append(box.mail, e)
	}
	put("garbage", func(e *envelope) { e.Bytes = []byte("x") })
	put("empty", func(e *envelope) { e.Bytes = nil })
	put("changed", func(e *envelope) { e.Bytes[len(e.Bytes)-1] ^= 1 })
	put("expired", func(e *envelope) { e.Taken = time.Now().Add(goodFor + time.Hour) })
	for _, e := range budi.receives(t, refusedEvent, refusedEvent, refusedEvent, refusedEvent) {
		require.Empty(t, e.Peer)
	}
	require.Empty(t, box.mail)
	require.Empty(t, r.relay.mail.boxes[ani1].mail)

	put("good", func(*envelope) {})
	put("again", func(e *envelope) { e.From = citra1 }) // the relay's word
	budi.receives(t, readEvent, againEvent)

	// By a root that the relay does not tell.
	server := keys.GenerateSigningKey()
	certificate, err := sealed.IssueSenderCertificate(sealed.IssueServerCertificate(keys.GenerateSigningKey(), 1, server.Public()), server,
		sealed.Claims{User: ani1.User, Device: 1, Identity: ani.device.Identity(), Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	ani.passport.sender, err = sealed.NewSender(ani.own.IdentityKeyPair(), certificate, nil)
	require.NoError(t, err)
	ani.sends(t, "budi", "four")
	require.Contains(t, budi.receives(t, refusedEvent)[0].Text, "untrusted")
}

// A relay that starts anew has another root; what was sealed before is believed,
// and what is sealed after.
func TestRelayWithAnotherRoot(t *testing.T) {
	r, ani, budi := twoFriends(t)
	ani.sends(t, "budi", "three")
	r.notary = newNotary()
	ani = newTestPerson(t, ani1, r.url, ani.store)
	ani.arrives(t)
	ani.sends(t, "budi", "four")
	shown := budi.receives(t, readEvent, readEvent)
	require.Equal(t, "three", shown[0].Text)
	require.Equal(t, "four", shown[1].Text)
}

// What waits until its certificate has expired is sealed anew, and comes once.
func TestCertificateExpires(t *testing.T) {
	r, ani, budi := twoFriends(t)
	r.relay.post.deliver = func([]delivery) error { return errFull }
	require.NoError(t, ani.write(t.Context(), "budi", "three"))
	left, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani.next(t, waitsEvent)
	r.relay.post.deliver = r.relay.putMail
	all, err := ani.notes.all(t.Context(), kindOutbox)
	require.NoError(t, err)
	old := all[0].Sealed[0].Letters[0].Bytes
	all[0].Until = time.Now().Add(-time.Second)
	require.NoError(t, ani.notes.save(t.Context(), kindOutbox, all[0]))
	_, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	ani.next(t, sentEvent)
	require.NotEqual(t, old, r.relay.mail.boxes[budi1].mail[0].Bytes)
	budi.hears(t, readEvent, "three")

	ani.passport.until = time.Now().Add(goodFor/2 - time.Minute)
	before := ani.passport.sender
	require.NoError(t, ani.renew(t.Context()))
	require.NotSame(t, before, ani.passport.sender)
	before = ani.passport.sender
	require.NoError(t, ani.renew(t.Context()))
	require.Same(t, before, ani.passport.sender)
}
