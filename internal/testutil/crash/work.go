package crash

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
)

// may has the Device have a session with p, and reports whether it may send.
func (w *world) may(p *peer) bool {
	if p.mine.Current == nil {
		w.begin(p)
	}
	return p.mine.Current != nil && !p.seen && !w.blocked[p.a.User]
}

// begin has the Device begin a session with p.
func (w *world) begin(p *peer) {
	b, err := p.Bundle(ctx)
	require.NoError(w.t, err)
	r, made := w.do(command{Op: "begin", Peer: p.a, Bytes: b.Bytes()})
	if p.fresh || w.blocked[p.a.User] {
		if r != nil {
			w.declined(p, r.Err)
		}
		require.Zero(w.t, made)
		return
	}
	if r != nil {
		require.Empty(w.t, r.Err)
		require.Equal(w.t, 1, made)
	}
	if made > 0 {
		p.mine.Begins()
		w.count["begun"]++
	}
}

// send has the Device send p a message; nil when none left.
func (w *world) send(p *peer) *parcel {
	may := w.may(p)
	if p.mine.Current == nil {
		return nil
	}
	text := fmt.Sprint("parcel ", w.count["parcels"])
	r, made := w.do(command{Op: "encrypt", Peer: p.a, Text: text})
	if !may {
		if r != nil {
			w.declined(p, r.Err)
		}
		require.Zero(w.t, made)
		return nil
	}
	if r == nil {
		w.loses(p, made)
		return nil
	}
	require.Empty(w.t, r.Err)
	w.loses(p, made-1)
	return w.leaves(p, &session.Message{Type: session.MessageType(r.Type), Bytes: r.Bytes}, text)
}

// loses notes messages that were made, and never left.
func (w *world) loses(p *peer, n int) {
	for range n {
		p.mine.Current.Lost()
		w.count["never left"]++
	}
}

// converse has a message go to p and one come back.
func (w *world) converse(p *peer) {
	if p.fresh {
		w.accepts(p)
	}
	if q := w.send(p); q != nil && slices.Contains(w.parcels, q) {
		w.parcels = slices.DeleteFunc(w.parcels, func(a *parcel) bool { return a == q })
		w.opened(q)
	}
	if l := w.writes(p); l != nil {
		w.waiting = slices.DeleteFunc(w.waiting, func(a *letter) bool { return a == l })
		w.take(l)
		w.count["went on"]++
	}
}

// update has the Device do several things at once.
func (w *world) update() {
	var to []*peer
	for _, p := range w.peers {
		if w.chance(2) && w.may(p) {
			to = append(to, p)
		}
	}
	if len(to) == 0 {
		return
	}
	w.ready()
	c := command{Op: "update", Text: fmt.Sprint("to many ", w.updates)}
	var l *letter
	if at := slices.IndexFunc(w.waiting, func(l *letter) bool { return w.expect(l) == testutil.Readable }); at >= 0 && w.chance(2) {
		l = w.waiting[at]
		l.came = true
		c = w.decrypt(l)
		c.Op, c.Text = "update", fmt.Sprint("to many ", w.updates)
	}
	for _, p := range to {
		c.Peers = append(c.Peers, p.a)
	}
	w.updated(to, l, c)
}

// updated carries out an Update to peers, of which l may be a part.
func (w *world) updated(to []*peer, l *letter, c command) {
	w.t.Helper()
	r, made := w.do(c)
	if made == 0 {
		require.Nil(w.t, r)
		return
	}
	require.Equal(w.t, 1, made, "an Update of more than one Commit")
	w.updates++
	w.fresh = append(w.fresh, w.now)
	if r == nil {
		for _, p := range to {
			w.loses(p, 1)
		}
		if l != nil {
			w.reads(l, testutil.Readable, nil)
		}
		return
	}
	require.Empty(w.t, r.Err)
	require.Equal(w.t, w.updates, r.Count, "Updates")
	for i, p := range to {
		w.leaves(p, &r.Messages[i], c.Text)
	}
	if l != nil {
		w.reads(l, testutil.Readable, &r.Received[0])
		w.waiting = slices.DeleteFunc(w.waiting, func(a *letter) bool { return a == l })
		w.unconfirmed, w.pending = append(w.unconfirmed, l), append(w.pending, l)
	}
}

// archive has the Device archive its session with a peer.
func (w *world) archive() {
	p := w.peer()
	r, made := w.do(command{Op: "archive", Peer: p.a})
	if p.mine.Current == nil {
		require.Zero(w.t, made)
		if r != nil {
			require.Equal(w.t, "no session", r.Err)
		}
		return
	}
	if r != nil {
		require.Empty(w.t, r.Err)
	}
	if made > 0 {
		p.mine.Archive()
	}
}

