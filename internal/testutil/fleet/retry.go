package fleet

import (
	"bytes"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// ask has h ask for a letter again that it could not read, because of cause.
func (w *world) ask(h *handset, l *letter, cause error) {
	before := h.generation()
	m, err := h.RequestRetry(background, l.from, l.m, l.sentAt, cause)
	if session.ReasonOf(cause) == 0 {
		require.ErrorIs(w.t, err, session.ErrNoRetry)
	}
	if err != nil {
		w.quiet(err)
		require.ErrorIs(w.t, err, session.ErrNoRetry, "%v, for %v", err, cause)
		require.Equal(w.t, before, h.generation())
		w.count["not asked for"]++
		return
	}
	require.Equal(w.t, session.TypePlaintext, m.Type)
	w.count["asked for"]++
	l.asking = m
	again := &letter{n: len(w.letters), src: h, from: h.at, to: l.from, m: m, about: l, sentAt: w.now}
	if e := w.server.entries[l.from]; e != nil {
		again.dst = e.h
		w.server.post(again)
	}
}

// answer has h send a letter again that was asked for.
func (w *world) answer(h *handset, l *letter) {
	before := h.generation()
	ctx, cancel := h.under(lie{})
	defer cancel()
	old := h.current(l.from)
	s, err := h.Resend(ctx, l.from, l.m)
	if err != nil {
		w.quiet(err)
		require.Nil(w.t, s)
		require.Equal(w.t, before, h.generation(), "a refused Resend changed something")
		w.count["not sent again: "+err.Error()]++
		return
	}
	first := l.about
	require.Same(w.t, first.src, h, "answered for another device")
	require.Len(w.t, s.Results, 1)
	r := &s.Results[0]
	require.Equal(w.t, l.from, r.To)
	require.Equal(w.t, first.sentAt.UnixMilli(), s.SentAt.UnixMilli())
	if r.Err != nil {
		require.Nil(w.t, r.Message)
		w.count["not sent again: "+r.Err.Error()]++
		return
	}
	next := w.leaves(h, r, first.text, first.sentAt)
	next.syncTo, next.root = first.syncTo, first.origin()
	if newest := first.origin().newest; newest != nil && newest != next && !h.put { // else it is the answer that was given before
		require.Equal(w.t, w.ratchetKey(newest), w.ratchetKey(first), "answered for a ratchet key that is outdated")
	}
	first.origin().newest = next
	w.count["sent again"]++
	first.asked++
	require.LessOrEqual(w.t, first.asked, 5)
	// One that was of no use, as of a registration that is over, is not renewed by the request.
	failed := old != nil && old.Sender != nil && bytes.Equal(old.Sender.PublicKey, w.ratchetKey(first))
	if now := h.current(l.from); failed && nameOf(old) != nameOf(now) {
		w.count["sessions reset"]++
		at := resets{h, l.from}
		require.GreaterOrEqual(w.t, w.now.Sub(w.resets[at]), time.Hour, "two resets within an hour")
		w.resets[at] = w.now
	}
	if e := w.server.entries[l.from]; e != nil {
		next.dst = e.h
		w.server.post(next)
	}
}

// resets names what may be reset once an hour.
type resets struct {
	h    *handset
	peer session.Address
}

// forge gives a device a request that nobody made: a true one that comes from
// another device, is for another one, or is changed.
func (w *world) forge() {
	if len(w.letters) == 0 {
		return
	}
	l := w.letters[len(w.letters)-1-w.r.IntN(min(300, len(w.letters)))]
	if l.asking == nil {
		return
	}
	h, from, m := l.src, l.to, *l.asking
	switch w.r.IntN(3) {
	case 0:
		if from = w.peer(h); from == l.to {
			return
		}
	case 1:
		if g := w.handset(); g != h {
			h = g
		}
	case 2:
		m.Bytes = slices.Clone(m.Bytes)
		m.Bytes[w.r.IntN(len(m.Bytes))] ^= 1 << w.r.IntN(8)
	}
	if h.gone || h == l.src && from == l.to && slices.Equal(m.Bytes, l.asking.Bytes) || h.at == from {
		return
	}
	before := h.generation()
	ctx, cancel := h.under(lie{})
	defer cancel()
	_, err := h.Resend(ctx, from, &m)
	require.Error(w.t, err, "a forged request was answered")
	w.quiet(err)
	require.Equal(w.t, before, h.generation())
	w.count["lie: forged request"]++
}

// origin is the first letter with the text of l for its recipient.
func (l *letter) origin() *letter {
	if l.root != nil {
		return l.root
	}
	return l
}

func (w *world) ratchetKey(l *letter) []byte {
	in, err := wire.ParseSignalMessage(testutil.Inner(w.t, l.m.Bytes))
	require.NoError(w.t, err)
	return in.RatchetKey
}
