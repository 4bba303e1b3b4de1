package crash

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

const (
	window = 40 // how far messages overtake each other
	loss   = 10 // percent
	twice  = 10 // percent
)

// What a delivery comes to when the message was read before, beside what the
// oracle of its session says.
const (
	redelivered testutil.Expectation = "redelivered"         // staged, and not acknowledged
	done        testutil.Expectation = "acknowledged"        // within the last 7 days
	expired     testutil.Expectation = "past its expiry"     // staged, and not any longer
	doneOrLost  testutil.Expectation = "acknowledged before" // more than 7 days ago, or past its expiry
	noPreKey    testutil.Expectation = "prekey deleted by a restore"
)

// A letter is a message to the Device, and what is known of it.
type letter struct {
	Envelope
	p       *peer
	n       int
	text    string
	expires time.Time // zero: never
	id      session.MessageID

	came  bool // the Device may know it: the relay does not lose it any more
	read  bool
	first received // what it came to
	whole bool     // the events in it are known
	// outlived has the kinds of those that were found on their own.
	outlived map[session.EventKind]bool
	acked    time.Time // zero: not yet
	user     string    // under which it was read
	gone     bool      // its user was forgotten then
}

// A parcel is a message from the Device.
type parcel struct {
	Envelope
	p    *peer
	text string
	read time.Time // zero: not yet

	silent  bool      // its session is, and it does not begin that
	sentAt  time.Time // of Sendings; zero: there is no copy
	nth     int       // of copies
	resends int
}

func hexName(b []byte) string { return hex.EncodeToString(b) }

// messageID is what design, Section 5, says that it is.
func (w *world) messageID(from session.Address, message []byte) session.MessageID {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(from.User)))
	b = append(b, from.User...)
	b = binary.BigEndian.AppendUint32(b, from.Device)
	return sha256.Sum256(append(b, testutil.Inner(w.t, message)...))
}

// begins has a peer begin a session with the Device.
func (w *world) begins(p *peer) {
	if p.fresh && p.its.Current != nil {
		return
	}
	b := w.bundle()
	if b == nil {
		return
	}
	require.NoError(w.t, p.Begin(ctx, owner, b))
	p.its.Begins()
}

// writes has a peer send a letter; nil when it cannot.
func (w *world) writes(p *peer) *letter {
	if p.its.Current == nil {
		w.begins(p)
	}
	if p.its.Current == nil {
		return nil
	}
	w.letters++
	l := &letter{p: p, n: w.letters, text: fmt.Sprint("letter ", w.letters), outlived: map[session.EventKind]bool{}}
	if w.chance(20) { // too large for the staged record itself
		l.text += strings.Repeat(" ", 5000)
	}
	if w.chance(30) {
		l.expires = w.now.Add(w.some(200 * w.pace))
	}
	m, err := p.Encrypt(ctx, owner, []byte(l.text))
	require.NoError(w.t, err)
	l.Envelope, _ = p.its.Sends(w.t, m)
	l.id = w.messageID(p.a, m.Bytes)
	w.waiting = append(w.waiting, l)
	w.count["letters"]++
	return l
}

// deliver takes a letter off the way to the Device.
func (w *world) deliver() {
	if len(w.waiting) == 0 {
		w.writes(w.peer())
	}
	if len(w.waiting) == 0 {
		return
	}
	at := 0
	if w.chance(2) {
		at = w.r.IntN(min(window, len(w.waiting)))
	}
	l := w.waiting[at]
	w.waiting = slices.Delete(w.waiting, at, at+1)
	switch luck := w.r.IntN(100); {
	case luck < loss && !l.came:
		w.count["lost on the way"]++
		return
	case luck >= 100-twice:
		w.waiting = slices.Insert(w.waiting, w.r.IntN(len(w.waiting)+1), l)
	}
	w.take(l)
}

// take delivers l to the Device and holds the outcome against what it must be.
func (w *world) take(l *letter) {
	w.t.Helper()
	if !slices.Contains(w.unconfirmed, l) {
		w.unconfirmed = append(w.unconfirmed, l)
	}
	l.came = true
	w.ready() // what the next process finds comes first
	want := w.expect(l)
	r, made := w.do(w.decrypt(l))
	switch {
	case r == nil && made > 0:
		w.reads(l, want, nil)
	case r != nil && r.Err == "":
		w.judge(l, want, &r.Received[0])
		w.pending = append(w.pending, l)
	case r != nil:
		require.Zero(w.t, made)
		w.refused(l, want, r.Err)
		w.confirm(l)
	}
}

