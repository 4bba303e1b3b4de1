package person

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A watch is a screen that a test looks at.
type watch chan Event

func (w watch) Show(e Event) { w <- e }

// next returns what is shown next, of a kind. Labels are passed over: everybody
// here has a key of his own, and label_test.go looks at those.
func (w watch) next(t *testing.T, kind string) Event {
	t.Helper()
	for {
		select {
		case e := <-w:
			if e.Kind == LabelEvent && kind != LabelEvent {
				continue
			}
			require.Equal(t, kind, e.Kind, e.Text)
			return e
		case <-time.After(tooLong):
			require.Fail(t, "nothing is shown", kind)
			return Event{}
		}
	}
}

// until passes over what is shown before an event of a kind.
func (w watch) until(t *testing.T, kind string) Event {
	t.Helper()
	for {
		select {
		case e := <-w:
			if e.Kind == kind {
				return e
			}
		case <-time.After(tooLong):
			require.Fail(t, "it is not shown", kind)
		}
	}
}

// silent requires that nothing was shown, but for labels.
func (w watch) silent(t *testing.T) {
	t.Helper()
	for len(w) > 0 {
		e := <-w
		require.Equal(t, LabelEvent, e.Kind, e.Text)
	}
}

// tooLong is how long a test waits for what is to be shown.
const tooLong = 30 * time.Second

// A testRelay is a relay, and a person's side of it.
type testRelay struct {
	*relay.Relay
	*Client
	sees  func(what string) // nil: nobody looks
	serve atomic.Value      // the handler, of a relay that may start anew while people wait
}

func newTestRelay(*testing.T) *testRelay {
	r := new(testRelay)
	r.forgets()
	r.Client = NewClient(direct{r})
	return r
}

// forgets starts the relay anew.
func (r *testRelay) forgets() {
	r.Relay = relay.New(func(what string) {
		if r.sees != nil {
			r.sees(what)
		}
	})
	r.serve.Store(r.Relay.Handler())
}

func (r *testRelay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.serve.Load().(http.Handler).ServeHTTP(w, req)
}

// direct is the way to a relay in this process.
type direct struct{ http.Handler }

