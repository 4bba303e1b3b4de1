package crash

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// A sending is what the server got of one message to the devices of users.
type sending struct {
	users  []string
	text   string
	at     time.Time
	nth    int
	has    map[*peer][]byte // its messages
	rounds int
}

// of are the devices of a user.
func (w *world) of(user string) (out []*peer) {
	for _, p := range w.peers {
		if p.a.User == user {
			out = append(out, p)
		}
	}
	return out
}

// users are all of them.
func (w *world) users() (out []string) {
	for _, p := range w.peers {
		if !slices.Contains(out, p.a.User) {
			out = append(out, p.a.User)
		}
	}
	return out
}

// declined requires the error of what is not sent to p.
func (w *world) declined(p *peer, got string) {
	w.t.Helper()
	switch {
	case w.blocked[p.a.User]:
		require.Contains(w.t, []string{"blocked", "untrusted"}, got)
	default:
		require.Equal(w.t, "untrusted", got)
	}
}

// listed is what the server says of p, with a bundle.
func (w *world) listed(p *peer) listing {
	b, err := p.Bundle(ctx)
	require.NoError(w.t, err)
	return listing{Peer: p.a, RegistrationID: p.RegistrationID(), Bundle: b.Bytes()}
}

// reaches reports whether a message that is sent to users gets to p; anew says
// on a session that begins with it.
func (p *peer) reaches(anew bool) bool {
	return !p.seen && !(p.fresh && (anew || p.mine.Current == nil))
}

// writesTo notes that the Device made a message for p, on a new session perhaps.
func (w *world) writesTo(p *peer, anew bool) {
	if anew || p.mine.Current == nil {
		p.mine.Begins()
		w.count["begun"]++
	}
}

// happens notes an event that nobody has seen.
func (w *world) happens() { w.fresh = append(w.fresh, w.now) }

// relists has the Device know who there is. An app that knew it before is told.
func (w *world) relists(user string, there func(*peer) bool) {
	for _, p := range w.of(user) {
		if gone := !there(p); gone != p.gone {
			if p.gone = gone; !w.known[user] {
				continue
			}
			if w.happens(); gone {
				p.mine.Archive()
			}
		}
	}
	w.known[user] = true
}

// A plan is what a Sending, or a difference, must come to.
type plan struct {
	c     command
	s     *sending
	asked []string // users of whom the Directory must be asked
	to    []*peer  // who get a message,
	anew  map[*peer]bool
	errs  map[session.Address]string
	gone  []*peer // are said to be
}

// sendMany has the Device send a message to all devices of some users.
func (w *world) sendMany() {
	w.ready() // what the next process finds comes first
	m := &plan{s: &sending{has: map[*peer][]byte{}}, errs: map[session.Address]string{}}
	m.s.text = fmt.Sprint("to users ", w.letters, " ", w.sends)
	for _, user := range w.users() {
		if !w.chance(3) {
			w.plans(m, user)
		}
	}
	if len(m.s.users) == 0 {
		return
	}
	m.c.Op, m.c.Users, m.c.Text = "send", m.s.users, m.s.text
	r, made := w.do(m.c)
	coded := w.mirror.coded
	if len(m.to) == 0 {
		coded = 0 // it was old copies that went, perhaps
	}
	if r == nil && coded == 0 && (len(m.to) > 0 || made == 0) {
		return
	}
	for _, user := range m.asked {
		w.relists(user, func(*peer) bool { return true })
	}
	w.sends += coded
	if r != nil {
		require.Empty(w.t, r.Err, r.Detail)
		coded--
	}
	for _, p := range m.to {
		w.losesMany(p, coded, false)
	}
	if r != nil {
		w.sent(m, r)
	}
}

