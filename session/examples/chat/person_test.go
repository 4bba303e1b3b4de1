package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A watch is a screen that a test looks at.
type watch chan event

func (w watch) show(e event) { w <- e }

// next returns what is shown next, of a kind. Labels are passed over: everybody
// here has a key of his own, and label_test.go looks at those.
func (w watch) next(t *testing.T, kind string) event {
	t.Helper()
	for {
		select {
		case e := <-w:
			if e.Kind == labelEvent && kind != labelEvent {
				continue
			}
			require.Equal(t, kind, e.Kind, e.Text)
			return e
		case <-time.After(patience):
			require.Fail(t, "nothing is shown", kind)
			return event{}
		}
	}
}

// until passes over what is shown before an event of a kind.
func (w watch) until(t *testing.T, kind string) event {
	t.Helper()
	for {
		select {
		case e := <-w:
			if e.Kind == kind {
				return e
			}
		case <-time.After(patience):
			require.Fail(t, "it is not shown", kind)
		}
	}
}

// silent requires that nothing was shown, but for labels.
func (w watch) silent(t *testing.T) {
	t.Helper()
	for len(w) > 0 {
		e := <-w
		require.Equal(t, labelEvent, e.Kind, e.Text)
	}
}

// A testPerson is a person whose steps the test makes, or, once live, who makes
// them alone.
type testPerson struct {
	*person
	watch
	store keystore.Store
}

func newTestPerson(t *testing.T, me session.Address, url string, store keystore.Store) *testPerson {
	t.Helper()
	c, err := newClient(url)
	require.NoError(t, err)
	t.Cleanup(c.close)
	w := make(watch, 1000)
	gate := hosting.NewGate(me.User, nil)
	o := settings(c, gate)
	o.PreKeys = session.PreKeyPolicy{OneTime: 8, Low: 4} // more of them take time
	d, err := session.Open(t.Context(), store, me, o)
	if errors.Is(err, session.ErrNoDevice) {
		d, err = session.Create(t.Context(), store, session.Account{Address: me}, o)
	}
	require.NoError(t, err)
	return &testPerson{newPerson(me, d, gate, store, c, w), w, store}
}

