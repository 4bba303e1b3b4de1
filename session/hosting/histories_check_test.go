package hosting_test

import (
	"errors"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/hosting"
)

// check holds what may be sent and what is shown now against the oracle, and
// against what was done.
func (h *history) check() {
	state, _ := h.r.State(h.now)
	if state == "NARROWER" {
		state = "CURRENT"
	}
	h.require(state == h.o.state(h.now), "state %s, oracle %s", state, h.o.state(h.now))
	h.count[string(state)]++
	s := h.o.newest()
	if what := h.draw.IntN(3); s == nil || what == 0 {
		s = pick(h.draw, h.all)
	} else if what == 1 {
		h.checkLabel(h.r.Label(h.now))
	}
	h.ask = nil
	e := pick(h.draw, s.ends)
	err := h.r.May(toko, e.device, e.key.Public(), h.now)
	h.require((err == nil) == h.o.may(e.device, e.key.Public(), h.now), "send: %v", err)
	if err == nil {
		h.sent(e)
	} else {
		h.refused(err)
	}
}

// refused requires that the error asks what there is to ask.
func (h *history) refused(err error) {
	from, to, ok := h.o.question(h.now)
	var e *hosting.ConsentRequiredError
	if errors.As(err, &e) {
		h.ask = e
		h.require(ok && e.From == from && e.To == to, "asked about %x to %x, oracle %x to %x, %t", e.From[:2], e.To[:2], from[:2], to[:2], ok)
		h.require(h.o.state(h.now) != "CURRENT", "asked in state CURRENT")
	}
}

// sent requires of a message that left, whatever the oracle's state: it was agreed
// to, for what the newest statement says, and nothing known denies that.
func (h *history) sent(e end) {
	l := &h.log
	h.require(!l.no, "a message left after a no")
	newest, ok := l.newest(h.o.force)
	h.require(ok, "a message left while a newer statement is awaited, or denied")
	if newest == nil {
		h.require(slices.Contains(l.yes, nil), "a message left to nobody knows whom")
		h.count["sends without a manifest"]++
		return
	}
	h.require(slices.ContainsFunc(newest.ends, func(o end) bool { return o.device == e.device && o.key == e.key }), "a message left for a key that is not listed")
	h.require(newest.inTime(h.now) || slices.Contains(l.yes, newest) && h.now.Sub(l.leave) <= 30*day && h.now.Sub(l.leave) >= -skew, "a message left out of time")
	if !newest.facts.hosted() {
		h.count["own sends"]++
		return
	}
	h.count["hosted sends"]++
	h.require(slices.ContainsFunc(l.yes, func(y *statement) bool { return y != nil && y.facts.covers(newest.facts) }), "a message left for a hosted key without a yes")
	label := h.r.Label(h.now)
	h.require(label.Hosted(), "a hosted key, and the label does not say so")
}

// newest is the statement of the highest epoch by the account key of the one in
// force; false if there is not just one, or a message spoke of another that no
// other account key made.
func (l *memory) newest(force *statement) (out *statement, only bool) {
	foreign := func(s *statement) bool { return force != nil && s.Key != force.Key }
	var top uint64
	for _, s := range l.shown {
		if !foreign(s) && (out == nil || s.Epoch > top) {
			out, top = s, s.Epoch
		}
	}
	for _, s := range l.shown {
		if s.Epoch == top && s.hash != out.hash && !foreign(s) {
			return nil, false
		}
	}
	for _, c := range l.heard {
		strange := slices.ContainsFunc(l.shown, func(s *statement) bool { return foreign(s) && s.hash == c.hash })
		if !strange && (c.epoch > top || c.epoch == top && c.hash != out.hash) {
			return nil, false
		}
	}
	return out, true
}

// checkLabel requires that what may be hosted is shown as hosted, and what is not
// settled as not settled.
func (h *history) checkLabel(l hosting.Label) {
	settled := h.o.force != nil && h.o.state(h.now) == "CURRENT"
	h.require(settled != l.Unknown || l.State == "PENDING" || l.State == "DECLINED", "unknown: %t in state %s", l.Unknown, l.State)
	h.require(!h.o.awaits(h.o.newest()) || l.Unknown, "a newer statement is awaited, and nothing is unknown in state %s", l.State)
	h.require(!h.o.hosted() || l.Hosted(), "hosted, and not shown as such in state %s", l.State)
	var want facts
	for _, s := range []*statement{h.o.force, h.o.waiting, h.o.contest()} {
		if s != nil {
			want |= s.facts
		}
	}
	got := shownFacts(&l)
	h.require(want&^got == 0, "shown %05x of %05x", got, want)
	h.require(!settled || got == h.o.force.facts, "shown %05x, in force %05x", got, want)
}

// shownFacts are those that a label has.
func shownFacts(l *hosting.Label) facts {
	f := facts(0)
	for _, c := range l.Controllers {
		f |= 1 << (c - 1)
	}
	for _, p := range l.Parties {
		for i := range places {
			if q := places[i].provider; q != nil && *q == p.Provider {
				f |= places[i].party
			}
		}
	}
	if slices.Contains(l.Storage, hosting.StorageProvider) {
		f |= atForeign
	}
	for i, b := range []bool{l.Readers.Staff, l.Readers.Automation, l.Readers.AI, l.Readers.Subprocessors,
		l.Uses.Service, l.Uses.OwnMarketing, l.Uses.PlatformAdvertising, l.Uses.Training} {
		if b {
			f |= 1 << (10 + i)
		}
	}
	return f
}

// end has the account say something that is newer than everything, in time, and
// the user agree if he is asked: then a message may leave, for all its keys.
func (h *history) end() {
	h.now = h.last.NotBefore.Add(time.Hour)
	h.checkLabel(h.r.Label(h.now))
	h.see(h.last)
	var ask *hosting.ConsentRequiredError
	if errors.As(h.r.May(toko, h.last.ends[0].device, h.last.ends[0].key.Public(), h.now), &ask) {
		h.say(ask, true)
	}
	if h.o.dispute { // its key is another one's: that ends with the next
		return
	}
	for _, e := range h.last.ends {
		h.require(h.r.May(toko, e.device, e.key.Public(), h.now) == nil, "what the account says in the end does not go through")
	}
	h.checkLabel(h.r.Label(h.now))
	h.count["ended"]++
}
