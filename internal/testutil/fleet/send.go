package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// An errand is one message that a device sends to people, until the server has
// taken it.
type errand struct {
	w       *world
	h       *handset
	users   []string // as they were given
	all     []string // whose devices get it
	text    string
	opts    session.SendOptions
	sending *session.Sending
	letters map[session.Address]*letter
	lists   map[string]roster // as they were before the operation
	lied    bool
}

// send has h send a message to some people.
func (w *world) send(h *handset) {
	var users []string
	for _, p := range w.people {
		if p.user != h.at.User && w.chance(2) || w.chance(12) {
			users = append(users, p.user)
		}
	}
	if len(users) == 0 {
		users = []string{w.names[(slices.Index(w.names, h.at.User)+1)%len(w.names)]}
	}
	e := &errand{w: w, h: h, users: users, text: fmt.Sprint("letter ", len(w.letters))}
	e.opts.NoOwnDevices = w.chance(6)
	for _, user := range append([]string{h.at.User}, users...) {
		if w.chance(10) {
			e.opts.Exclude = append(e.opts.Exclude, session.Address{User: user, Device: uint32(1 + w.r.IntN(3))})
		}
	}
	if len(users) > 1 {
		e.opts.Group = "a group"
	}
	l := lie{}
	if w.chance(3) {
		l = invent(w.r, append([]string{h.at.User}, users...))
	}
	e.run(l)
}

// run sends, and submits what there is until the server takes it, or it is given
// up.
func (e *errand) run(l lie) bool {
	w, h := e.w, e.h
	w.count["sends"]++
	e.all = slices.Clone(e.users)
	if !e.opts.NoOwnDevices && !slices.Contains(e.all, h.at.User) {
		e.all = append(e.all, h.at.User)
	}
	e.letters, e.lied = map[session.Address]*letter{}, l.kind != ""
	defer func() {
		for kind, n := range h.line.lies {
			w.count[kind] += n
			w.count["lies"] += n
		}
		clear(h.line.lies)
	}()
	if !e.begins(l) {
		return false
	}
	for range 12 {
		p := &parcel{users: e.told(), results: e.sending.Results, without: e.without()}
		said := w.server.submit(h.line, p)
		if len(said) == 0 {
			e.accepted()
			return true
		}
		if !e.reconciles(said) {
			return false
		}
	}
	require.Fail(w.t, "reconciled without end")
	return false
}

// begins calls Send. It reports whether that made something.
func (e *errand) begins(l lie) bool {
	w, h := e.w, e.h
	ctx, cancel := h.under(l)
	defer cancel()
	e.lists = h.lists(e.all)
	before := h.generation()
	s, err := h.Send(ctx, e.users, &session.Content{Body: []byte(e.text)}, &e.opts)
	if err != nil {
		require.ErrorIs(w.t, err, context.Canceled, "Send: %v", err)
		require.Error(w.t, ctx.Err())
		require.Nil(w.t, s)
		require.Equal(w.t, before, h.generation(), "a failed Send changed something")
		w.count["sends that failed"]++
		return false
	}
	e.sending = s
	e.results()
	w.owes(h, e.changes(nil))
	return true
}

// reconciles calls Reconcile. It reports whether the app goes on.
func (e *errand) reconciles(said []session.Difference) bool {
	w, h := e.w, e.h
	w.count["reconciled"]++
	ctx, cancel := h.under(h.line.lie)
	defer cancel()
	e.lists = h.lists(e.all)
	before, results := h.generation(), slices.Clone(e.sending.Results)
	err := h.Reconcile(ctx, e.sending, said...)
	if err == nil {
		require.False(w.t, nonsensical(said, e.all), "malformed differences %v were taken", said)
		e.named(said)
		e.results()
		w.owes(h, e.changes(said))
		return true
	}
	w.quiet(err)
	require.Equal(w.t, before, h.generation(), "a failed Reconcile changed something")
	require.Equal(w.t, results, e.sending.Results)
	switch {
	case errors.Is(err, session.ErrMalformed):
		require.True(w.t, nonsensical(said, e.all), "%v", said)
		w.count["malformed differences"]++
		return true // and the app asks again
	case errors.Is(err, session.ErrUnsettled):
		require.True(w.t, e.lied)
		w.count["unsettled"]++
		return false
	}
	require.ErrorIs(w.t, err, context.Canceled)
	require.Error(w.t, ctx.Err())
	h.line.lie = lie{}
	return true
}