func (w *world) decrypt(l *letter) command {
	return command{Op: "decrypt", Peer: l.p.a, Type: byte(l.M.Type), Bytes: l.M.Bytes, Expires: l.expires}
}

// confirm tells the relay that it need not send l again.
func (w *world) confirm(l *letter) {
	w.unconfirmed = slices.DeleteFunc(w.unconfirmed, func(a *letter) bool { return a == l })
}

func (w *world) expired(l *letter) bool { return !l.expires.IsZero() && !w.now.Before(l.expires) }

// expect says what a delivery of l must come to.
func (w *world) expect(l *letter) testutil.Expectation {
	switch {
	case !l.read && l.M.Type == session.TypePreKey && !l.p.mine.Knows(l.Envelope) && w.directory.Deleted(w.t, l.M.Bytes):
		return noPreKey
	case !l.read:
		return l.p.mine.Expect(w.t, l.Envelope)
	case l.gone || l.user != l.p.a.User:
		return doneOrLost
	case l.acked.IsZero() && w.expired(l):
		return expired
	case l.acked.IsZero():
		return redelivered
	case w.now.Sub(l.acked) <= markTime && (l.expires.IsZero() || l.acked.Before(l.expires)):
		return done // else it may have been swept before
	}
	return doneOrLost
}

// judge requires that a letter may be read, as r.
func (w *world) judge(l *letter, want testutil.Expectation, r *received) {
	w.t.Helper()
	if want == redelivered {
		w.same(l, r)
		w.count[string(want)]++
		return
	}
	w.reads(l, want, r)
}

// reads notes that l was read for the first time; r is nil when nobody was told.
func (w *world) reads(l *letter, want testutil.Expectation, r *received) {
	w.t.Helper()
	require.Contains(w.t, []testutil.Expectation{testutil.Readable, testutil.Unsure}, want, "letter %d was read: %s", l.n, want)
	w.count["read"]++
	p := l.p
	l.read, l.first = true, received{
		ID: l.id, From: p.a, Identity: p.Identity().Bytes(), Accepted: !p.fresh,
		Plaintext: []byte(l.text), ReceivedAt: w.now, Expires: l.expires,
	}
	begun := p.mine.Reads(w.t, l.Envelope, !p.fresh)
	if begun {
		w.directory.Uses(w.t, l.M.Bytes)
	}
	p.seen = p.fresh
	l.user = p.a.User
	w.staged[l.id] = l
	if r == nil {
		w.count["read by none"]++
		return
	}
	require.False(w.t, r.Redelivered, "letter %d came before", l.n)
	if p.fresh && begun {
		require.True(w.t, slices.ContainsFunc(r.Events, func(e event) bool { return e.Kind == session.IdentityChanged }))
	}
	again := *r
	again.Redelivered = true
	w.same(l, &again)
}

// same requires that r is what l was.
func (w *world) same(l *letter, r *received) {
	w.t.Helper()
	require.True(w.t, r.Redelivered, "letter %d is new a second time", l.n)
	got := *r
	got.Redelivered = false
	if !l.whole {
		l.first.Events, l.first.NoOneTimePreKey, l.whole = r.Events, r.NoOneTimePreKey, true
	}
	require.Equal(w.t, l.first, got, "letter %d", l.n)
}

// refused requires the error that a letter must come to.
func (w *world) refused(l *letter, want testutil.Expectation, got string) {
	w.t.Helper()
	w.count[string(want)]++
	allowed := []string{"authentication"}
	switch want {
	case testutil.Readable, redelivered:
		require.Empty(w.t, got, "letter %d is lost: %s", l.n, want)
	case testutil.NoKey, testutil.Duplicate, done:
		allowed = []string{"duplicate"}
	case NoSession:
		allowed = []string{"authentication", "no session"}
		if l.M.Type == session.TypePreKey {
			allowed = []string{"base key"}
			if w.directory.OneTime(w.t, l.M.Bytes) {
				allowed = []string{"no prekey"}
			}
		}
	case noPreKey:
		allowed = []string{"no prekey"}
	case doneOrLost, expired:
		return
	}
	require.Contains(w.t, allowed, got, "letter %d: %s", l.n, want)
}

