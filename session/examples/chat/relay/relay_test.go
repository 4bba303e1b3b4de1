package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A testRelay is a relay and a way to it, on which an answer of no success is an
// error.
type testRelay struct {
	*Relay
	handler http.Handler
}

func newTestRelay(*testing.T) *testRelay {
	r := New(func(string) {})
	return &testRelay{r, r.Handler()}
}

func (r *testRelay) do(ctx context.Context, method string, body []byte, path ...string) ([]byte, error) {
	req := httptest.NewRequest(method, "/"+strings.Join(path, "/"), bytes.NewReader(body)).WithContext(ctx)
	res := httptest.NewRecorder()
	r.handler.ServeHTTP(res, req)
	return res.Body.Bytes(), post.Failure(res.Code)
}

func pathOf(what string, a session.Address) []string {
	return []string{what, a.User, fmt.Sprint(a.Device)}
}

// gets reads something that is JSON.
func gets[T any](ctx context.Context, r *testRelay, path ...string) (x T, err error) {
	b, err := r.do(ctx, "GET", nil, path...)
	if err == nil {
		err = json.Unmarshal(b, &x)
	}
	return x, err
}

func (r *testRelay) publish(ctx context.Context, a session.Address, p *x3dh.Publication) error {
	return r.put(ctx, p.Bytes(), pathOf("keys", a)...)
}

func (r *testRelay) devices(ctx context.Context, user string) ([]session.PeerDevice, error) {
	return gets[[]session.PeerDevice](ctx, r, "keys", user)
}

func (r *testRelay) bundle(ctx context.Context, a session.Address) (*x3dh.Bundle, error) {
	b, err := r.do(ctx, "GET", nil, pathOf("keys", a)...)
	if err != nil {
		return nil, err
	}
	return x3dh.ParseBundle(b)
}

func (r *testRelay) remove(ctx context.Context, a session.Address) error {
	_, err := r.do(ctx, "DELETE", nil, pathOf("keys", a)...)
	return err
}

// submit hands a message in, and returns what the relay says of other devices.
func (r *testRelay) submit(ctx context.Context, s *post.Submission) (said []session.Difference, err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	b, err = r.do(ctx, "PUT", b, "sent", s.ID)
	if errors.Is(err, post.ErrDiffers) {
		err = json.Unmarshal(b, &said)
	}
	return said, err
}

func (r *testRelay) confirm(ctx context.Context, a session.Address, id string) error {
	_, err := r.do(ctx, "DELETE", nil, append(pathOf("mail", a), id)...)
	return err
}

func (r *testRelay) put(ctx context.Context, b []byte, path ...string) error {
	_, err := r.do(ctx, "PUT", b, path...)
	return err
}

var ani1, budi1, budi2, citra1 = deviceOf("ani", 1), deviceOf("budi", 1), deviceOf("budi", 2), deviceOf("citra", 1)

func deviceOf(name string, device uint32) session.Address {
	return session.Address{User: post.UserOf(name), Device: device}
}

func publication(t *testing.T, a session.Address) *x3dh.Publication {
	d, err := session.Create(t.Context(), keystore.NewMemory(), session.Account{Address: a}, &session.Options{PreKeys: session.PreKeyPolicy{OneTime: 20, Low: 20}})
	require.NoError(t, err)
	p, err := d.Publish(t.Context())
	require.NoError(t, err)
	return p
}

// box reads a mailbox, as a person does.
func (r *testRelay) box(ctx context.Context, a session.Address) ([]post.Envelope, error) {
	bag, err := gets[post.Mailbag](ctx, r, pathOf("mail", a)...)
	for i := range bag.Mail {
		bag.Mail[i].Taken = time.Time{}
	}
	return bag.Mail, err
}

// gives hands a message in for one device, and returns an error also for a
// difference.
func (r *testRelay) gives(t *testing.T, to session.Address, e post.Envelope) error {
	t.Helper()
	said, err := r.submit(t.Context(), &post.Submission{
		ID: e.ID, From: e.From, SentAt: e.SentAt, Letters: []post.Letter{{To: to, Type: e.Type, Bytes: e.Bytes}},
	})
	if len(said) > 0 {
		return post.ErrDiffers
	}
	return err
}