func (d direct) Do(ctx context.Context, r *Request) (int, []byte, error) {
	req := httptest.NewRequest(r.Method, "/"+strings.Join(r.Path, "/"), bytes.NewReader(r.Body)).WithContext(ctx)
	res := httptest.NewRecorder()
	d.ServeHTTP(res, req)
	return res.Code, res.Body.Bytes(), ctx.Err()
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

// puts puts mail into a mailbox.
func (r *testRelay) puts(t *testing.T, to session.Address, mail ...post.Envelope) {
	t.Helper()
	for _, e := range mail {
		require.NoError(t, r.Put([]relay.Delivery{{To: to, Envelope: e}}))
	}
}

// empties takes all out of a mailbox.
func (r *testRelay) empties(t *testing.T, a session.Address) (mail []post.Envelope) {
	t.Helper()
	mail = r.Mail(a)
	for _, e := range mail {
		require.NoError(t, r.confirm(t.Context(), a, e.ID))
	}
	return mail
}

var ani1, budi1, citra1 = deviceOf("ani", 1), deviceOf("budi", 1), deviceOf("citra", 1)

func deviceOf(name string, device uint32) session.Address {
	return session.Address{User: post.UserOf(name), Device: device}
}

func mailOf(id string) post.Envelope {
	return post.Envelope{ID: id, From: ani1, SentAt: time.UnixMilli(1).UTC(), Type: session.TypeSignal, Bytes: []byte("ciphertext " + id)}
}

// A testPerson is a person whose steps the test makes, or, once live, who makes
// them alone.
type testPerson struct {
	*Person
	watch
	store keystore.Store
	to    http.Handler // the relay, or what stands in between
}

func newTestPerson(t *testing.T, me session.Address, to http.Handler, store keystore.Store) *testPerson {
	t.Helper()
	c := NewClient(direct{to})
	w := make(watch, 1000)
	gate := hosting.NewGate(me.User, nil)
	o := settings(c, gate)
	o.PreKeys = session.PreKeyPolicy{OneTime: 8, Low: 4} // more of them take time
	d, err := session.Open(t.Context(), store, me, o)
	if errors.Is(err, session.ErrNoDevice) {
		d, err = session.Create(t.Context(), store, session.Account{Address: me}, o)
	}
	require.NoError(t, err)
	return &testPerson{newPerson(me, d, gate, store, c, w, &Options{}), w, store, to}
}

// live runs p until the end of the test or a call of stop.
func (p *testPerson) live(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
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
	ani = newTestPerson(t, ani1, r, keystore.NewMemory())
	budi = newTestPerson(t, budi1, r, keystore.NewMemory())
	ani.arrives(t)
	return r, ani, budi
}

// arrives makes p known to the relay.
func (p *testPerson) arrives(t *testing.T) {
	t.Helper()
	require.NoError(t, p.publish(t.Context()))
	p.next(t, ReadyEvent)
}

// sends lets p write to someone, and send it.
func (p *testPerson) sends(t *testing.T, to, text string) {
	t.Helper()
	require.NoError(t, p.Write(t.Context(), to, text))
	left, err := p.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	p.next(t, SentEvent)
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
	ani.next(t, ReadyEvent)
	require.NoError(t, ani.Write(t.Context(), "budi", "one"))
	waits := ani.next(t, WaitsEvent)
	require.Equal(t, "budi", waits.Peer)
	require.Equal(t, post.ErrUnknown.Error(), waits.Text)
	require.ErrorIs(t, waits.Err, post.ErrUnknown)
	require.NoError(t, ani.Write(t.Context(), "budi", "two"))
	budi.live(t)
	budi.next(t, ReadyEvent)
	ani.next(t, SentEvent)
	ani.next(t, SentEvent)
	require.Equal(t, "one", budi.next(t, ReadEvent).Text)
	require.Equal(t, "two", budi.next(t, ReadEvent).Text)
	require.NoError(t, budi.Write(t.Context(), "ani", "three"))
	got := ani.next(t, ReadEvent)
	require.Equal(t, Event{Kind: ReadEvent, Peer: "budi", Mail: got.Mail, Text: "three"}, got)
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
	bad := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && strings.HasPrefix(req.URL.Path, "/sent/") {
			b, _ := io.ReadAll(req.Body)
			sent = append(sent, req.URL.Path+string(b))
			req.Body = io.NopCloser(strings.NewReader(string(b)))
		}
		if down {
			rec := httptest.NewRecorder()
			r.ServeHTTP(rec, req) // it got there
			http.Error(w, "gone", http.StatusBadGateway)
			return
		}
		r.ServeHTTP(w, req)
	})
	ani = newTestPerson(t, ani1, bad, ani.store)

	require.NoError(t, ani.Write(t.Context(), "budi", "one"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani.next(t, WaitsEvent)
	require.Empty(t, sent, "nothing to encrypt with yet")

	down = false
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	ani.next(t, SentEvent)
	sent = nil

	down = true
	require.NoError(t, ani.Write(t.Context(), "budi", "two"))
	for range 2 {
		left, err = ani.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.next(t, WaitsEvent) // once
	ani.silent(t)
	ani = newTestPerson(t, ani1, bad, ani.store) // and after a new start
	down = false
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	ani.next(t, SentEvent)
	require.Len(t, sent, 3)
	require.Len(t, slices.Compact(sent), 1)

	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "one", budi.next(t, ReadEvent).Text)
	require.Equal(t, "two", budi.next(t, ReadEvent).Text)
	budi.silent(t)
}

// The relay starts anew and has forgotten all.
func TestRelayForgets(t *testing.T) {
	r, ani, budi := twoPeople(t)
	ani.live(t)
	budi.live(t)
	ani.next(t, ReadyEvent)
	budi.next(t, ReadyEvent)
	before := r.Relay
	r.forgets()
	for _, p := range []*testPerson{ani, budi} {
		require.NoError(t, before.Put([]relay.Delivery{{To: p.me, Envelope: mailOf("wakes")}})) // ends a long poll
		p.until(t, ReadyEvent)
	}
	require.NoError(t, ani.Write(t.Context(), "budi", "still there?"))
	ani.until(t, SentEvent)
	require.Equal(t, "still there?", budi.until(t, ReadEvent).Text)
}

// A process may stop between any two steps of receiving: the message is shown
// once and in the history.
func TestStopWhileReceiving(t *testing.T) {
	errStop := errors.New("stop")
	for stop := range 10 {
		r, ani, budi := twoPeople(t)
		budi.arrives(t)
		ani.sends(t, "budi", "one")

		budi = newTestPerson(t, budi1, r, &stopping{Store: budi.store, after: stop, err: errStop})
		budi.due = time.Now().Add(time.Hour)
		err := budi.receiveSome(t.Context())
		shown := drain(budi.watch)
		if err == nil {
			require.Equal(t, 3, stop, "commits: decrypt, save, acknowledge")
			require.Equal(t, []string{"one"}, shown)
			return
		}
		require.ErrorIs(t, err, errStop)

		budi = newTestPerson(t, budi1, r, budi.store.(*stopping).Store)
		require.NoError(t, budi.catchUp(t.Context()))
		require.NoError(t, budi.receiveSome(t.Context())) // the relay still had it
		shown = append(shown, drain(budi.watch)...)
		require.Equal(t, []string{"one"}, budi.texts(t, kindHistory), stop)
		if stop != 2 { // saved, and stopped before it was shown
			require.Equal(t, []string{"one"}, shown, stop)
		}
		require.LessOrEqual(t, len(shown), 1)
		require.Empty(t, r.Mail(budi1))
	}
	require.Fail(t, "it never ends")
}

func drain(w watch) (texts []string) {
	for len(w) > 0 {
		if e := <-w; e.Kind == ReadEvent {
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
		require.NoError(t, ani.Write(t.Context(), "budi", "one"))

		ani = newTestPerson(t, ani1, r, &stopping{Store: ani.store, after: stop, err: errStop})
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		if left > 0 {
			ani = newTestPerson(t, ani1, r, ani.store.(*stopping).Store)
			left, err = ani.Flush(t.Context())
			require.NoError(t, err)
		}
		require.Zero(t, left)
		require.Equal(t, []string{"one"}, ani.texts(t, kindHistory))
		require.Empty(t, ani.texts(t, kindOutbox))
		require.Len(t, r.Mail(budi1), 1)
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
	first := r.Mail(budi1)[1]
	// The relay says that it is somebody else's.
	other := first
	other.ID, other.From = "other", citra1
	r.puts(t, budi1, other)
	// Nor is a name from the relay trusted to be one.
	other.ID, other.From = "no-name", session.Address{User: "ani\x1b[2J", Device: 1}
	r.puts(t, budi1, other)
	// The same ciphertext in another envelope.
	other.ID, other.From = "again", ani1
	require.NoError(t, r.gives(t, budi1, other))
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "garbage", budi.next(t, RefusedEvent).Mail)
	require.Equal(t, "one", budi.next(t, ReadEvent).Text)
	require.Equal(t, "other", budi.next(t, RefusedEvent).Mail)
	require.Equal(t, "no-name", budi.next(t, RefusedEvent).Mail)
	require.Equal(t, "again", budi.next(t, AgainEvent).Mail)
	require.Empty(t, r.Mail(budi1))
}

// Someone comes back with a new device: sends are refused until the key that
// was shown is accepted.
func TestIdentityChange(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	require.NoError(t, budi.receiveSome(t.Context()))

	budi = newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")
	require.NoError(t, ani.receiveSome(t.Context()))
	changed := ani.next(t, ChangedEvent)
	require.Equal(t, "budi", changed.Peer)
	require.Equal(t, Digits(budi.device.Identity()), changed.Text)
	require.Contains(t, ani.next(t, HostingEvent).Text, "another key than before signs for budi")
	require.True(t, ani.next(t, ReadEvent).Unaccepted)

	require.ErrorContains(t, ani.Write(t.Context(), "budi", "no"), "not sent")
	require.Empty(t, ani.texts(t, kindOutbox))
	require.ErrorContains(t, ani.Accept(t.Context(), "citra"), "no other identity key")
	require.NoError(t, ani.Accept(t.Context(), "budi"))
	ani.sends(t, "budi", "two")
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "two", budi.next(t, ReadEvent).Text)
}

// What was written before the change waits, takes no bundle meanwhile, and is
// told again after a new start.
func TestIdentityChangeWhileWaiting(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	budi = newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")

	require.NoError(t, ani.Write(t.Context(), "budi", "two"))
	require.NoError(t, ani.receiveSome(t.Context()))
	ani.next(t, ChangedEvent)
	ani.next(t, HostingEvent)
	ani.next(t, ReadEvent)
	for range 3 {
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.silent(t)

	ani = newTestPerson(t, ani1, r, ani.store)
	for range 3 {
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	ani.next(t, ChangedEvent)
	ani.silent(t)
	require.NoError(t, ani.Accept(t.Context(), "budi"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	mail := r.Mail(budi1)
	require.Len(t, mail, 1, "that for the old phone went with it")
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Equal(t, "two", budi.next(t, ReadEvent).Text)
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
		Content: true, Directory: r.Client, Gate: gate,
	})
	require.NoError(t, err)
	w := make(watch, 100)
	budi := &testPerson{newPerson(budi1, d, gate, store, r.Client, w, &Options{}), w, store, r}
	budi.arrives(t)
	first, err := r.Bundle(t.Context(), budi1)
	require.NoError(t, err)

	ani := newTestPerson(t, ani1, r, keystore.NewMemory())
	ani.arrives(t)
	ani.sends(t, "budi", "one") // takes the second
	require.NoError(t, budi.receiveSome(t.Context()))
	require.NoError(t, budi.upkeep(t.Context()))
	left := 0
	for {
		b, err := r.Bundle(t.Context(), budi1)
		require.NoError(t, err)
		require.Equal(t, first.SignedPreKey, b.SignedPreKey)
		if b.PreKey == nil {
			break
		}
		left++
	}
	require.Equal(t, 2, left, "the third, and one more: of the first nobody knows")

	signed := func() x3dh.SignedPreKey {
		b, err := r.Bundle(t.Context(), budi1)
		require.NoError(t, err)
		return b.SignedPreKey
	}
	now = now.AddDate(0, 0, 8)
	require.NoError(t, budi.upkeep(t.Context()))
	require.Equal(t, first.SignedPreKey, signed(), "not due by the clock of the app")
	budi.due = time.Time{}
	require.NoError(t, budi.upkeep(t.Context()))
	require.NotEqual(t, first.SignedPreKey, signed())
}

// What the relay will never take is said and dropped, and holds nothing up.
func TestRejected(t *testing.T) {
	_, ani, budi := twoPeople(t)
	budi.arrives(t)
	require.ErrorContains(t, ani.Write(t.Context(), "budi", strings.Repeat("x", MaxText+1)), "not sent")
	large := &note{ID: newID(), At: time.Now(), Peer: "budi", Mine: true, Text: strings.Repeat("x", post.MaxEnvelope)}
	require.NoError(t, ani.post(t.Context(), large))
	require.NoError(t, ani.Write(t.Context(), "budi", strings.Repeat("y", MaxText)))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Contains(t, ani.next(t, TroubleEvent).Text, "is not sent")
	ani.next(t, SentEvent)
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Len(t, budi.next(t, ReadEvent).Text, MaxText)
	lines, err := ani.History(t.Context(), "budi")
	require.NoError(t, err)
	require.Equal(t, []string{"rejected", "sent"}, []string{lines[0].State, lines[1].State})
	require.Equal(t, large.Text, lines[0].Text, "it is not lost")
}