// live runs p until the end of the test or a call of stop.
func (p *testPerson) live(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

// twoPeople are one whom the relay knows, and one whom it does not know yet.
func twoPeople(t *testing.T) (r *testRelay, ani, budi *testPerson) {
	r = newTestRelay(t)
	ani = newTestPerson(t, ani1, r.url, keystore.NewMemory())
	budi = newTestPerson(t, budi1, r.url, keystore.NewMemory())
	ani.arrives(t)
	return r, ani, budi
}

// arrives makes p known to the relay.
func (p *testPerson) arrives(t *testing.T) {
	t.Helper()
	require.NoError(t, p.publish(t.Context()))
	p.next(t, readyEvent)
}

// sends lets p write to someone, and send it.
func (p *testPerson) sends(t *testing.T, to, text string) {
	t.Helper()
	require.NoError(t, p.write(t.Context(), to, text))
	left, err := p.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	p.next(t, sentEvent)
}

func (p *testPerson) texts(t *testing.T, kind string) (texts []string) {
	t.Helper()
	all, err := p.notes.all(t.Context(), kind)
	require.NoError(t, err)
	for _, x := range all {
		texts = append(texts, x.Text)
	}
	return texts
}

func TestTwoPeople(t *testing.T) {
	_, ani, budi := twoPeople(t)
	ani.live(t)
	ani.next(t, readyEvent)
	require.NoError(t, ani.write(t.Context(), "budi", "one"))
	require.Equal(t, event{Kind: waitsEvent, Peer: "budi", Text: errUnknown.Error()}, ani.next(t, waitsEvent))
	require.NoError(t, ani.write(t.Context(), "budi", "two"))
	budi.live(t)
	budi.next(t, readyEvent)
	ani.next(t, sentEvent)
	ani.next(t, sentEvent)
	require.Equal(t, "one", budi.next(t, readEvent).Text)
	require.Equal(t, "two", budi.next(t, readEvent).Text)
	require.NoError(t, budi.write(t.Context(), "ani", "three"))
	got := ani.next(t, readEvent)
	require.Equal(t, event{Kind: readEvent, Peer: "budi", Mail: got.Mail, Text: "three"}, got)
	require.Equal(t, []string{"one", "two", "three"}, ani.texts(t, kindHistory))
	require.Empty(t, ani.texts(t, kindOutbox))
}

// A relay that does not answer, or whose answer is lost, gets the same bytes
// again under the same name, and no others.
func TestRelayGone(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	var sent []string
	down := true
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && strings.HasPrefix(req.URL.Path, "/sent/") {
			b, _ := io.ReadAll(req.Body)
			sent = append(sent, req.URL.Path+string(b))
			req.Body = io.NopCloser(strings.NewReader(string(b)))
		}
		if down {
			rec := httptest.NewRecorder()
			r.handler().ServeHTTP(rec, req) // it got there
			http.Error(w, "gone", http.StatusBadGateway)
			return
		}
		r.handler().ServeHTTP(w, req)
	}))
	defer bad.Close()
	ani = newTestPerson(t, ani1, bad.URL, ani.store)

	require.NoError(t, ani.write(t.Context(), "budi", "one"))
	left, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani.next(t, waitsEvent)
	require.Empty(t, sent, "nothing to encrypt with yet")

	down = false
	left, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	ani.next(t, sentEvent)
	sent = nil

	down = true
	require.NoError(t, ani.write(t.Context(), "budi", "two"))
	for range 2 {
		left, err = ani.sendSome(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.next(t, waitsEvent) // once
	ani.silent(t)
	ani = newTestPerson(t, ani1, bad.URL, ani.store) // and after a new start
	down = false
	left, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	ani.next(t, sentEvent)
	require.Len(t, sent, 3)
	require.Len(t, slices.Compact(sent), 1)

	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "one", budi.next(t, readEvent).Text)
	require.Equal(t, "two", budi.next(t, readEvent).Text)
	budi.silent(t)
}

// The relay starts anew and has forgotten all.
func TestRelayForgets(t *testing.T) {
	r, ani, budi := twoPeople(t)
	ani.live(t)
	budi.live(t)
	ani.next(t, readyEvent)
	budi.next(t, readyEvent)
	r.keys.mu.Lock()
	clear(r.keys.people)
	r.keys.mu.Unlock()
	for _, p := range []*testPerson{ani, budi} {
		require.NoError(t, r.relay.mail.put(p.me, mailOf("wakes"))) // ends a long poll
		p.until(t, readyEvent)
	}
	require.NoError(t, ani.write(t.Context(), "budi", "still there?"))
	ani.until(t, sentEvent)
	require.Equal(t, "still there?", budi.until(t, readEvent).Text)
}

// A process may stop between any two steps of receiving: the message is shown
// once and in the history.
func TestStopWhileReceiving(t *testing.T) {
	errStop := errors.New("stop")
	for stop := range 10 {
		r, ani, budi := twoPeople(t)
		budi.arrives(t)
		ani.sends(t, "budi", "one")

		budi = newTestPerson(t, budi1, r.url, &stopping{Store: budi.store, after: stop, err: errStop})
		budi.due = time.Now().Add(time.Hour)
		err := budi.receiveSome(t.Context())
		shown := drain(budi.watch)
		if err == nil {
			require.Equal(t, 3, stop, "commits: decrypt, save, acknowledge")
			require.Equal(t, []string{"one"}, shown)
			return
		}
		require.ErrorIs(t, err, errStop)

		budi = newTestPerson(t, budi1, r.url, budi.store.(*stopping).Store)
		require.NoError(t, budi.catchUp(t.Context()))
		require.NoError(t, budi.receiveSome(t.Context())) // the relay still had it
		shown = append(shown, drain(budi.watch)...)
		require.Equal(t, []string{"one"}, budi.texts(t, kindHistory), stop)
		if stop != 2 { // saved, and stopped before it was shown
			require.Equal(t, []string{"one"}, shown, stop)
		}
		require.LessOrEqual(t, len(shown), 1)
		require.Empty(t, r.relay.mail.boxes[budi1].mail)
	}
	require.Fail(t, "it never ends")
}