// move exports the sessions with a peer and imports them in their own place.
func (w *world) move() {
	p := w.peer()
	if p.fresh || p.mine.Current == nil {
		return
	}
	r, made := w.do(command{Op: "move", Peer: p.a})
	if r != nil {
		require.Empty(w.t, r.Err)
	}
	if made > 0 {
		p.mine.Moves()
	}
}

// check has the app believe that the store was rolled back, as if one Commit
// were missing. Until the device is taken up it does nothing.
func (w *world) check() {
	r, made := w.do(command{Op: "check"})
	if w.marked = made > 0; !w.marked {
		return
	}
	w.count["rolled back"]++
	if r == nil {
		return
	}
	require.Equal(w.t, "rolled back", r.Err)
	if p := w.peer(); w.chance(2) {
		r, made := w.doOnce(command{Op: "encrypt", Peer: p.a})
		require.Zero(w.t, made)
		if r == nil {
			return
		}
		require.Equal(w.t, "rolled back", r.Err)
	}
	w.takesUp()
}

// takesUp takes the device up again. It reports whether it could.
func (w *world) takesUp() bool {
	w.t.Helper()
	r, made := w.doOnce(command{Op: "restore"})
	if r != nil {
		require.Empty(w.t, r.Err)
	}
	if made > 0 { // few records take one Commit
		w.marked = false
		w.directory.Restores()
		w.unseen = true
		for _, p := range w.peers {
			p.mine.Restores()
		}
	}
	return r != nil
}

// reinstall gives a peer that the Device has met a new identity key. What was
// on the way from the old one is lost.
func (w *world) reinstall() {
	p := w.peer()
	if p.fresh || p.mine.Current == nil {
		return
	}
	p.old = p.Identity().Bytes()
	w.installs(p)
	p.fresh, p.seen = true, false
	gone := func(l *letter) bool { return l.p == p && !l.read }
	w.waiting = slices.DeleteFunc(w.waiting, gone)
	w.unconfirmed = slices.DeleteFunc(w.unconfirmed, gone)
	w.parcels = slices.DeleteFunc(w.parcels, func(q *parcel) bool { return q.p == p })
	w.uncopies(p, time.Time{}) // it knows of none
	w.count["installed anew"]++
}

// knows requires that the Device knows the identity keys of a peer.
func (w *world) knows() {
	p := w.peer()
	r, _ := w.do(command{Op: "identity", Peer: p.a})
	if r == nil {
		return
	}
	require.Empty(w.t, r.Err)
	if p.mine.Current == nil { // it may not
		return
	}
	accepted := p.Identity().Bytes()
	seen := accepted
	if p.fresh {
		accepted = p.old
	}
	if !p.seen {
		seen = accepted
	}
	require.Equal(w.t, append(bytes.Clone(accepted), seen...), r.Bytes)
	require.Equal(w.t, p.verified, r.Due)
}

func (w *world) accept() {
	at := slices.IndexFunc(w.peers, func(p *peer) bool { return p.fresh })
	if at < 0 {
		at = w.r.IntN(len(w.peers))
	}
	w.accepts(w.peers[at])
}

// accepts has the app accept the identity key of p.
func (w *world) accepts(p *peer) {
	r, made := w.do(command{Op: "accept", Peer: p.a, Bytes: p.Identity().Bytes()})
	if r != nil {
		require.Empty(w.t, r.Err)
	}
	if p.fresh && (r != nil || made > 0) {
		require.Equal(w.t, 1, made)
		p.mine.Accepts()
		p.fresh, p.seen, p.verified = false, false, false
	} else if made > 0 {
		p.mine.AcceptsAgain()
	}
}

// finish has everything come to its end: all that waits is delivered, the
// conversation goes on with everyone, and what is acknowledged is gone.
func (w *world) finish() {
	w.t.Helper()
	w.restart()
	for !w.created {
		w.create()
	}
	w.do(command{Op: "events"}) // and what the last process left
	for user := range w.blocked {
		w.blocks(user, false)
	}
	for len(w.waiting) > 0 {
		l := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.take(l)
	}
	for _, p := range w.peers {
		for range 2 {
			w.converse(p)
		}
	}
	for len(w.pending) > 0 {
		w.acknowledge()
	}
	w.restart()
	w.unacknowledged() // and finds nothing that waits
	for _, l := range w.staged {
		require.True(w.t, w.expired(l), "letter %d", l.n)
	}
	w.upkeep()
	w.listEvents()
	w.restart()
	w.directory.Check(w.t, w.looked, w.unseen)
}
