package crash

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// NoSession says that the session of a message is gone.
const NoSession testutil.Expectation = "not among 41"

// An Oracle, from NewOracle, knows of one device what design, Section 8, lets it
// forget of one peer device: which sessions it holds, and of each which keys. It
// computes from the bytes of messages, and from what the app did, alone.
type Oracle struct {
	Current  *Line
	Archived []*Line          // newest first
	all      map[string]*Line // by base key, those too that are gone
}

// A Line is one end of one session.
type Line struct {
	*testutil.Oracle
	Base       string          // key; "" until its first message
	unanswered bool            // an initiator's, before the first answer
	outdated   bool            // under one that was accepted before
	silent     bool            // it was archived before the first answer, and says no more how it began
	unaccepted bool            // under an identity key that is not the accepted one
	restored   bool            // it was there after a restore, and never sends again
	sender     string          // ratchet key of the newest message of its own; "" when it is another one now
	heard      map[string]bool // ratchet keys of messages read
}

// An Envelope is a message, and the base key of its session, which only a
// TypePreKey says itself.
type Envelope struct {
	M    *session.Message
	Base string
}

// NewOracle returns the oracle of a device that never met its peer.
func NewOracle() *Oracle { return &Oracle{all: map[string]*Line{}} }

// Archive moves the current session to the archive.
func (o *Oracle) Archive() {
	if o.Current == nil {
		return
	}
	o.Current.silent = o.Current.silent || o.Current.unanswered
	o.Current.unanswered = false
	o.keep(o.Current)
	o.Current = nil
}

// keep adds a session to the archive. The oldest of 41 goes, but first those
// under a key that is not accepted: l itself, perhaps.
func (o *Oracle) keep(l *Line) {
	o.Archived = append([]*Line{l}, o.Archived...)
	if len(o.Archived) <= 40 {
		return
	}
	at := len(o.Archived) - 1
	for i, a := range o.Archived {
		if a.unaccepted {
			at = i
		}
	}
	o.Archived = slices.Delete(o.Archived, at, at+1)
}

// Begins notes that the app began a session.
func (o *Oracle) Begins() {
	o.Archive()
	o.Current = &Line{Oracle: testutil.NewOracle(true), unanswered: true}
}

// Accepts notes that the app accepted the identity key of the sessions that
// were read while it was not accepted.
func (o *Oracle) Accepts() {
	o.Archive()
	for _, l := range o.Archived {
		l.outdated, l.unaccepted = l.outdated || !l.unaccepted, false
	}
	o.AcceptsAgain()
}

// AcceptsAgain notes that the app accepted the key that was accepted. A session on
// which nothing was read is not sent on: its peer may not know of it.
func (o *Oracle) AcceptsAgain() {
	if o.Current != nil {
		return
	}
	for _, l := range o.Archived {
		if !l.outdated && !l.unaccepted && !l.restored && !l.silent {
			o.promote(l)
			break
		}
	}
}

// Restores notes that the app took up the device after a restore.
func (o *Oracle) Restores() {
	o.Archive()
	for _, l := range o.Archived {
		l.restored = true
	}
}

// Moves notes that the app put an export of the sessions in their place, which
// has none that is after a restore.
func (o *Oracle) Moves() {
	o.Archived = slices.DeleteFunc(o.Archived, func(l *Line) bool { return l.restored })
}

// Forgets notes that the app had the device forget its peer.
func (o *Oracle) Forgets() { o.Current, o.Archived = nil, nil }

// Sending reports whether the device would send on the ratchet key of e, a
// message of its own.
func (o *Oracle) Sending(t testing.TB, e Envelope) bool {
	t.Helper()
	return o.Current != nil && o.Current.Base == e.Base && o.Current.sender == ratchetKey(t, e.M.Bytes)
}

// ratchetKey is the one that a message is of.
func ratchetKey(t testing.TB, message []byte) string {
	t.Helper()
	in, err := wire.ParseSignalMessage(testutil.Inner(t, message))
	require.NoError(t, err)
	return string(in.RatchetKey)
}

// promote makes an archived session the current one.
func (o *Oracle) promote(l *Line) {
	o.Archived = slices.DeleteFunc(slices.Clone(o.Archived), func(a *Line) bool { return a == l })
	o.Archive()
	o.Current, l.unaccepted = l, false
}

// Sends notes a message of the device's own, and requires that it is on the
// current session and uses no counter and no index again. It returns what is
// to be known of the message, and its epoch.
func (o *Oracle) Sends(t testing.TB, m *session.Message) (Envelope, uint64) {
	t.Helper()
	l := o.Current
	require.NotNil(t, l)
	want := session.TypeSignal
	if l.unanswered {
		want = session.TypePreKey
		outer, err := wire.ParsePreKeySignalMessage(m.Bytes)
		require.NoError(t, err)
		base := string(outer.BaseKey)
		if l.Base == "" {
			l.Base, o.all[base] = base, l
		}
		require.True(t, l.Base == base, "another session")
	}
	require.Equal(t, want, m.Type)
	l.sender = ratchetKey(t, m.Bytes)
	return Envelope{m, l.Base}, l.Sent(t, m.Bytes)
}

// holds reports whether the device still has l.
func (o *Oracle) holds(l *Line) bool { return l == o.Current || slices.Contains(o.Archived, l) }

// Knows reports whether the session of e has begun.
func (o *Oracle) Knows(e Envelope) bool { return o.all[e.Base] != nil }

// Expect says what a delivery of e must come to.
func (o *Oracle) Expect(t testing.TB, e Envelope) testutil.Expectation {
	t.Helper()
	l := o.all[e.Base]
	switch {
	case l == nil:
		return testutil.Readable // the first of its session
	case !o.holds(l):
		return NoSession
	}
	return l.Expect(t, e.M.Bytes)
}

// Reads notes that e was read, which the accepted identity key sent, or not. It
// reports whether that began a session.
func (o *Oracle) Reads(t testing.TB, e Envelope, accepted bool) (begun bool) {
	t.Helper()
	l := o.all[e.Base]
	if begun = l == nil; begun {
		l = &Line{Oracle: testutil.NewOracle(false), Base: e.Base}
		o.all[e.Base] = l
		if !accepted {
			l.unaccepted = true
			o.keep(l)
		}
	}
	if l != o.Current && accepted && !l.restored {
		o.promote(l)
	}
	l.unanswered, l.silent = false, false
	l.Read(t, e.M.Bytes)
	if key := ratchetKey(t, e.M.Bytes); !l.heard[key] {
		if l.sender = ""; l.heard == nil {
			l.heard = map[string]bool{}
		}
		l.heard[key] = true
	}
	return begun
}