func drain(w watch) (texts []string) {
	for len(w) > 0 {
		if e := <-w; e.Kind == readEvent {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// A stopping store stops before the n-th Commit.
type stopping struct {
	keystore.Store
	after int
	err   error
}

func (s *stopping) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if s.after == 0 {
		return 0, s.err
	}
	s.after--
	return s.Store.Commit(ctx, changes...)
}

// A process may stop between any two steps of sending: the message comes once.
func TestStopWhileSending(t *testing.T) {
	errStop := errors.New("stop")
	for stop := range 10 {
		r, ani, budi := twoPeople(t)
		budi.arrives(t)
		require.NoError(t, ani.write(t.Context(), "budi", "one"))

		ani = newTestPerson(t, ani1, r.url, &stopping{Store: ani.store, after: stop, err: errStop})
		left, err := ani.sendSome(t.Context())
		require.NoError(t, err)
		if left > 0 {
			ani = newTestPerson(t, ani1, r.url, ani.store.(*stopping).Store)
			left, err = ani.sendSome(t.Context())
			require.NoError(t, err)
		}
		require.Zero(t, left)
		require.Equal(t, []string{"one"}, ani.texts(t, kindHistory))
		require.Empty(t, ani.texts(t, kindOutbox))
		require.Len(t, r.relay.mail.boxes[budi1].mail, 1)
		require.NoError(t, budi.receiveSome(t.Context()))
		require.Equal(t, []string{"one"}, drain(budi.watch))
		if s, ok := ani.store.(*stopping); ok {
			require.Equal(t, 5, stop, "commits: label, encrypt, ciphertext, sent, news")
			require.Zero(t, s.after)
			return
		}
	}
	require.Fail(t, "it never ends")
}

// Trouble here is not the message's fault: it stays in the mailbox.
func TestUnreadable(t *testing.T) {
	for _, err := range []error{keystore.ErrFull, keystore.ErrClosed, keystore.ErrCommitUnknown, keystore.ErrReadOnly,
		&keystore.ConflictError{}, context.Canceled, io.ErrUnexpectedEOF} {
		require.False(t, unreadable(err), err)
	}
	for _, err := range []error{session.ErrAuth, session.ErrNoSession, &session.PreKeyNotFoundError{}, &session.BaseKeyReusedError{},
		&session.IdentityMismatchError{}, fmt.Errorf("%w: more", session.ErrMalformed)} {
		require.True(t, unreadable(err), err)
	}
}

// Mail that cannot be read is refused and confirmed, and what is behind it is
// read.
func TestRefused(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	require.NoError(t, r.gives(t, budi1, mailOf("garbage")))
	ani.open = true
	ani.sends(t, "budi", "one")
	first := r.relay.mail.boxes[budi1].mail[1]
	// The relay says that it is somebody else's.
	other := first
	other.ID, other.From = "other", citra1
	require.NoError(t, r.relay.mail.put(budi1, other))
	// Nor is a name from the relay trusted to be one.
	other.ID, other.From = "no-name", session.Address{User: "ani\x1b[2J", Device: 1}
	require.NoError(t, r.relay.mail.put(budi1, other))
	// The same ciphertext in another envelope.
	other.ID, other.From = "again", ani1
	require.NoError(t, r.gives(t, budi1, other))
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "garbage", budi.next(t, refusedEvent).Mail)
	require.Equal(t, "one", budi.next(t, readEvent).Text)
	require.Equal(t, "other", budi.next(t, refusedEvent).Mail)
	require.Equal(t, "no-name", budi.next(t, refusedEvent).Mail)
	require.Equal(t, "again", budi.next(t, againEvent).Mail)
	require.Empty(t, r.relay.mail.boxes[budi1].mail)
}

// Someone comes back with a new device: sends are refused until the key that
// was shown is accepted.
func TestIdentityChange(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	require.NoError(t, budi.receiveSome(t.Context()))

	budi = newTestPerson(t, budi1, r.url, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")
	require.NoError(t, ani.receiveSome(t.Context()))
	changed := ani.next(t, changedEvent)
	require.Equal(t, "budi", changed.Peer)
	require.Equal(t, digits(budi.device.Identity()), changed.Text)
	require.Contains(t, ani.next(t, hostingEvent).Text, "another key than before signs for budi")
	require.True(t, ani.next(t, readEvent).Unaccepted)

	require.ErrorContains(t, ani.write(t.Context(), "budi", "no"), "not sent")
	require.Empty(t, ani.texts(t, kindOutbox))
	require.ErrorContains(t, ani.accept(t.Context(), "citra"), "no other identity key")
	require.NoError(t, ani.accept(t.Context(), "budi"))
	ani.sends(t, "budi", "two")
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "two", budi.next(t, readEvent).Text)
}

// What was written before the change waits, takes no bundle meanwhile, and is
// told again after a new start.
func TestIdentityChangeWhileWaiting(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	budi = newTestPerson(t, budi1, r.url, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")

	require.NoError(t, ani.write(t.Context(), "budi", "two"))
	require.NoError(t, ani.receiveSome(t.Context()))
	ani.next(t, changedEvent)
	ani.next(t, hostingEvent)
	ani.next(t, readEvent)
	for range 3 {
		left, err := ani.sendSome(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.silent(t)

	ani = newTestPerson(t, ani1, r.url, ani.store)
	for range 3 {
		left, err := ani.sendSome(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.next(t, changedEvent)
	ani.silent(t)
	require.NoError(t, ani.accept(t.Context(), "budi"))
	left, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	mail := r.relay.mail.boxes[budi1].mail
	require.Len(t, mail, 1, "that for the old phone went with it")
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "two", budi.next(t, readEvent).Text)
}

// One-time prekeys that are used up are replaced; the lasting ones when they are
// old.
func TestUpkeep(t *testing.T) {
	r := newTestRelay(t)
	now := time.Now()
	store := keystore.NewMemory()
	gate := hosting.NewGate(budi1.User, nil)
	d, err := session.Create(t.Context(), store, session.Account{Address: budi1}, &session.Options{
		Now:     func() time.Time { return now },
		PreKeys: session.PreKeyPolicy{OneTime: 3, Low: 3},
		Content: true, Directory: r.client, Gate: gate,
	})
	require.NoError(t, err)
	w := make(watch, 100)
	budi := &testPerson{newPerson(budi1, d, gate, store, r.client, w), w, store}
	budi.arrives(t)
	first, err := r.keys.take(budi1)
	require.NoError(t, err)

	ani := newTestPerson(t, ani1, r.url, keystore.NewMemory())
	ani.arrives(t)
	ani.sends(t, "budi", "one") // takes the second
	require.Len(t, r.keys.people[budi1.User][1].stock.PreKeys, 1)
	require.NoError(t, budi.receiveSome(t.Context()))
	require.NoError(t, budi.upkeep(t.Context()))
	stock := r.keys.people[budi1.User][1].stock
	require.Len(t, stock.PreKeys, 2, "one more: of the first nobody knows")
	require.Equal(t, first.SignedPreKey, stock.SignedPreKey)

	now = now.AddDate(0, 0, 8)
	require.NoError(t, budi.upkeep(t.Context()))
	require.Equal(t, first.SignedPreKey, r.keys.people[budi1.User][1].stock.SignedPreKey, "not due by the clock of the app")
	budi.due = time.Time{}
	require.NoError(t, budi.upkeep(t.Context()))
	require.NotEqual(t, first.SignedPreKey, r.keys.people[budi1.User][1].stock.SignedPreKey)
}

// What the relay will never take is said and dropped, and holds nothing up.
func TestRejected(t *testing.T) {
	_, ani, budi := twoPeople(t)
	budi.arrives(t)
	require.NoError(t, ani.write(t.Context(), "budi", strings.Repeat("x", maxEnvelope)))
	require.NoError(t, ani.write(t.Context(), "budi", strings.Repeat("y", maxText)))
	left, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Contains(t, ani.next(t, troubleEvent).Text, "is not sent")
	ani.next(t, sentEvent)
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Len(t, budi.next(t, readEvent).Text, maxText)
}
