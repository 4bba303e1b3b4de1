package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// A letter is one ciphertext from a device to a device.
type letter struct {
	n        int
	src, dst *handset // dst: whoever had the address when the server took it
	from, to session.Address
	m        *session.Message
	end      end // as the recipient has it
	text     string
	syncTo   string // whom the text was for, when to is an own device of the sender
	sentAt   time.Time
	about    *letter // the letter that this one asks for again
	root     *letter // the first with this text, of one that was sent again
	newest   *letter // of a first one, the last that was sent again
	fate     string
	tried    bool
	asked    int              // how often it was sent again
	asking   *session.Message // the newest request for it
}

// What a delivery comes to, beside what testutil's Oracle says.
const (
	another     testutil.Expectation = "registered again"       // since it was sent
	misled      testutil.Expectation = "encrypted to another"   // whose bundle the server gave
	noPreKey    testutil.Expectation = "prekey gone"            // used up, rotated more than 30 days ago, or deleted by a restore
	noSession   testutil.Expectation = "not among 41"           // or archived more than 30 days ago
	forgotten   testutil.Expectation = "began after the backup" // that the device was put back to
	putBack     testutil.Expectation = "of a session put back"  // at either end: it may depend on state that is lost
	foreignSync testutil.Expectation = "sync of another's key"  // an own device that has another identity key
	redelivered testutil.Expectation = "redelivered"            // staged, and not acknowledged
	done        testutil.Expectation = "acknowledged"           // within the last 7 days
	longDone    testutil.Expectation = "acknowledged long ago"  // and any error will do
)

const week = 7 * 24 * time.Hour

// leaves notes the message of a Result, and requires that it may leave: its
// counter is new, its recipient one that the server named, the key one that the
// server or the recipient itself gave for that device.
func (w *world) leaves(h *handset, r *session.Result, text string, sentAt time.Time) *letter {
	w.t.Helper()
	require.Contains(w.t, []session.MessageType{session.TypeSignal, session.TypePreKey}, r.Message.Type)
	in, err := wire.ParseSignalMessage(testutil.Inner(w.t, r.Message.Bytes))
	require.NoError(w.t, err)
	name := fmt.Sprintf("%x %d", in.RatchetKey, in.Counter)
	if old := w.used[name]; old != nil {
		require.True(w.t, old.src == h && old.to == r.To && old.text == text && bytes.Equal(old.m.Bytes, r.Message.Bytes), "a counter twice")
		return old
	}
	s := h.current(r.To)
	require.NotNil(w.t, s, "sent without a session")
	l := &letter{n: len(w.letters), src: h, from: h.at, to: r.To, m: r.Message, text: text, sentAt: sentAt, end: end{h.at, string(s.BaseKey)}}
	w.used[name] = l
	w.letters = append(w.letters, l)
	mine := end{r.To, l.end.base}
	w.rightKey(h, l, s, h.ends[mine] == nil)
	if h.ends[mine] == nil {
		h.ends[mine] = &conversation{Oracle: testutil.NewOracle(true)}
		h.ever[l.end.base] = true
	}
	require.False(w.t, h.ends[mine].restored, "sent on a session that was put back")
	h.ends[mine].Sent(w.t, l.m.Bytes)
	w.count["letters"]++
	return l
}

// rightKey requires that the session of a letter is with a key that was given
// for the device that it goes to: by the server, or in a message that came from
// there. One that h begins is with the prekeys of a bundle, too.
func (w *world) rightKey(h *handset, l *letter, s *wire.Session, first bool) {
	w.t.Helper()
	require.True(w.t, h.line.told[l.to], "sent to a device that nobody named")
	gifts := slices.Clone(h.line.gifts[l.to])
	gifts = slices.DeleteFunc(gifts, func(g gift) bool { return string(g.identity.Bytes()) != string(s.RemoteIdentity) })
	if !first {
		require.True(w.t, len(gifts) > 0 || h.met[l.to][string(s.RemoteIdentity)], "encrypted to a key that was not given for this device")
		return
	}
	require.Equal(w.t, session.TypePreKey, l.m.Type)
	outer, err := wire.ParsePreKeySignalMessage(l.m.Bytes)
	require.NoError(w.t, err)
	require.Equal(w.t, l.end.base, string(outer.BaseKey))
	at := slices.IndexFunc(gifts, func(g gift) bool {
		return len(s.Receivers) > 0 && bytes.Equal(g.key, s.Receivers[0].PublicKey) && g.signed == outer.SignedPreKeyID && g.kem == outer.KEMPreKeyID && g.hasOne == outer.HasPreKeyID && (!g.hasOne || g.one == outer.PreKeyID)
	})
	require.GreaterOrEqual(w.t, at, 0, "encrypted to a key that was not given for this device")
	w.begun[l.end.base], w.owners[l.end.base] = h, gifts[at].owner
}