// nonsensical reports whether a server's answer is malformed.
func nonsensical(said []session.Difference, users []string) bool {
	for _, d := range said {
		named := map[uint32]bool{}
		for _, id := range slices.Concat(d.Missing, d.Stale, d.Extra) {
			if id < 1 || id > 127 || named[id] {
				return true
			}
			named[id] = true
		}
		if !slices.Contains(users, d.User) {
			return true
		}
	}
	return false
}

// named requires that what the server named was dealt with: what is extra has no
// Result, what is missing has one.
func (e *errand) named(said []session.Difference) {
	for _, d := range said {
		for _, id := range d.Extra {
			a := session.Address{User: d.User, Device: id}
			require.Negative(e.w.t, e.result(a), "a device that is none is sent to")
			delete(e.letters, a)
			require.Nil(e.w.t, e.h.index(a).Current, "its session sends")
		}
		for _, id := range slices.Concat(d.Missing, d.Stale) {
			a := session.Address{User: d.User, Device: id}
			if !slices.Contains(e.opts.Exclude, a) && a != e.h.at {
				require.GreaterOrEqual(e.w.t, e.result(a), 0, "a device that is missing still is")
			}
		}
		for _, id := range d.Stale {
			delete(e.letters, session.Address{User: d.User, Device: id})
		}
	}
}

func (e *errand) result(a session.Address) int {
	return slices.IndexFunc(e.sending.Results, func(r session.Result) bool { return r.To == a })
}

// lists are the devices that h has on record.
func (h *handset) lists(users []string) map[string]roster {
	out := map[string]roster{}
	for _, user := range users {
		out[user] = h.roster(user)
	}
	return out
}

// results requires that there is a Result for every device, in order, and looks
// at each. What was encrypted before is the same still.
func (e *errand) results() {
	w, h := e.w, e.h
	have := map[session.Address]bool{}
	failed := map[string]bool{}
	for i := range e.sending.Results {
		r := &e.sending.Results[i]
		if i > 0 {
			require.Negative(w.t, compare(e.sending.Results[i-1].To, r.To), "the order of Results")
		}
		have[r.To] = true
		if failed[r.To.User] = failed[r.To.User] || r.To.Device == 0; r.Err != nil {
			e.failure(r)
			continue
		}
		require.NotNil(w.t, r.Message)
		require.NotEqual(w.t, h.at, r.To, "a message to itself")
		require.NotContains(w.t, e.opts.Exclude, r.To, "a message to a device that is excluded")
		l := w.leaves(h, r, e.text, e.sending.SentAt)
		if s := h.current(r.To); string(s.BaseKey) == l.end.base { // else it was archived since
			require.Equal(w.t, s.RemoteRegistrationID, r.RegistrationID, "on a session with another registration")
		}
		if w.content && r.To.User == h.at.User {
			if l.syncTo = e.opts.Group; l.syncTo == "" {
				l.syncTo = e.users[0]
			}
		}
		if old := e.letters[r.To]; old != nil {
			require.Same(w.t, old, l, "encrypted twice for one device")
		}
		e.letters[r.To] = l
	}
	for user, list := range h.lists(e.all) {
		for id, registration := range list.devices {
			a := session.Address{User: user, Device: id}
			if a == h.at || slices.Contains(e.opts.Exclude, a) || failed[user] {
				continue
			}
			require.True(w.t, have[a], "a device has no Result")
			if r := e.sending.Results[e.result(a)]; r.Err == nil {
				require.Equal(w.t, registration, r.RegistrationID)
			}
		}
		for a := range have {
			sent := e.sending.Results[e.result(a)].Message != nil
			require.True(w.t, a.User != user || !sent || list.devices[a.Device] != 0, "a Message for a device that is not on record")
		}
	}
}