// plans adds what a message to a user comes to.
func (w *world) plans(m *plan, user string) {
	m.s.users = append(m.s.users, user)
	if w.blocked[user] {
		m.errs[session.Address{User: user}] = "blocked"
		return
	}
	all := w.of(user)
	ask := !w.known[user] || !slices.ContainsFunc(all, func(p *peer) bool { return !p.gone })
	if ask {
		m.asked = append(m.asked, user)
	}
	for _, p := range all {
		if ask || p.mine.Current == nil {
			m.c.Lists = append(m.c.Lists, w.listed(p))
		}
		switch {
		case p.gone && !ask:
		case p.reaches(false):
			m.to = append(m.to, p)
		default:
			m.errs[p.a] = "untrusted"
		}
	}
}

// sent takes what a Send returned.
func (w *world) sent(m *plan, r *reply) {
	w.t.Helper()
	require.False(w.t, w.stamps[r.SentAt.UnixMilli()], "a time of sending twice")
	w.stamps[r.SentAt.UnixMilli()] = true
	m.s.at, m.s.nth = r.SentAt, w.sends
	require.Len(w.t, r.Results, len(m.to)+len(m.errs))
	w.goesOut(m, r)
	w.sending = m.s
}

// losesMany notes messages to p that were made, and never left.
func (w *world) losesMany(p *peer, n int, anew bool) {
	for range n {
		w.writesTo(p, anew)
		w.loses(p, 1)
	}
}

// goesOut takes the results: new messages to those who must get one, and errors.
func (w *world) goesOut(m *plan, r *reply) {
	w.t.Helper()
	for i := range r.Results {
		one := &r.Results[i]
		if want, failed := m.errs[one.To]; failed {
			require.Equal(w.t, want, one.Err)
			require.Empty(w.t, one.Bytes)
			continue
		}
		require.Empty(w.t, one.Err)
		at := slices.IndexFunc(w.peers, func(p *peer) bool { return p.a == one.To })
		require.GreaterOrEqual(w.t, at, 0)
		p := w.peers[at]
		require.Equal(w.t, p.RegistrationID(), one.RegistrationID)
		if !slices.Contains(m.to, p) {
			require.Equal(w.t, m.s.has[p], one.Bytes, "another message")
			continue
		}
		w.writesTo(p, m.anew[p])
		w.dispatch(p, one, &parcel{text: m.s.text, sentAt: m.s.at, nth: m.s.nth})
		m.s.has[p] = one.Bytes
	}
	for _, p := range m.to {
		require.NotNil(w.t, m.s.has[p], "no message")
	}
}

// dispatch notes a message of which there is a copy, as that of before says.
func (w *world) dispatch(p *peer, one *result, before *parcel) *parcel {
	w.t.Helper()
	q := w.leaves(p, &session.Message{Type: session.MessageType(one.Type), Bytes: one.Bytes}, before.text)
	q.sentAt, q.nth, q.resends = before.sentAt, before.nth, before.resends
	if last := w.newest(p, q.sentAt); last != nil {
		q.resends = max(q.resends, last.resends)
	}
	if w.count["sent to users"]++; !p.fresh {
		w.copied = append(w.copied, q)
		w.copied = w.copied[max(0, len(w.copied)-3*copies):]
	}
	return q
}

// newest is what the Device knows to have sent p last, of the copy of a time.
func (w *world) newest(p *peer, at time.Time) *parcel {
	for _, q := range slices.Backward(w.copied) {
		if q.p == p && q.sentAt.Equal(at) {
			return q
		}
	}
	return nil
}

// uncopies notes that p is not in copies any more: that of a time, or all.
func (w *world) uncopies(p *peer, at time.Time) {
	for _, q := range w.copied {
		if q.p == p && (at.IsZero() || q.sentAt.Equal(at)) {
			q.sentAt = time.Time{}
		}
	}
	w.copied = slices.DeleteFunc(w.copied, func(q *parcel) bool { return q.sentAt.IsZero() })
}

// submitted is the newest Sending, made now if there is none; nil when that
// could not be.
func (w *world) submitted() *sending {
	w.ready()
	if w.sending == nil || w.sending.rounds == 4 {
		w.sendMany()
	}
	if w.dead || w.doubt {
		return nil
	}
	return w.sending
}

