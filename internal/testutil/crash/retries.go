package crash

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// tooOften is after how many answers there is none for a message.
const tooOften = 5

// resend has a peer ask for a message that was sent to users, once more perhaps,
// and the Device answer. What it said, or would have, it says again.
func (w *world) resend() {
	w.ready()
	if len(w.copied) == 0 {
		w.sendMany()
	}
	if len(w.copied) == 0 || w.dead || w.doubt {
		return
	}
	w.asks(w.copied[len(w.copied)-1-w.r.IntN(min(6, len(w.copied)))])
}

// asks has a peer ask for q.
func (w *world) asks(q *parcel) {
	w.t.Helper()
	p := q.p
	ask, err := p.RequestRetry(ctx, owner, q.M, q.sentAt, session.ErrAuth)
	if err != nil {
		require.ErrorIs(w.t, err, session.ErrNoRetry) // asked too often
		return
	}
	c := command{Op: "resend", Peer: p.a, Type: byte(ask.Type), Bytes: ask.Bytes, Lists: []listing{w.listed(p)}}
	failed := p.mine.Sending(w.t, q.Envelope)
	must, never := w.answers(q, failed)
	asked := w.now
	r, made := w.do(c)
	committed := made
	for r == nil && committed > 0 { // it was answered, and nobody knows
		if r, made = w.do(c); made > 0 {
			w.t.Fatalf("answered once more")
		}
		w.count["answered again"]++
	}
	if r == nil {
		return
	}
	require.False(w.t, never && r.Err == "" || must && r.Err != "", "answered: %q", r.Err)
	if r.Err != "" {
		require.Equal(w.t, "no retry", r.Err)
		require.Zero(w.t, committed)
		return
	}
	require.Len(w.t, r.Results, 1)
	require.True(w.t, r.SentAt.Equal(q.sentAt))
	w.answered(q, &r.Results[0], committed, failed, asked)
}

// answers reports whether a request for q must be answered, or must not.
func (w *world) answers(q *parcel, failed bool) (must, never bool) {
	p, g := q.p, q.p.given[w.nameOf(q)]
	switch {
	case p.gone, !w.known[p.a.User], w.blocked[p.a.User], w.now.Sub(q.sentAt) >= copyTime:
		return false, true
	case w.sends-q.nth >= copies: // it may have made room
		return false, g == nil && w.refuses(q, failed)
	case g != nil:
		return w.now.Sub(g.at) < answerTime, false
	case w.refuses(q, failed):
		return false, true
	}
	return true, false
}

// refuses reports whether a request for q is one too many.
func (w *world) refuses(q *parcel, failed bool) bool {
	last := w.newest(q.p, q.sentAt)
	return w.nameOf(last) != w.nameOf(q) || last.resends >= tooOften || failed && !q.p.reset.IsZero() && w.now.Sub(q.p.reset) < time.Hour
}

// answered holds the answer against what it must be: that of before, or a
// message on the session that the request says nothing of.
func (w *world) answered(q *parcel, one *result, committed int, failed bool, at time.Time) {
	w.t.Helper()
	p := q.p
	require.Empty(w.t, one.Err)
	require.Equal(w.t, p.RegistrationID(), one.RegistrationID)
	if g := p.given[w.nameOf(q)]; g != nil && committed == 0 {
		require.Equal(w.t, g.M.Bytes, one.Bytes, "another answer")
		require.Zero(w.t, committed)
		w.count["same answer"]++
		return
	}
	require.NotZero(w.t, committed)
	if failed {
		p.reset = at
		w.count["session lost"]++
	}
	w.writesTo(p, failed)
	before := *q
	before.resends++
	g := &answer{w.dispatch(p, one, &before), at}
	p.given[w.nameOf(q)] = g
	if w.chance(2) && slices.Contains(w.parcels, g.parcel) {
		w.parcels = slices.DeleteFunc(w.parcels, func(a *parcel) bool { return a == g.parcel })
		w.opened(g.parcel)
	}
}

// An answer is what the Device answered a request with.
type answer struct {
	*parcel
	at time.Time
}

// nameOf is all that a request says of q. Where a session became current again,
// two may have one name.
func (w *world) nameOf(q *parcel) string {
	return fmt.Sprint(q.sentAt.UnixMilli(), ratchetKey(w.t, q.M.Bytes))
}

// request has the Device ask for a letter.
func (w *world) request() {
	w.ready()
	if len(w.waiting) == 0 {
		w.writes(w.peer())
	}
	if len(w.waiting) == 0 || w.dead || w.doubt {
		return
	}
	l := w.waiting[w.r.IntN(len(w.waiting))]
	r, made := w.do(command{Op: "request", Peer: l.p.a, Type: byte(l.M.Type), Bytes: l.M.Bytes, Expires: w.now})
	if w.blocked[l.p.a.User] {
		require.Zero(w.t, made)
		require.True(w.t, r == nil || r.Err == "no retry")
		return
	}
	if r == nil {
		return
	}
	require.Empty(w.t, r.Err, r.Detail)
	require.Equal(w.t, 1, made)
	require.Equal(w.t, session.TypePlaintext, session.MessageType(r.Type))
	dem, err := wire.ParsePlaintextContent(r.Bytes)
	require.NoError(w.t, err)
	want := wire.DecryptionErrorMessage{RatchetKey: []byte(ratchetKey(w.t, l.M.Bytes)), Timestamp: uint64(w.now.UnixMilli()), Device: l.p.a.Device}
	require.Equal(w.t, want, dem)
}
