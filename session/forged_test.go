package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A request that comes again is answered with the same bytes, and does nothing
// else: whoever was to deliver them may have stopped. After a day it is not.
func TestReplayedRequestDoesNothing(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	p.bob.forget(t, aliceAddress.User)
	request := p.bob.asks(t, p.alice, m, at, session.ReasonNoSession)
	again := p.alice.resends(t, p.bob, request, at)
	after := testutil.StoreDigest(t, p.alice.store)
	for range 3 {
		require.Equal(t, again, p.alice.resends(t, p.bob, request, at))
		p.now = p.now.Add(2 * time.Hour)
	}
	require.Equal(t, after, testutil.StoreDigest(t, p.alice.store))
	p.bob.saves(t, p.alice, again, "text")
	p.goesOn(t)
	refused(t, p.bob.decrypt(p.alice, p.alice.resends(t, p.bob, request, at)), session.ErrDuplicate)
	p.now = p.now.Add(24 * time.Hour)
	_, err := p.alice.Upkeep(ctx)
	require.NoError(t, err)
	p.alice.ignores(t, bobAddress, request, session.ErrNoRetry)
	require.Equal(t, 1, p.dir.calls)
}

// Of large answers the newest are kept.
func TestAnswersKept(t *testing.T) {
	p := losing(t)
	large := strings.Repeat("x", 60<<10)
	var requests []*session.Message
	for range 6 {
		m, at := p.posts(t, p.alice, p.bob, large)
		requests = append(requests, p.request(m, at, 0, nil))
	}
	for _, r := range requests {
		_, err := p.alice.Resend(ctx, bobAddress, r)
		require.NoError(t, err)
	}
	for i, r := range requests {
		if i < 2 {
			p.alice.ignores(t, bobAddress, r, session.ErrNoRetry)
			continue
		}
		_, err := p.alice.Resend(ctx, bobAddress, r)
		require.NoError(t, err, i)
	}
}

// The answer may be lost, too, and is asked for in its turn: five times.
func TestResendOfAResend(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	for range 5 {
		request := p.bob.asks(t, p.alice, flip(m, -1, 1), at, session.ReasonUnreadable)
		m = p.alice.resends(t, p.bob, request, at)
		p.now = p.now.Add(time.Hour)
	}
	request, err := p.bob.RequestRetry(ctx, aliceAddress, m, at.Add(milli), session.ErrAuth) // of another message: still counted apart
	require.NoError(t, err)
	p.alice.ignores(t, bobAddress, request, session.ErrNoRetry)
	_, err = p.bob.RequestRetry(ctx, aliceAddress, m, at, session.ErrAuth)
	refused(t, err, session.ErrNoRetry)
	p.alice.ignores(t, bobAddress, p.request(m, at, 0, nil), session.ErrNoRetry)
	p.bob.reads(t, p.alice, m, "text")
	p.goesOn(t)
}

// request makes one up, for a device, and about a ratchet key if that is not nil.
func (p *lossy) request(m *session.Message, at time.Time, device uint32, ratchetKey []byte) *session.Message {
	typ := wire.TypeSignal
	if m.Type == session.TypePreKey {
		typ = wire.TypePreKey
	}
	dem, err := wire.NewDecryptionErrorMessage(m.Bytes, typ, uint64(at.UnixMilli()), aliceAddress.Device)
	if err != nil {
		panic(err)
	}
	if device != 0 {
		dem.Device = device
	}
	if ratchetKey != nil {
		dem.RatchetKey = ratchetKey
	}
	return &session.Message{Type: session.TypePlaintext, Bytes: wire.AppendPlaintextContent(nil, &dem)}
}

// Whoever carries the messages makes up requests: for another device, of
// another one, about messages and keys that there are not, about old ones.
func TestForgedRequestsDoNothing(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	old := p.alice.current(t, p.bob).SenderKey()
	carol, other := session.Address{User: "carol", Device: 1}, session.Address{User: bobAddress.User, Device: bobAddress.Device + 1}
	p.alice.put(t, p.alice.key("peer", "carol", ""), wire.AppendPeer(nil, &wire.Peer{Devices: []wire.PeerDevice{{ID: 1, RegistrationID: 1}}}))
	for name, c := range map[string]struct {
		from    session.Address
		request *session.Message
	}{
		"for another device":  {bobAddress, p.request(m, at, aliceAddress.Device+1, nil)},
		"of another device":   {other, p.request(m, at, 0, nil)},
		"of another user":     {carol, p.request(m, at, 0, nil)},
		"of ourselves":        {aliceAddress, p.request(m, at, 0, nil)},
		"unknown message":     {bobAddress, p.request(m, at.Add(milli), 0, nil)},
		"no time":             {bobAddress, p.request(m, time.UnixMilli(0), 0, nil)},
		"another ratchet key": {bobAddress, p.request(m, at, 0, keys.GenerateIdentityKeyPair().Public().Bytes())},
		"their ratchet key":   {bobAddress, p.request(m, at, 0, p.bob.current(t, p.alice).SenderKey())},
	} {
		t.Run(name, func(t *testing.T) { p.alice.ignores(t, c.from, c.request, session.ErrNoRetry) })
	}
	none := wire.DecryptionErrorMessage{Timestamp: uint64(at.UnixMilli()), Device: aliceAddress.Device}
	p.alice.ignores(t, bobAddress, plaintext(wire.AppendPlaintextContent(nil, &none)), session.ErrNoRetry)
	p.bob.reads(t, p.alice, m, "text")
	p.goesOn(t) // and the ratchet has turned
	later, laterAt := p.posts(t, p.alice, p.bob, "later")
	p.alice.ignores(t, bobAddress, p.request(later, laterAt, 0, old), session.ErrNoRetry)
	require.Zero(t, p.dir.calls)
	p.bob.reads(t, p.alice, later, "later")
}