// unacknowledged has the app look at what it may not have saved: all that was
// read and is not acknowledged, and nothing else. It reports whether it could.
func (w *world) unacknowledged() bool {
	w.t.Helper()
	r, _ := w.do(command{Op: "unacknowledged"})
	if r == nil {
		return false
	}
	require.Empty(w.t, r.Err)
	found := map[session.MessageID]*received{}
	for i := range r.Received {
		require.Nil(w.t, found[r.Received[i].ID])
		found[r.Received[i].ID] = &r.Received[i]
	}
	for _, l := range slices.SortedFunc(maps.Values(w.staged), func(a, b *letter) int { return a.n - b.n }) {
		if w.expired(l) {
			continue
		}
		require.NotNil(w.t, found[l.id], "letter %d was read, and is gone", l.n)
		w.same(l, found[l.id])
		if !slices.Contains(w.pending, l) {
			w.pending = append(w.pending, l)
		}
		delete(found, l.id)
	}
	require.Empty(w.t, found, "what nobody wrote, or was acknowledged")
	return true
}

// acknowledge acknowledges some of what the app has saved, or all.
func (w *world) acknowledge() {
	c := command{Op: "acknowledge"}
	var told, kept []*letter
	for _, l := range w.pending {
		if w.chance(4) {
			kept = append(kept, l)
			continue
		}
		told = append(told, l)
		c.IDs, c.Peers = append(c.IDs, l.id), append(c.Peers, l.p.a)
	}
	r, made := w.do(c)
	if r == nil && made == 0 {
		return
	}
	for _, l := range told {
		if w.staged[l.id] == l { // else it was twice among them
			l.acked = w.now
			delete(w.staged, l.id)
			if w.expired(l) {
				w.late = append(w.late, l)
			}
		}
	}
	if r == nil {
		return
	}
	require.Empty(w.t, r.Err)
	w.pending = kept
	for _, l := range told {
		w.confirm(l)
	}
}

// arrive takes a parcel off the way to a peer.
func (w *world) arrive() {
	if len(w.parcels) == 0 {
		return
	}
	at := 0
	if w.chance(2) {
		at = w.r.IntN(min(window, len(w.parcels)))
	}
	q := w.parcels[at]
	w.parcels = slices.Delete(w.parcels, at, at+1)
	switch luck := w.r.IntN(100); {
	case luck < loss:
		return
	case luck >= 100-twice:
		w.parcels = slices.Insert(w.parcels, w.r.IntN(len(w.parcels)+1), q)
	}
	w.opened(q)
}

// opened has a peer read a parcel.
func (w *world) opened(q *parcel) {
	w.t.Helper()
	want := q.p.its.Expect(w.t, q.Envelope)
	if q.silent && !q.p.its.Knows(q.Envelope) {
		want = NoSession
		w.count["on a session that the peer never heard of"]++
	}
	if !q.read.IsZero() {
		want = doneOrLost
		if w.now.Sub(q.read) <= markTime {
			want = done
		}
	}
	r, err := q.p.Decrypt(ctx, owner, q.M, nil)
	if err != nil {
		require.NotEqual(w.t, testutil.Readable, want, "the peer cannot read what was sent: %v", err)
		if want == done || want == testutil.NoKey || want == testutil.Duplicate {
			require.ErrorIs(w.t, err, session.ErrDuplicate)
		}
		return
	}
	require.Equal(w.t, testutil.Readable, want)
	require.Equal(w.t, q.text, string(r.Plaintext))
	require.Equal(w.t, w.identity, r.Identity.Bytes())
	require.False(w.t, r.Redelivered)
	require.NoError(w.t, q.p.Acknowledge(ctx, r))
	q.p.its.Reads(w.t, q.Envelope, true)
	q.read = w.now
	w.count["parcels read"]++
}

// leaves notes a message of the Device's. No two have one counter.
func (w *world) leaves(p *peer, m *session.Message, text string) *parcel {
	w.t.Helper()
	in, err := wire.ParseSignalMessage(testutil.Inner(w.t, m.Bytes))
	require.NoError(w.t, err)
	name := fmt.Sprint(string(in.RatchetKey), in.Counter)
	require.False(w.t, w.used[name], "a counter twice")
	w.used[name] = true
	q := &parcel{p: p, text: text}
	q.Envelope, _ = p.mine.Sends(w.t, m)
	q.silent = p.mine.Current.silent
	w.count["parcels"]++
	if !p.fresh { // else nobody can read it any more
		w.parcels = append(w.parcels, q)
	}
	return q
}