// expect says what a delivery of l to h must come to.
func (w *world) expect(h *handset, l *letter) testutil.Expectation {
	r, c := h.read[l], h.ends[l.end]
	switch {
	case l.dst != h:
		return another
	case r != nil && r.acked.IsZero():
		return redelivered
	case r != nil && w.now.Sub(r.acked) <= week:
		return done
	case r != nil:
		return longDone
	case w.other(l) != h:
		return misled
	case c == nil:
		return w.foreign(h, l, w.expectFirst(h, l))
	case !h.holds(l.end):
		return noSession
	case c.restored, w.forked[l.end.base]:
		return putBack
	}
	return w.foreign(h, l, c.Expect(w.t, l.m.Bytes))
}

// other is who can read a letter: the other side of its session.
func (w *world) other(l *letter) *handset {
	if begun := w.begun[l.end.base]; begun != l.src {
		return begun
	}
	return w.owners[l.end.base]
}

// expectFirst is expect for a session that h does not know.
func (w *world) expectFirst(h *handset, l *letter) testutil.Expectation {
	switch {
	case l.m.Type != session.TypePreKey:
		require.True(w.t, h.put, "a message on a session that was never begun")
		return forgotten
	case !h.canBegin(l):
		return noPreKey
	}
	return testutil.Readable
}

// foreign is want, unless l is a copy for an own device that has another
// identity key than the sender.
func (w *world) foreign(h *handset, l *letter, want testutil.Expectation) testutil.Expectation {
	if want == testutil.Readable && w.content && l.from.User == h.at.User && !l.src.Identity().Equal(h.Identity()) {
		return foreignSync
	}
	return want
}

// deliver gives h a letter, and holds what it comes to against what it must.
func (w *world) deliver(h *handset, l *letter) {
	w.t.Helper()
	l.tried = true
	if l.about != nil {
		w.answer(h, l)
		return
	}
	want, before := w.expect(h, l), h.generation()
	was := w.sight(h, l.from)
	r, err := h.Decrypt(background, l.from, l.m, nil)
	if err != nil {
		require.Nil(w.t, r)
		require.Equal(w.t, before, h.generation(), "a failed Decrypt changed something")
		w.refused(h, l, want, err)
		return
	}
	w.count["delivered: "+string(want)]++
	switch want {
	case testutil.Readable, testutil.Unsure, putBack:
		require.False(w.t, r.Redelivered)
		w.reads(h, l, r, was)
	case redelivered:
		again := *r
		require.True(w.t, again.Redelivered)
		again.Redelivered = false
		require.Equal(w.t, h.read[l].got, &again)
		require.Equal(w.t, before, h.generation())
	default:
		require.Fail(w.t, "read what cannot be read", "letter %d: %s", l.n, want)
	}
}

// A sight is what h had of a peer device before a delivery.
type sight struct {
	id      session.PeerIdentity
	index   wire.SessionIndex
	current bool
}

func (w *world) sight(h *handset, peer session.Address) sight {
	idx := h.index(peer)
	return sight{h.trust(peer), idx, idx.Current != nil}
}

// reads notes that h read l for the first time.
func (w *world) reads(h *handset, l *letter, r *session.Received, was sight) {
	w.t.Helper()
	w.sameText(h, l, r)
	require.Equal(w.t, l.from, r.From)
	require.True(w.t, l.src.Identity().Equal(r.Identity))
	c, first := h.ends[l.end], false
	if c == nil {
		c, first = &conversation{Oracle: testutil.NewOracle(false)}, true
		if h.ever[l.end.base] {
			w.forked[l.end.base] = true
		}
		h.ends[l.end], h.ever[l.end.base] = c, true
	}
	c.Read(w.t, l.m.Bytes)
	w.announced(h, l, r, was, first)
	if h.met[l.from] == nil {
		h.met[l.from] = map[string]bool{}
	}
	h.met[l.from][string(r.Identity.Bytes())] = true
	got := *r
	h.read[l] = &reading{got: &got}
	h.staged = append(h.staged, l)
	l.fate = "read"
	w.kept(h, l.from, was)
}