// failure requires that a Result without a Message says why.
func (e *errand) failure(r *session.Result) {
	w, h := e.w, e.h
	require.Nil(w.t, r.Message)
	w.quiet(r.Err)
	switch {
	case is[*session.UntrustedIdentityError](r.Err):
		id := h.trust(r.To)
		own := r.To.User == h.at.User
		require.True(w.t, own || !id.Accepted.IsZero(), "nobody was met there")
		w.count["result: untrusted"]++
	case errors.Is(r.Err, session.ErrBlocked):
		p, err := h.Peer(background, r.To.User)
		require.NoError(w.t, err)
		require.True(w.t, p.Blocked)
		require.Zero(w.t, r.To.Device)
		w.count["result: blocked"]++
	case is[*session.DirectoryError](r.Err):
		d, _ := errors.AsType[*session.DirectoryError](r.Err)
		require.Equal(w.t, session.Address{User: d.User, Device: d.Device}, r.To)
		if errors.Is(r.Err, session.ErrMalformed) || errors.Is(r.Err, session.ErrRegistrationID) {
			w.count["result: malformed"]++
		}
		w.count["result: directory"]++
	default:
		w.count["result: "+r.Err.Error()]++
		require.Fail(w.t, "an error of another kind", "%v", r.Err)
	}
}

// changes are the events that are owed for what changed in the lists. A server's
// difference tells of devices of a user of whom there was no list, too.
func (e *errand) changes(said []session.Difference) (want []owed) {
	now := e.h.lists(e.all)
	for _, user := range slices.Compact(slices.Sorted(slices.Values(e.all))) {
		if was := e.lists[user]; was.listed || said != nil {
			want = append(want, differences(user, was.devices, now[user].devices)...)
		}
	}
	return want
}

// differences are the events of one list.
func differences(user string, was, now map[uint32]uint32) (want []owed) {
	for id := range uint32(128) {
		a := session.Address{User: user, Device: id}
		switch {
		case was[id] == 0 && now[id] != 0:
			want = append(want, owed{session.DeviceAdded, a})
		case was[id] != 0 && now[id] == 0:
			want = append(want, owed{session.DeviceRemoved, a})
		}
	}
	return want
}

// told are the users whose lists the server looks at: not those of whom nothing
// is sent.
func (e *errand) told() []string {
	return slices.DeleteFunc(slices.Clone(e.all), func(user string) bool {
		return e.result(session.Address{User: user}) >= 0
	})
}

// without are the devices that the app knows to be left out.
func (e *errand) without() map[session.Address]bool {
	out := map[session.Address]bool{}
	for _, a := range e.opts.Exclude {
		out[a] = true
	}
	for _, r := range e.sending.Results {
		if r.Err != nil {
			out[r.To] = true
		}
	}
	return out
}

// accepted has the letters wait for their recipients, and the device told.
func (e *errand) accepted() {
	w, h := e.w, e.h
	for _, r := range e.sending.Results {
		l := e.letters[r.To]
		if r.Message == nil {
			continue
		}
		if entry := w.server.entries[l.to]; entry != nil {
			l.dst = entry.h
			w.server.post(l)
		} else {
			l.fate = "to nobody" // the server made the device up, or judged by an old list
		}
	}
	if w.chance(20) && !w.honest { // the app ended first
		return
	}
	require.NoError(w.t, h.Accept(background, e.sending))
}

// refresh has a device ask for lists anew.
func (w *world) refresh() {
	h := w.handset()
	users := []string{w.names[w.r.IntN(len(w.names))]}
	l := lie{}
	if w.chance(3) {
		l = invent(w.r, users)
	}
	w.refreshes(h, l, users...)
}

func (w *world) refreshes(h *handset, l lie, users ...string) {
	ctx, cancel := h.under(l)
	defer cancel()
	before, was := h.generation(), h.lists(users)
	err := h.Refresh(ctx, users...)
	now := h.lists(users)
	if err != nil {
		w.quiet(err)
		require.NotEmpty(w.t, l.kind, "%v", err)
		require.True(w.t, is[*session.DirectoryError](err) || ctx.Err() != nil, "%v", err)
		require.Equal(w.t, before, h.generation())
		require.Equal(w.t, was, now)
	}
	var want []owed
	for _, user := range users {
		if was[user].listed {
			want = append(want, differences(user, was[user].devices, now[user].devices)...)
		}
		if l.kind == "" {
			require.Equal(w.t, w.trueList(user), now[user].devices)
		}
	}
	w.owes(h, want)
	for kind, n := range h.line.lies {
		w.count[kind] += n
		w.count["lies"] += n
	}
	clear(h.line.lies)
}

func (w *world) trueList(user string) map[uint32]uint32 {
	out := map[uint32]uint32{}
	for _, d := range w.server.list(user) {
		out[d.Device] = d.RegistrationID
	}
	return out
}