// Every one-time prekey is in one bundle, however many ask at once and however
// often the same prekeys are uploaded; then come bundles of last resort.
func TestOneTimePreKeysOnce(t *testing.T) {
	r, p := newTestRelay(t), publication(t, budi1)
	n := len(p.PreKeys)
	require.Equal(t, n, len(p.KEMPreKeys))
	require.NoError(t, r.publish(t.Context(), budi1, p))
	var wg sync.WaitGroup
	bundles := make(chan *x3dh.Bundle, 2*n)
	for range 8 {
		wg.Go(func() {
			for i := range (n + 20) / 8 {
				if i%5 == 0 {
					_ = r.publish(t.Context(), budi1, p)
				}
				if b, err := r.bundle(t.Context(), budi1); err == nil && b.Verify() == nil {
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
	_, err := r.bundle(t.Context(), budi1)
	require.ErrorIs(t, err, post.ErrUnknown)

	// Another installation takes the place of the old one.
	old, next := publication(t, budi1), publication(t, budi1)
	require.NoError(t, r.publish(t.Context(), budi1, old))
	require.NoError(t, r.publish(t.Context(), budi1, next))
	for range len(next.PreKeys) + 1 {
		b, err := r.bundle(t.Context(), budi1)
		require.NoError(t, err)
		require.Equal(t, next.IdentityKey, b.IdentityKey)
		require.NoError(t, b.Verify())
	}

	// A signature that does not hold is no publication.
	next.LastResort.Signature = bytes.Clone(next.LastResort.Signature)
	next.LastResort.Signature[0] ^= 1
	require.ErrorIs(t, r.publish(t.Context(), budi1, next), post.ErrRejected)
	require.ErrorIs(t, r.publish(t.Context(), budi1, &x3dh.Publication{RegistrationID: 1, DeviceID: 1}), post.ErrRejected)
	_, err = r.bundle(t.Context(), budi1)
	require.NoError(t, err)
}

func TestDirectoryBounds(t *testing.T) {
	r, p := newTestRelay(t), publication(t, ani1)
	require.NoError(t, r.publish(t.Context(), ani1, p))
	s := r.keys.people[ani1.User][1]
	for i := range uint32(maxOffered) {
		s.offered[oneTime{id: 1<<24 + i}] = true // ids that nobody has
	}
	require.ErrorIs(t, r.publish(t.Context(), ani1, p), post.ErrFull)
	for i := range maxPeople {
		r.keys.people[fmt.Sprint(i)] = map[uint32]*shelf{1: s}
	}
	require.ErrorIs(t, r.publish(t.Context(), budi1, publication(t, budi1)), post.ErrFull)
}

// The relay takes a message for the devices that somebody has, and for no other
// ones; what it says of a difference is enough to put it right.
func TestDeviceLists(t *testing.T) {
	r := newTestRelay(t)
	_, err := r.devices(t.Context(), budi1.User)
	require.ErrorIs(t, err, post.ErrUnknown)
	pubs := map[session.Address]*x3dh.Publication{}
	for _, a := range []session.Address{ani1, budi2, budi1} {
		pubs[a] = publication(t, a)
		require.NoError(t, r.publish(t.Context(), a, pubs[a]))
	}
	require.ErrorIs(t, r.publish(t.Context(), budi2, pubs[budi1]), post.ErrRejected)
	list, err := r.devices(t.Context(), budi1.User)
	require.NoError(t, err)
	require.Equal(t, []session.PeerDevice{
		{Device: 1, RegistrationID: pubs[budi1].RegistrationID}, {Device: 2, RegistrationID: pubs[budi2].RegistrationID},
	}, list)

	to := func(a session.Address, registration uint32) post.Letter {
		return post.Letter{To: a, RegistrationID: registration, Type: session.TypeSignal, Bytes: []byte("x")}
	}
	submit := func(id string, letters ...post.Letter) []session.Difference {
		said, err := r.submit(t.Context(), &post.Submission{ID: id, Lists: []string{budi1.User}, Letters: letters})
		require.NoError(t, err)
		return said
	}
	id1, id2 := pubs[budi1].RegistrationID, pubs[budi2].RegistrationID
	require.Equal(t, []session.Difference{{User: budi1.User, Missing: []uint32{2}, Stale: []uint32{1}, Extra: []uint32{3}}},
		submit("a", to(budi1, id1%16380+1), to(deviceOf("budi", 3), id1)))
	require.Empty(t, r.mail.boxes[budi1].mail, "nothing of it is taken")
	require.Empty(t, submit("a", to(budi1, id1), to(budi2, id2)))
	require.Len(t, r.mail.boxes[budi2].mail, 1)
	require.Equal(t, []session.Difference{{User: budi1.User, Missing: []uint32{1}}}, submit("b", to(budi2, id2)))
	_, err = r.submit(t.Context(), &post.Submission{ID: "b", Letters: []post.Letter{to(budi2, id2)}})
	require.NoError(t, err, "one device, and no list")
	require.Len(t, r.mail.boxes[budi2].mail, 2)

	require.NoError(t, r.remove(t.Context(), budi2))
	require.ErrorIs(t, r.remove(t.Context(), budi2), post.ErrRemoved)
	require.ErrorIs(t, r.publish(t.Context(), budi2, pubs[budi2]), post.ErrRemoved, "it does not put itself back")
	_, err = r.box(t.Context(), budi2)
	require.ErrorIs(t, err, post.ErrRemoved)
	_, err = r.bundle(t.Context(), budi2)
	require.ErrorIs(t, err, post.ErrRemoved)
	_, err = r.submit(t.Context(), &post.Submission{ID: "c", From: budi2, Letters: []post.Letter{to(ani1, 0)}})
	require.ErrorIs(t, err, post.ErrRemoved)
	require.Empty(t, submit("a", to(budi1, id1), to(budi2, id2)), "taken before")
	require.Equal(t, []session.Difference{{User: budi1.User, Extra: []uint32{2}}}, submit("d", to(budi1, id1), to(budi2, id2)))
	require.Empty(t, r.mail.boxes[budi2].mail)
	require.NoError(t, r.publish(t.Context(), budi2, publication(t, budi2)), "another installation")
	require.Equal(t, []session.Difference{{User: budi1.User, Missing: []uint32{2}}}, submit("d", to(budi1, id1)))
}

// A reader who waits is told at once that the device is removed.
func TestRemovedWhileReading(t *testing.T) {
	r := newTestRelay(t)
	require.NoError(t, r.publish(t.Context(), budi1, publication(t, budi1)))
	done := make(chan error, 1)
	go func() {
		_, err := r.box(t.Context(), budi1)
		done <- err
	}()
	require.NoError(t, r.remove(t.Context(), budi1))
	require.ErrorIs(t, <-done, post.ErrRemoved)
}

func TestBoard(t *testing.T) {
	r := newTestRelay(t)
	require.ErrorIs(t, r.put(t.Context(), []byte("key"), "link", budi1.User, post.LinkKey), post.ErrUnknown)
	require.NoError(t, r.publish(t.Context(), budi1, publication(t, budi1)))
	_, err := r.do(t.Context(), "GET", nil, "link", budi1.User, post.LinkKey)
	require.ErrorIs(t, err, post.ErrUnknown)
	require.NoError(t, r.put(t.Context(), []byte("key"), "link", budi1.User, post.LinkKey))
	require.NoError(t, r.put(t.Context(), []byte("answer"), "link", budi1.User, post.LinkAnswer))
	for what, want := range map[string]string{post.LinkKey: "key", post.LinkAnswer: "answer"} {
		got, err := r.do(t.Context(), "GET", nil, "link", budi1.User, what)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	require.NoError(t, r.put(t.Context(), []byte("another"), "link", budi1.User, post.LinkKey))
	_, err = r.do(t.Context(), "GET", nil, "link", budi1.User, post.LinkAnswer)
	require.ErrorIs(t, err, post.ErrUnknown, "to the key before")
	require.ErrorIs(t, r.put(t.Context(), make([]byte, maxLink+1), "link", budi1.User, post.LinkKey), post.ErrRejected)
	require.ErrorIs(t, r.put(t.Context(), nil, "link", budi1.User, "more"), post.ErrRejected)
}

func mailOf(id string) post.Envelope {
	return post.Envelope{ID: id, From: ani1, SentAt: time.UnixMilli(1).UTC(), Type: session.TypeSignal, Bytes: []byte("ciphertext " + id)}
}

func TestMailbox(t *testing.T) {
	r := newTestRelay(t)
	require.ErrorIs(t, r.gives(t, budi1, mailOf("a")), post.ErrUnknown)
	_, err := r.box(t.Context(), budi1)
	require.ErrorIs(t, err, post.ErrUnknown)
	require.ErrorIs(t, r.confirm(t.Context(), budi1, "a"), post.ErrUnknown)
	require.NoError(t, r.publish(t.Context(), budi1, publication(t, budi1)))

	for _, id := range []string{"b", "a", "c", "a", "b"} {
		require.NoError(t, r.gives(t, budi1, mailOf(id)))
	}
	for range 2 { // unconfirmed mail comes again
		mail, err := r.box(t.Context(), budi1)
		require.NoError(t, err)
		require.Equal(t, []post.Envelope{mailOf("b"), mailOf("a"), mailOf("c")}, mail)
	}
	for _, id := range []string{"a", "a", "unknown"} {
		require.NoError(t, r.confirm(t.Context(), budi1, id))
	}
	mail, err := r.box(t.Context(), budi1)
	require.NoError(t, err)
	require.Equal(t, []post.Envelope{mailOf("b"), mailOf("c")}, mail)
}

func TestMailboxBounds(t *testing.T) {
	r := newTestRelay(t)
	require.NoError(t, r.publish(t.Context(), budi1, publication(t, budi1)))
	for i := range maxMail {
		require.NoError(t, r.mail.put(budi1, mailOf(fmt.Sprint(i))))
	}
	require.NoError(t, r.gives(t, budi1, mailOf("0")))
	require.ErrorIs(t, r.gives(t, budi1, mailOf("more")), post.ErrFull)
	mail, err := r.box(t.Context(), budi1)
	require.NoError(t, err)
	require.Len(t, mail, post.MaxBatch)
	require.Equal(t, mailOf("0"), mail[0])
	require.NoError(t, r.confirm(t.Context(), budi1, "0"))
	require.NoError(t, r.gives(t, budi1, mailOf("more")))

	big := mailOf("big")
	big.Bytes = make([]byte, post.MaxEnvelope+1)
	require.ErrorIs(t, r.gives(t, citra1, big), post.ErrRejected)
	largest := mailOf("largest")
	largest.Bytes = make([]byte, post.MaxEnvelope)
	require.ErrorIs(t, r.gives(t, citra1, largest), post.ErrUnknown)
}

// A reader waits for mail, and no longer than asked.
func TestMailboxWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mailroom{boxes: map[session.Address]*mailbox{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got []post.Envelope
		done := make(chan struct{})
		go func() {
			got = m.wait(ctx, budi1)
			close(done)
		}()
		time.Sleep(30 * time.Second)
		require.NoError(t, m.put(ani1, mailOf("x")))
		synctest.Wait()
		require.Nil(t, got)
		require.NoError(t, m.put(budi1, mailOf("y")))
		<-done
		require.Equal(t, []post.Envelope{mailOf("y")}, got)
		m.confirm(budi1, "y")
		require.Empty(t, m.wait(ctx, budi1))
		require.Error(t, ctx.Err())
	})
}

func TestRelayBadInput(t *testing.T) {
	r := newTestRelay(t)
	require.NoError(t, r.publish(t.Context(), budi1, publication(t, budi1)))
	b, err := json.Marshal(&post.Submission{SentAt: mailOf("a").SentAt, From: ani1, Letters: []post.Letter{{To: budi1, Type: session.TypeSignal, Bytes: mailOf("a").Bytes}}})
	require.NoError(t, err)
	good := string(b)
	change := func(old, new string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, new, 1)
	}
	one := good[strings.Index(good, "[{")+1 : len(good)-2]
	ani, budi, citra := ani1.User, budi1.User, citra1.User
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/sent/a", good, 200},
		{"PUT", "/sent/b", "", 400},
		{"PUT", "/sent/b", "{", 400},
		{"PUT", "/sent/b", "[]", 400},
		{"PUT", "/sent/b", "null", 400},
		{"PUT", "/sent/b", "{}", 400},
		{"PUT", "/sent/b", change(`"type":2`, `"type":256`), 400},
		{"PUT", "/sent/b", change(`"bytes":"`, `"bytes":"*`), 400},
		{"PUT", "/sent/b", change(budi, "budi"), 400},
		{"PUT", "/sent/b", change(budi, ""), 400},
		{"PUT", "/sent/b", change(one, strings.Replace(one, `"Device":1`, `"Device":128`, 1)), 400},
		{"PUT", "/sent/b", change(one, strings.Replace(one, `"Device":1`, `"Device":-1`, 1)), 400},
		{"PUT", "/sent/b", change(one, one+","+one), 400}, // twice to one device
		{"PUT", "/sent/b", change(one, ""), 400},
		{"PUT", "/sent/b", change(one, strings.Replace(one, `"Device":1`, `"Device":2`, 1)), 409},
		{"PUT", "/sent/b", change(budi, citra), 404},
		{"PUT", "/sent/b", change(`"letters"`, `"lists":["`+citra+`"],"letters"`), 404},
		{"PUT", "/sent/A", good, 400},
		{"PUT", "/sent/%1b", good, 400},
		{"PUT", "/sent/b", change(ani, "ani"), 400},
		{"PUT", "/sent/b", change(`"Device":1`, `"Device":0`), 400},
		{"PUT", "/sent/b", change(`"letters"`, `"envelope":"","letters"`), 400},
		{"PUT", "/sent/b", change(`"letters"`, `"envelope":"IwA=","letters"`), 400},
		{"GET", "/pass/" + citra + "/1", "", 404},
		{"GET", "/pass/citra/1", "", 400},
		{"PUT", "/file/A", "x", 400},
		{"GET", "/file/a", "", 404},
		{"PUT", "/sent/b", strings.Repeat(" ", post.MaxSubmission+1), 413},
		{"GET", "/mail/%ff/1", "", 400},
		{"GET", "/mail/" + budi + "/1x", "", 400},
		{"GET", "/mail/" + citra + "/1", "", 404},
		{"GET", "/keys/" + budi[1:], "", 400},
		{"GET", "/keys/" + strings.ToUpper(ani), "", 400},
		{"GET", "/keys/b%00", "", 400},
		{"PUT", "/keys/" + budi + "/1", "no publication", 400},
		{"PUT", "/keys/" + budi + "/1", "", 400},
		{"PUT", "/keys/" + budi + "/1", strings.Repeat("x", maxPublication+1), 413},
		{"POST", "/keys/" + budi + "/1", "", 405},
		{"GET", "/", "", 404},
		{"GET", "/keys/", "", 404},
	} {
		req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		res := httptest.NewRecorder()
		r.handler.ServeHTTP(res, req)
		require.Equal(t, c.status, res.Code, "%s %s %.40s", c.method, c.path, c.body)
	}
	mail, err := r.box(t.Context(), budi1)
	require.NoError(t, err)
	require.Equal(t, []post.Envelope{mailOf("a")}, mail)
}

// FuzzRelay sends the relay anything; it answers, and never with an error of
// its own.
func FuzzRelay(f *testing.F) {
	f.Add("PUT", "sent", "", "", []byte(`{"sentAt":"2026-01-01T00:00:00Z","letters":[{"to":{"User":"`+budi1.User+`","Device":1},"type":2,"bytes":"AA=="}]}`))
	f.Add("PUT", "keys", "budi", "1", []byte{8, 1, 16, 1})
	f.Add("DELETE", "mail", "budi", "1/a", []byte(nil))
	f.Add("PUT", "link", "budi", "key", []byte{1})
	f.Fuzz(func(t *testing.T, method, what, name, rest string, body []byte) {
		r := New(func(string) {})
		r.keys.people[budi1.User] = map[uint32]*shelf{1: {stock: &x3dh.Publication{}, offered: map[oneTime]bool{}}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for mail
		req := httptest.NewRequest("GET", "/", bytes.NewReader(body)).WithContext(ctx)
		req.Method, req.URL.Path = method, "/"+what+"/"+post.UserOf(name)+"/"+rest
		if rest == "" {
			req.URL.Path = "/" + what + "/a"
		}
		res := httptest.NewRecorder()
		r.Handler().ServeHTTP(res, req)
		require.Less(t, res.Code, 500)
	})
}