// sameText requires that what was read is what was written.
func (w *world) sameText(h *handset, l *letter, r *session.Received) {
	w.t.Helper()
	if !w.content {
		require.Equal(w.t, l.text, string(r.Plaintext))
		return
	}
	require.NotNil(w.t, r.Content)
	require.Equal(w.t, l.text, string(r.Content.Body))
	require.Equal(w.t, l.syncTo, r.Content.SyncTo)
	require.True(w.t, l.sentAt.Equal(r.Content.SentAt))
}

// announced requires the events that come with a message, and no others.
func (w *world) announced(h *handset, l *letter, r *session.Received, was sight, first bool) {
	w.t.Helper()
	trusted := was.id.Accepted
	if trusted.IsZero() && l.from.User == h.at.User {
		trusted = h.Identity()
	}
	accepted := trusted.IsZero() || trusted.Equal(r.Identity)
	require.Equal(w.t, accepted, r.Accepted)
	var want, got []session.EventKind
	if first && !accepted && !was.id.Seen.Equal(r.Identity) {
		want = append(want, session.IdentityChanged)
	}
	if first && accepted && was.current {
		want = append(want, session.SessionRenewed)
	}
	for _, e := range r.Events {
		require.Equal(w.t, l.from, e.Address)
		got = append(got, e.Kind)
		if e.Kind == session.IdentityChanged {
			require.True(w.t, e.Seen.Equal(r.Identity) && e.Accepted.Equal(trusted))
		}
		w.count[fmt.Sprint("event ", e.Kind)]++
	}
	require.Equal(w.t, want, got, "letter %d", l.n)
}

// kept requires that no session with a peer went without a reason: older than
// 30 days, or one of more than 40, or of more than 4 that are not accepted.
func (w *world) kept(h *handset, peer session.Address, was sight) {
	w.t.Helper()
	idx := h.index(peer)
	now := map[string]bool{}
	few := 0
	for i := range idx.Archived {
		now[string(idx.Archived[i].Name)] = true
		if idx.Archived[i].Unaccepted {
			few++
		}
	}
	require.LessOrEqual(w.t, len(idx.Archived), 40)
	require.LessOrEqual(w.t, few, 4)
	if s := h.current(peer); s != nil {
		now[nameOf(s)] = true
	}
	for _, n := range was.index.Archived {
		old := w.now.Sub(time.UnixMilli(int64(n.ArchivedAt))) > month
		require.True(w.t, now[string(n.Name)] || old || len(idx.Archived) == 40 || n.Unaccepted && few == 4, "a session is gone")
	}
	if was.index.Current != nil {
		s, err := wire.ParseSession(was.index.Current)
		require.NoError(w.t, err)
		require.True(w.t, now[nameOf(s)], "the current session is gone")
	}
}

// refused requires the error that a letter must come to, and perhaps asks for
// it again.
func (w *world) refused(h *handset, l *letter, want testutil.Expectation, err error) {
	w.t.Helper()
	w.quiet(err)
	w.count["refused: "+string(want)]++
	duplicate := errors.Is(err, session.ErrDuplicate)
	switch want {
	case testutil.Readable, redelivered:
		require.NoError(w.t, err, "letter %d is lost: %s", l.n, want)
	case done, testutil.Duplicate:
		require.ErrorIs(w.t, err, session.ErrDuplicate)
		return
	case longDone:
		return
	case testutil.NoKey:
		require.True(w.t, duplicate)
	case foreignSync:
		require.ErrorIs(w.t, err, session.ErrMalformed)
	case noPreKey:
		require.True(w.t, is[*session.PreKeyNotFoundError](err) || is[*session.BaseKeyReusedError](err) || duplicate, "%v", err)
	case another, putBack, testutil.Unsure:
	default:
		require.True(w.t, errors.Is(err, session.ErrAuth) || errors.Is(err, session.ErrNoSession) ||
			is[*session.PreKeyNotFoundError](err) || is[*session.BaseKeyReusedError](err), "letter %d, %s: %v", l.n, want, err)
	}
	if l.fate == "" {
		l.fate = string(want)
	}
	if w.honest || w.chance(2) {
		w.ask(h, l, err)
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
