package person

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A wiretap is all that passes a relay from one person.
type wiretap struct {
	mu       sync.Mutex
	requests []string
}

// to returns the way to a relay that is tapped.
func (w *wiretap) to(r *testRelay) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(b))
		var s post.Submission
		_ = json.Unmarshal(b, &s)
		text := fmt.Sprintf("%s %s %v %s %q %s", req.Method, req.URL, req.Header, b, s.Lists, s.Envelope)
		for _, l := range s.Letters {
			text += string(l.Bytes)
		}
		w.mu.Lock()
		w.requests = append(w.requests, text)
		w.mu.Unlock()
		r.ServeHTTP(out, req)
	})
}

// Whoever looks at what the relay gets with a message, logs and keeps finds
// nobody who sent it: no name, no id, no key; not with a picture, not in a group, nor when a message
// is asked for and sent again.
func TestRelayLogShowsNoSender(t *testing.T) {
	const name = "Sriwahyuni-Dewi"
	r, budi := newTestRelay(t), (*testPerson)(nil)
	budi = newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	var tap wiretap
	ani := newTestPerson(t, deviceOf(name, 1), tap.to(r), keystore.NewMemory())
	ani.arrives(t)
	budi.sends(t, name, "Who is there?") // that is not hers
	ani.hears(t, ReadEvent, "Who is there?")

	var log []string
	r.sees = func(what string) { log = append(log, what) }
	tap.requests = nil
	var kept bytes.Buffer
	keep := func() {
		for _, e := range r.Mail(budi1) {
			require.Equal(t, session.TypeSealed, e.Type)
			fmt.Fprintf(&kept, "%+v %s", e, e.Bytes)
		}
	}
	for i := range 3 {
		ani.sends(t, "budi", fmt.Sprint(i))
		keep()
		budi.hears(t, ReadEvent, fmt.Sprint(i))
	}
	require.NoError(t, ani.SendFile(t.Context(), "budi", "picture", []byte("picture"), nil))
	_, err := ani.Flush(t.Context())
	require.NoError(t, err)
	ani.next(t, SentEvent)
	budi.hears(t, ReadEvent, "[picture, 7 bytes]")
	require.NoError(t, ani.Gather(t.Context(), "family", []string{"budi"}))
	ani.sendsAll(t, SentEvent)
	require.NoError(t, ani.Write(t.Context(), name+"/family", "to all"))
	ani.sendsAll(t, KeyEvent, SentEvent)
	keep()
	budi.receives(t, GroupEvent, ReadEvent)
	require.NoError(t, budi.device.Forget(t.Context(), ani.me.User))
	ani.sends(t, "budi", "four")
	shown := log
	budi.receives(t, AskedEvent)
	log = nil // Budi's
	ani.receives(t)
	_, err = ani.Flush(t.Context())
	require.NoError(t, err)
	ani.next(t, ResentEvent)
	keep()
	shown = append(shown, log...)
	budi.hears(t, ReadEvent, "four")

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
	good := r.empties(t, budi1)[0]
	put := func(id string, change func(e *post.Envelope)) {
		e := good
		e.ID, e.Bytes = id, bytes.Clone(e.Bytes)
		change(&e)
		r.puts(t, budi1, e)
	}
	put("garbage", func(e *post.Envelope) { e.Bytes = []byte("x") })
	put("empty", func(e *post.Envelope) { e.Bytes = nil })
	put("changed", func(e *post.Envelope) { e.Bytes[len(e.Bytes)-1] ^= 1 })
	put("expired", func(e *post.Envelope) { e.Taken = time.Now().Add(post.GoodFor + time.Hour) })
	for _, e := range budi.receives(t, RefusedEvent, RefusedEvent, RefusedEvent, RefusedEvent) {
		require.Empty(t, e.Peer)
	}
	require.Empty(t, r.Mail(budi1))
	require.Empty(t, r.Mail(ani1))

	put("good", func(*post.Envelope) {})
	put("again", func(e *post.Envelope) { e.From = citra1 }) // the relay's word
	budi.receives(t, ReadEvent, AgainEvent)

	// By a root that the relay does not tell.
	server := keys.GenerateSigningKey()
	certificate, err := sealed.IssueSenderCertificate(sealed.IssueServerCertificate(keys.GenerateSigningKey(), 1, server.Public()), server,
		sealed.Claims{User: ani1.User, Device: 1, Identity: ani.device.Identity(), Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	ani.passport.sender, err = sealed.NewSender(ani.own.IdentityKeyPair(), certificate, nil)
	require.NoError(t, err)
	ani.sends(t, "budi", "four")
	require.Contains(t, budi.receives(t, RefusedEvent)[0].Text, "untrusted")
}

// A relay that starts anew has another root; what was sealed before is believed,
// and what is sealed after.
func TestRelayWithAnotherRoot(t *testing.T) {
	r, ani, budi := twoFriends(t)
	ani.sends(t, "budi", "three")
	mail := r.Mail(budi1)
	r.forgets()
	p, err := budi.device.Publish(t.Context())
	require.NoError(t, err)
	require.NoError(t, budi.upload(t.Context(), p)) // and no new certificate
	r.puts(t, budi1, mail...)
	ani = newTestPerson(t, ani1, r, ani.store)
	ani.arrives(t)
	ani.sends(t, "budi", "four")
	shown := budi.receives(t, ReadEvent, ReadEvent)
	require.Equal(t, "three", shown[0].Text)
	require.Equal(t, "four", shown[1].Text)
}

// What waits until its certificate has expired is sealed anew, and comes once.
func TestCertificateExpires(t *testing.T) {
	r, ani, budi := twoFriends(t)
	r.Deliver = func([]relay.Delivery) error { return post.ErrFull }
	require.NoError(t, ani.Write(t.Context(), "budi", "three"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani.next(t, WaitsEvent)
	r.Deliver = r.Put
	all, err := ani.notes.all(t.Context(), kindOutbox)
	require.NoError(t, err)
	old := all[0].Sealed[0].Letters[0].Bytes
	all[0].Until = time.Now().Add(-time.Second)
	require.NoError(t, ani.notes.save(t.Context(), kindOutbox, all[0]))
	_, err = ani.Flush(t.Context())
	require.NoError(t, err)
	ani.next(t, SentEvent)
	require.NotEqual(t, old, r.Mail(budi1)[0].Bytes)
	budi.hears(t, ReadEvent, "three")

	ani.passport.until = time.Now().Add(post.GoodFor/2 - time.Minute)
	before := ani.passport.sender
	require.NoError(t, ani.renew(t.Context()))
	require.NotSame(t, before, ani.passport.sender)
	before = ani.passport.sender
	require.NoError(t, ani.renew(t.Context()))
	require.Same(t, before, ani.passport.sender)
}
