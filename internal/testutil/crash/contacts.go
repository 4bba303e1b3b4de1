package crash

import (
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// block blocks a user, or who is blocked no more.
func (w *world) block() {
	for user := range w.blocked {
		w.blocks(user, false)
		return
	}
	w.blocks(w.peer().a.User, true)
}

func (w *world) blocks(user string, blocked bool) {
	for {
		c := command{Op: "block", Yes: blocked}
		c.Peer.User = user
		r, made := w.do(c)
		if r != nil {
			require.Empty(w.t, r.Err, r.Detail)
		}
		if r == nil && made == 0 {
			if blocked {
				return
			}
			continue
		}
		require.Equal(w.t, 1, made)
		if delete(w.blocked, user); blocked {
			w.blocked[user] = true
		}
		return
	}
}

// verify has the app note that a user compared an identity key.
func (w *world) verify() {
	p := w.peer()
	w.ready()
	if p.mine.Current == nil { // it may not be known
		return
	}
	yes := !w.chance(3)
	r, made := w.do(command{Op: "verify", Peer: p.a, Bytes: p.Identity().Bytes(), Yes: yes})
	switch {
	case p.fresh:
		require.Zero(w.t, made)
		require.True(w.t, r == nil || r.Err == "mismatch")
	case r != nil || made > 0:
		require.True(w.t, r == nil || r.Err == "")
		p.verified = yes
	}
}

// rename gives a user another name, the one of before the second time.
func (w *world) rename() {
	w.ready()
	p := w.peers[len(w.peers)-1]
	from, to := p.a.User, strings.TrimSuffix(p.a.User, " again")
	if from == to {
		to += " again"
	}
	r, made := w.do(command{Op: "rename", Peer: p.a, Text: to})
	if r == nil && made == 0 {
		return
	}
	if r != nil {
		require.Empty(w.t, r.Err, r.Detail)
	}
	p.a.User, w.sending = to, nil
	w.count["renamed"]++
	for _, names := range []map[string]bool{w.blocked, w.known} {
		if names[from] {
			names[to] = true
		}
		delete(names, from)
	}
	for id, e := range w.events {
		if e.Address.User == from {
			e.Address.User = to
			w.events[id] = e
		}
	}
	w.moves(p, from)
}

// moves has letters be those of a user of another name.
func (w *world) moves(p *peer, from string) {
	for _, l := range w.staged {
		if l.p == p {
			l.first.From = p.a
			for i := range l.first.Events {
				if l.first.Events[i].Address.User == from {
					l.first.Events[i].Address.User = p.a.User
				}
			}
		}
	}
	for _, l := range w.lettersOf(p) {
		if !l.read {
			l.id = w.messageID(p.a, l.M.Bytes)
		}
	}
}

// lettersOf are those of a peer that are anywhere, some twice.
func (w *world) lettersOf(p *peer) (out []*letter) {
	for _, l := range slices.Concat(w.waiting, w.unconfirmed, w.pending) {
		if l.p == p {
			out = append(out, l)
		}
	}
	return out
}

// forget has the Device forget a user, of whom there is no event that nobody saw.
func (w *world) forget() {
	w.listEvents()
	user := w.peer().a.User
	w.ready()
	if len(w.fresh)+w.perhaps > 0 {
		return
	}
	c := command{Op: "forget"}
	c.Peer.User = user
	r, made := w.do(c)
	if r == nil && made == 0 {
		return
	}
	if r != nil {
		require.Empty(w.t, r.Err, r.Detail)
	}
	w.sending = nil
	w.count["forgotten"]++
	delete(w.blocked, user)
	delete(w.known, user)
	for id, e := range w.events {
		if e.Address.User == user {
			delete(w.events, id)
		}
	}
	for _, p := range w.of(user) {
		w.forgets(p)
	}
}

// forgets has p be a stranger's: what waited is gone.
func (w *world) forgets(p *peer) {
	p.mine.Forgets()
	p.fresh, p.seen, p.gone, p.verified, p.reset = false, false, false, false, time.Time{}
	p.given = map[string]*answer{}
	w.uncopies(p, time.Time{})
	for _, l := range w.lettersOf(p) {
		l.gone = l.gone || l.read && l.acked.IsZero()
	}
	for id, l := range w.staged {
		if l.p == p {
			delete(w.staged, id)
		}
	}
	w.pending = slices.DeleteFunc(w.pending, func(l *letter) bool { return l.p == p })
}