// reconcile has the server say of the newest Sending that it is not for the
// right devices.
func (w *world) reconcile() {
	s := w.submitted()
	if s == nil {
		return
	}
	user := s.users[w.r.IntN(len(s.users))]
	if w.blocked[user] || !w.known[user] {
		return
	}
	m := &plan{s: s, errs: map[session.Address]string{}, anew: map[*peer]bool{}}
	m.c.Op, m.c.Users = "reconcile", []string{user}
	for _, one := range s.users { // what could not be sent stays so
		for _, p := range w.of(one) {
			if s.has[p] == nil {
				m.errs[p.a] = "untrusted"
			}
		}
		m.errs[session.Address{User: one}] = "blocked"
	}
	for _, p := range w.of(user) {
		w.differs(m, p)
	}
	w.reconciled(m)
}

// differs has the server say something of p, or nothing.
func (w *world) differs(m *plan, p *peer) {
	renew := false
	switch has := m.s.has[p] != nil; w.r.IntN(4) {
	case 0:
		return
	case 1:
		m.c.Extra, m.gone = append(m.c.Extra, p.a.Device), append(m.gone, p)
		return
	case 2:
		if m.c.Missing = append(m.c.Missing, p.a.Device); has {
			return
		}
	default:
		m.c.Stale = append(m.c.Stale, p.a.Device)
		renew = !p.gone || has // else nobody knows which session is of no use
	}
	if m.c.Lists = append(m.c.Lists, w.listed(p)); !p.reaches(renew) {
		m.errs[p.a] = "untrusted"
		return
	}
	delete(m.errs, p.a)
	m.to, m.anew[p] = append(m.to, p), renew
}

func (w *world) reconciled(m *plan) {
	w.t.Helper()
	r, made := w.do(m.c)
	if r == nil && made == 0 {
		return
	}
	w.sends++ // it may have made the copy anew
	w.leave(m)
	for _, p := range m.to {
		if p.gone {
			w.happens()
			p.gone = false
		}
	}
	if r != nil {
		require.Empty(w.t, r.Err, r.Detail)
		made = max(0, made-1)
	}
	for _, p := range m.to {
		if w.losesMany(p, made, m.anew[p]); made > 0 { // the copy is about what nobody has
			w.uncopies(p, m.s.at)
		}
	}
	if r == nil {
		return
	}
	m.s.rounds++
	require.True(w.t, r.SentAt.Equal(m.s.at))
	w.goesOut(m, r)
}

// leave notes the devices that have no message any more.
func (w *world) leave(m *plan) {
	for _, p := range m.gone {
		if !p.gone {
			w.happens()
			p.gone = true
			p.mine.Archive()
		}
		delete(m.s.has, p)
		w.uncopies(p, m.s.at)
	}
	for _, p := range w.of(m.c.Users[0]) {
		if _, failed := m.errs[p.a]; failed {
			delete(m.s.has, p)
			w.uncopies(p, m.s.at)
		}
	}
}

// taken has the server take the newest Sending.
func (w *world) taken() {
	if w.submitted() == nil {
		return
	}
	if r, _ := w.do(command{Op: "taken"}); r != nil {
		require.Empty(w.t, r.Err, r.Detail)
	}
}

// refresh has the Device learn anew who there is, one device less at times.
func (w *world) refresh() {
	w.ready()
	user := w.peer().a.User
	c := command{Op: "refresh", Users: []string{user}}
	var hidden *peer
	for _, p := range w.of(user) {
		l := listing{Peer: p.a, RegistrationID: p.RegistrationID()}
		if l.Hidden = hidden == nil && w.chance(4); l.Hidden {
			hidden = p
		}
		c.Lists = append(c.Lists, l)
	}
	r, made := w.do(c)
	if r == nil && made == 0 {
		return
	}
	if r != nil {
		require.Empty(w.t, r.Err, r.Detail)
	}
	w.relists(user, func(p *peer) bool { return p != hidden })
}
