package session_test

import (
	"crypto/sha256"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What a delivery comes to when the message was read before, beside what the
// oracle of its session says.
const (
	redelivered testutil.Expectation = "redelivered"         // staged, and not acknowledged
	done        testutil.Expectation = "acknowledged"        // within the last 7 days
	expired     testutil.Expectation = "past its expiry"     // staged, and not any longer
	doneOrLost  testutil.Expectation = "acknowledged before" // more than 7 days ago, or past its expiry
)

// markTime is how long a message that was acknowledged is known to be.
const markTime = 7 * 24 * time.Hour

// A phone is a device with an app, in a process that may stop at any time. What
// the app saved is not the Device's, and stays.
type phone struct {
	*side
	at        int
	open      func(old keystore.Store) keystore.Store // what the next process finds
	process   *process
	oracles   []*crash.Oracle // of the sessions with each other phone
	directory *crash.Directory
	due       time.Time // of upkeep

	waiting     []*flight // on the way to it
	unconfirmed []*flight // delivered, and the relay does not know what came of it
	staged      map[session.MessageID]*flight
	saved       map[session.MessageID][32]byte // by the app: digests of texts
	pending     []*session.Received            // saved, to be acknowledged
}

// inMemory keeps a store in memory, each process in another one.
func inMemory(t testing.TB) func(keystore.Store) keystore.Store {
	return func(old keystore.Store) keystore.Store {
		if old == nil {
			return keystore.NewMemory()
		}
		return copyOf(t, old)
	}
}

// add makes phone i of the schedule.
func (s *schedule) add(i int, a session.Address, open func(keystore.Store) keystore.Store) {
	p := &phone{at: i, open: open, directory: crash.NewDirectory(), staged: map[session.MessageID]*flight{}, saved: map[session.MessageID][32]byte{}}
	p.side = &side{identity: keys.GenerateIdentityKeyPair(), opts: &session.Options{Now: func() time.Time { return s.now }}}
	for range 4 {
		p.oracles = append(p.oracles, crash.NewOracle())
	}
	for p.Device == nil {
		s.starts(p)
		d, err := session.Create(ctx, p.process, session.Account{Address: a, Identity: p.identity}, p.opts)
		if err == nil {
			p.Device = d
		} else if !p.process.stopped {
			require.ErrorIs(s.t, err, session.ErrExists) // by one that stopped right after it
			p.Device = s.opens(p, a)
		}
	}
	s.died(p)
	s.phones = append(s.phones, p)
}

// starts starts the next process of p.
func (s *schedule) starts(p *phone) {
	p.store = p.open(p.store)
	p.process = &process{Store: p.store, left: -1}
	if s.stops > 0 {
		p.process.left, p.process.after = s.r.IntN(2*s.stops), s.r.IntN(2) == 0
	}
}

// opens opens the Device; nil when the process stops at that.
func (s *schedule) opens(p *phone, a session.Address) *session.Device {
	d, err := session.Open(ctx, p.process, a, p.opts)
	if err != nil {
		require.ErrorIs(s.t, err, errStopped)
	}
	return d
}

// stop ends the process of p, and starts the next one. The app saves what is
// not acknowledged, and has the relay send what that knows nothing of.
func (s *schedule) stop(p *phone) {
	a := p.Address()
	for ready := false; !ready; {
		s.count["stopped"]++
		s.starts(p)
		p.pending = nil
		if d := s.opens(p, a); d != nil {
			p.Device = d
			ready = s.resumes(p)
		}
	}
	p.waiting = append(p.waiting, p.unconfirmed...)
	p.unconfirmed = nil
}

// resumes has the app look at what it may not have saved: all that was read
// and is not acknowledged, and nothing else.
func (s *schedule) resumes(p *phone) bool {
	found := map[session.MessageID]*session.Received{}
	for r, err := range p.Unacknowledged(ctx) {
		if err != nil {
			require.ErrorIs(s.t, err, errStopped)
			return false
		}
		require.Nil(s.t, found[r.ID])
		found[r.ID] = r
	}
	for _, f := range slices.SortedFunc(maps.Values(p.staged), func(a, b *flight) int { return a.n - b.n }) {
		if s.expired(f) {
			continue
		}
		r := found[f.first.ID]
		require.NotNil(s.t, r, "message %d was not saved, and is gone", f.n)
		sameResult(s.t, r, f.first)
		s.save(p, r)
		delete(found, r.ID)
	}
	require.Empty(s.t, found)
	return true
}

// failed reports whether the process of p stopped before what it was about to
// do. The next one runs then.
func (s *schedule) failed(p *phone, err error) bool {
	s.t.Helper()
	if !p.process.stopped || err == nil {
		require.NoError(s.t, err)
		return false
	}
	require.ErrorIs(s.t, err, errStopped)
	require.False(s.t, p.process.committed, "an operation of more than one Commit")
	s.stop(p)
	return true
}

// died reports whether the process of p stopped after what it did. The next
// one runs then.
func (s *schedule) died(p *phone) bool {
	if !p.process.stopped {
		return false
	}
	s.stop(p)
	return true
}

// ends stops the process of p once in a while, between two calls of its store.
func (s *schedule) ends(p *phone) bool {
	if !s.chance(3 * s.stops) {
		return false
	}
	s.stop(p)
	return true
}

// take delivers f to p and holds the outcome against what it must be.
func (s *schedule) take(p *phone, f *flight) {
	s.t.Helper()
	want := s.expect(p, f)
	if !slices.Contains(p.unconfirmed, f) {
		p.unconfirmed = append(p.unconfirmed, f)
	}
	o := &session.DecryptOptions{Expires: f.expires}
	r, err := p.Decrypt(ctx, f.from.Address(), f.M, o)
	if isAny(err, session.ErrTooExpensive) {
		s.count["deep"]++
		o.Deep = true
		r, err = p.Decrypt(ctx, f.from.Address(), f.M, o)
	}
	if isAny(err, errStopped) {
		s.failed(p, err)
		return
	}
	f.came = true
	s.judge(p, f, want, r, err)
	if s.died(p) || r != nil && s.ends(p) {
		return
	}
	if r == nil {
		s.confirm(p, f)
		return
	}
	s.save(p, r)
	if s.ends(p) {
		return
	}
	if len(p.pending) > s.r.IntN(30) {
		s.acknowledge(p)
	}
}

// confirm tells the relay that it need not send f again.
func (s *schedule) confirm(p *phone, f *flight) {
	p.unconfirmed = slices.DeleteFunc(p.unconfirmed, func(g *flight) bool { return f == g })
}

func (s *schedule) expired(f *flight) bool { return !f.expires.IsZero() && !s.now.Before(f.expires) }

// expect says what a delivery of f must come to.
func (s *schedule) expect(p *phone, f *flight) testutil.Expectation {
	switch {
	case f.first == nil:
		return p.oracles[f.from.at].Expect(s.t, f.Envelope)
	case f.acked.IsZero() && s.expired(f):
		return expired
	case f.acked.IsZero():
		return redelivered
	case s.now.Sub(f.acked) <= markTime && (f.expires.IsZero() || f.acked.Before(f.expires)):
		return done // else it may have been swept before
	}
	return doneOrLost
}

// judge requires that a delivery came to what it must.
func (s *schedule) judge(p *phone, f *flight, want testutil.Expectation, r *session.Received, err error) {
	s.t.Helper()
	s.count[string(want)]++
	switch want {
	case testutil.Readable:
		require.NoError(s.t, err, "message %d: %s", f.n, want)
		s.read(p, f, r)
		return
	case redelivered:
		require.NoError(s.t, err, "message %d: %s", f.n, want)
		sameResult(s.t, r, f.first)
		return
	case testutil.NoKey, testutil.Duplicate, done:
		require.ErrorIs(s.t, err, session.ErrDuplicate, "message %d: %s", f.n, want)
	case crash.NoSession:
		s.noSession(f, err)
	case doneOrLost, expired:
		require.Error(s.t, err)
	default:
		require.ErrorIs(s.t, err, session.ErrAuth, "message %d: %s", f.n, want)
	}
	require.Nil(s.t, r)
	if f.first == nil {
		f.fate = "outside a window"
	}
}

// noSession requires the error to a message of a session that is gone.
func (s *schedule) noSession(f *flight, err error) {
	if f.M.Type != session.TypePreKey {
		require.ErrorIs(s.t, err, session.ErrAuth, "message %d", f.n)
		return
	}
	if f.to.directory.OneTime(s.t, f.M.Bytes) {
		refusedAs[*session.PreKeyNotFoundError](s.t, err)
	} else {
		refusedAs[*session.BaseKeyReusedError](s.t, err)
	}
}

// read notes that f was read, for the first time.
func (s *schedule) read(p *phone, f *flight, r *session.Received) {
	require.Equal(s.t, f.text, string(r.Plaintext))
	require.Equal(s.t, f.from.Address(), r.From)
	require.True(s.t, r.Accepted)
	require.False(s.t, r.Redelivered)
	_, saved := p.saved[r.ID]
	require.False(s.t, saved)
	if p.oracles[f.from.at].Reads(s.t, f.Envelope, true) {
		p.directory.Uses(s.t, f.M.Bytes)
	}
	f.first = r
	p.staged[r.ID] = f
}

// save is the app's: it knows a message that it has by its ID.
func (s *schedule) save(p *phone, r *session.Received) {
	text, again := p.saved[r.ID]
	if again {
		require.True(s.t, r.Redelivered)
		require.Equal(s.t, text, digestOf(string(r.Plaintext)))
		s.count["saved again"]++
	}
	p.saved[r.ID] = digestOf(string(r.Plaintext))
	p.pending = append(p.pending, r)
}

// has says what became of a message that was read.
func (p *phone) has(t testing.TB, f *flight) string {
	t.Helper()
	text, ok := p.saved[f.first.ID]
	if !ok {
		require.False(t, f.expires.IsZero(), "message %d was not saved", f.n)
		return string(expired)
	}
	require.Equal(t, digestOf(f.text), text)
	return "saved"
}

// acknowledge acknowledges all that the app has saved.
func (s *schedule) acknowledge(p *phone) {
	if s.failed(p, p.Acknowledge(ctx, p.pending...)) {
		return
	}
	var told []*flight
	for _, r := range p.pending {
		if f := p.staged[r.ID]; f != nil { // else it was twice among them
			f.acked = s.now
			told = append(told, f)
			delete(p.staged, r.ID)
		}
	}
	if s.died(p) {
		return
	}
	for _, f := range told {
		s.confirm(p, f)
	}
	p.pending = nil
}

// digestOf names a text in few bytes.
func digestOf(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// bundle is one of p's, from the server or from p itself; nil when its process
// stopped.
func (s *schedule) bundle(p *phone) *x3dh.Bundle {
	d := p.directory
	if s.chance(3) {
		b, err := p.Bundle(ctx)
		if s.failed(p, err) {
			return nil
		}
		d.Bundled(s.t, b)
		if s.died(p) {
			return nil
		}
		return b
	}
	if d.Has == nil || len(d.Has.PreKeys) == 0 && s.chance(3) {
		s.upkeep(p)
	}
	if d.Has == nil {
		return nil
	}
	return d.Has.Take()
}

// upkeep has p make the prekeys that are due, give them to the server and note
// that.
func (s *schedule) upkeep(p *phone) {
	publish := p.Upkeep
	if s.chance(3) {
		publish = p.Publish
	}
	made, err := publish(ctx)
	if err != nil {
		require.ErrorIs(s.t, err, errStopped)
		s.stop(p)
		return
	}
	if made != nil {
		p.directory.Published(s.t, made)
	}
	if s.died(p) || made == nil {
		return
	}
	p.directory.Uploads(made)
	if s.ends(p) || s.failed(p, p.MarkPublished(ctx, made)) {
		return
	}
	s.count["published"]++
	s.died(p)
}

// care has p do its upkeep when that is due.
func (s *schedule) care(p *phone) {
	if s.now.Before(p.due) {
		return
	}
	s.upkeep(p)
	due, err := p.Due(ctx)
	if !s.failed(p, err) {
		require.True(s.t, due.At.After(s.now))
		p.due = due.At
	}
}

// begin has p begin a session with q.
func (s *schedule) begin(p, q *phone) { s.beginFrom(p, q, s.bundle(q)) }

func (s *schedule) beginFrom(p, q *phone, b *x3dh.Bundle) {
	if b == nil || s.failed(p, p.Begin(ctx, q.Address(), b)) {
		return
	}
	p.oracles[q.at].Begins()
	s.count["begun"]++
	s.died(p)
}

// archive has p archive its session with q.
func (s *schedule) archive(p, q *phone) {
	o, err := p.oracles[q.at], p.Archive(ctx, q.Address())
	if o.Current == nil && isAny(err, session.ErrNoSession) {
		return
	}
	if s.failed(p, err) {
		return
	}
	o.Archive()
	s.count["archived"]++
	s.died(p)
}

// move takes all that p has to another store, its sessions with q by export.
func (s *schedule) move(p, q *phone) {
	p.side = p.side.moved(s.t, q.side)
	p.process = &process{Store: p.store, left: -1}
	s.count["moved"]++
}