func plaintext(b []byte) *session.Message {
	return &session.Message{Type: session.TypePlaintext, Bytes: b}
}

// Only a request may travel unencrypted: nothing else in it is read, by either
// of the methods that take messages.
func TestSES_09_PlaintextInjection(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	good := p.request(m, at, 0, nil).Bytes
	content := func(c *wire.Content) []byte {
		return append(append([]byte{0xC0}, wire.AppendContent(nil, c)...), 0x80)
	}
	dem := good[3 : len(good)-1]
	for name, b := range map[string][]byte{
		"empty":            {},
		"marker alone":     {0xC0},
		"nothing inside":   {0xC0, 0x80},
		"a body":           content(&wire.Content{Body: []byte("send money")}),
		"a body beside it": content(&wire.Content{Body: []byte("send money"), DecryptionError: dem}),
		"a sync beside it": content(&wire.Content{DecryptionError: dem, Sync: &wire.Sync{Recipient: "carol", Content: []byte{1}}}),
		"a timer":          content(&wire.Content{Timer: &wire.Timer{Seconds: 1}, DecryptionError: dem}),
		"a group key":      content(&wire.Content{Distribution: []byte{1}, DecryptionError: dem}),
		"a sending time":   content(&wire.Content{SentAt: 1, DecryptionError: dem}),
		"no padding":       good[:len(good)-1],
		"more padding":     append(append([]byte{}, good...), 0),
		"no time inside":   content(&wire.Content{DecryptionError: []byte{0x18, 1}}),
		"no key":           content(&wire.Content{DecryptionError: []byte{0x0A, 1, 5, 0x10, 1, 0x18, byte(aliceAddress.Device)}}),
	} {
		t.Run(name, func(t *testing.T) {
			p.unharmed(t, func() {
				_, err := p.alice.Resend(ctx, bobAddress, plaintext(b))
				refused(t, err, session.ErrMalformed)
				refused(t, p.alice.decrypt(p.bob, plaintext(b)), session.ErrMalformed)
			})
		})
	}
	p.alice.ignores(t, bobAddress, plaintext(append([]byte{0x44}, good[1:]...)), session.ErrVersion)
	p.alice.ignores(t, bobAddress, plaintext(append(good, make([]byte, 5000)...)), session.ErrTooLarge)
	p.alice.ignores(t, bobAddress, nil, session.ErrMalformed)
	p.alice.ignores(t, bobAddress, m, session.ErrMalformed)
	p.alice.ignores(t, session.Address{User: "bob"}, plaintext(good), session.ErrMalformed)
	refused(t, p.alice.decrypt(p.bob, plaintext(good)), session.ErrMalformed)
}

// A flood of requests that are all well made, as whoever carries the messages can
// make them, renews one session an hour, and costs an answer each at most.
func TestSES_09_ForgedFlood(t *testing.T) {
	p := losing(t)
	resets := 0
	var first time.Time
	for i := range 200 {
		m, at := p.posts(t, p.alice, p.bob, "text")
		before, digest := len(p.alice.index(t, bobAddress).Archived), testutil.StoreDigest(t, p.alice.store)
		out, err := p.alice.Resend(ctx, bobAddress, p.request(m, at, 0, nil))
		reset := len(p.alice.index(t, bobAddress).Archived) - before
		resets += reset
		switch {
		case err != nil:
			refused(t, err, session.ErrNoRetry)
			require.Nil(t, out)
			require.Equal(t, digest, testutil.StoreDigest(t, p.alice.store))
			require.Zero(t, reset)
		case reset == 1:
			if !first.IsZero() {
				require.GreaterOrEqual(t, p.now.Sub(first), time.Hour)
			}
			first = p.now
			p.bob.reads(t, p.alice, out.Results[0].Message, "text")
		}
		if i%2 == 0 { // the session is one that works, or a new one that waits
			p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "on"), "on")
			p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "and on"), "and on")
		}
		p.now = p.now.Add(time.Minute)
	}
	require.Equal(t, 4, resets, "in 200 minutes")
	require.Equal(t, 4, p.dir.calls)
	p.goesOn(t)
}

// Answers without a renewal are 300 an hour.
func TestSES_09_AnswersAreBounded(t *testing.T) {
	p := losing(t)
	type one struct {
		m  *session.Message
		at time.Time
	}
	var all []one
	for range 310 {
		m, at := p.posts(t, p.alice, p.bob, "text")
		all = append(all, one{m, at})
	}
	for i, o := range all {
		request := p.request(o.m, o.at, 0, nil)
		if i < 300 {
			p.alice.resends(t, p.bob, request, o.at)
		} else {
			p.alice.ignores(t, bobAddress, request, session.ErrNoRetry)
		}
	}
	p.now = p.now.Add(time.Hour)
	p.alice.resends(t, p.bob, p.request(all[309].m, all[309].at, 0, nil), all[309].at)
	p.goesOn(t)
}
