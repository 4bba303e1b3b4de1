package session_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
)

// noSession: the session of a message is gone.
const noSession testutil.Expectation = "not among 41"

// An oracle knows of one device what design, Section 8, lets it forget of one
// peer: which sessions it holds, and of each which keys. It computes from the
// bytes of messages, and from what the app did, alone.
type oracle struct {
	current  *line
	archived []*line          // newest first
	all      map[string]*line // by base key, those too that are gone
}

// A line is one end of one session.
type line struct {
	*testutil.Oracle
	base       string // "" until its first message
	unanswered bool   // an initiator's, before the first answer
}

// An envelope is a message, and the base key of its session, which only a
// TypePreKey says itself.
type envelope struct {
	m    *session.Message
	base string
}

func newOracle() *oracle { return &oracle{all: map[string]*line{}} }

// archive moves the current session to the archive.
func (o *oracle) archive() {
	if o.current == nil {
		return
	}
	o.current.unanswered = false
	o.archived = append([]*line{o.current}, o.archived...)
	o.archived = o.archived[:min(len(o.archived), 40)]
	o.current = nil
}

// begins notes that the app began a session.
func (o *oracle) begins() {
	o.archive()
	o.current = &line{Oracle: testutil.NewOracle(true), unanswered: true}
}

// sends notes a message of the device's own, and requires that it is on the
// current session and uses no counter and no index again. It returns what is
// to be known of the message, and its epoch.
func (o *oracle) sends(t testing.TB, m *session.Message) (envelope, uint64) {
	t.Helper()
	l := o.current
	require.NotNil(t, l)
	want := session.TypeSignal
	if l.unanswered {
		want = session.TypePreKey
		base := string(outerOf(t, m).BaseKey)
		if l.base == "" {
			l.base, o.all[base] = base, l
		}
		require.Equal(t, l.base, base, "another session")
	}
	require.Equal(t, want, m.Type)
	return envelope{m, l.base}, l.Sent(t, m.Bytes)
}

// holds reports whether the device still has l.
func (o *oracle) holds(l *line) bool { return l == o.current || slices.Contains(o.archived, l) }

// expect says what a delivery of e must come to.
func (o *oracle) expect(t testing.TB, e envelope) testutil.Expectation {
	t.Helper()
	l := o.all[e.base]
	switch {
	case l == nil:
		return testutil.Readable // the first of its session
	case !o.holds(l):
		return noSession
	}
	return l.Expect(t, e.m.Bytes)
}

// reads notes that e was read. It reports whether that began a session.
func (o *oracle) reads(t testing.TB, e envelope) (begun bool) {
	t.Helper()
	l := o.all[e.base]
	if begun = l == nil; begun {
		l = &line{Oracle: testutil.NewOracle(false), base: e.base}
		o.all[e.base] = l
	}
	if l != o.current {
		o.archived = slices.DeleteFunc(slices.Clone(o.archived), func(a *line) bool { return a == l })
		o.archive()
		o.current = l
	}
	l.unanswered = false
	l.Read(t, e.m.Bytes)
	return begun
}
