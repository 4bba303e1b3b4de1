package session_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// A device that was linked is one of the account's: it gets what others send to
// that, and what the account's other device sends, and tells that what it sends
// itself. Nobody sees more in it than an own device.
func TestLinkedDeviceReadsAlong(t *testing.T) {
	r := newRegistry(t)
	r.opts.Content = true
	phone, friend := r.add(t, at(ani, 1)), r.add(t, at(budi, 1))
	link, err := session.GenerateLink(at(ani, 2), phone.opts)
	require.NoError(t, err)
	sealed, err := phone.Link(ctx, link.Code(), link.PublicKey())
	require.NoError(t, err)
	account, err := link.Open(sealed)
	require.NoError(t, err)
	account.RegistrationID = 77
	laptop := r.join(t, account)

	read := func(from *side, s *session.Sending, told string, to ...session.Address) {
		t.Helper()
		require.Equal(t, to, addresses(s))
		for _, res := range s.Results {
			require.NoError(t, res.Err)
			got, err := r.sides[res.To].Decrypt(ctx, from.Address(), res.Message, nil)
			require.NoError(t, err)
			want := session.Content{Body: []byte("text"), SentAt: s.SentAt}
			if res.To.User == from.Address().User {
				want.SyncTo = told
			}
			sameContent(t, &want, got.Content)
			require.Equal(t, from.Address(), got.From)
			require.Empty(t, got.Events)
			require.True(t, got.Accepted)
		}
	}
	for range 2 {
		read(phone, r.sends(t, phone, "text", budi), budi, at(ani, 2), at(budi, 1))
		read(laptop, r.sends(t, laptop, "text", budi), budi, at(ani, 1), at(budi, 1))
		read(friend, r.sends(t, friend, "text", ani), "", at(ani, 1), at(ani, 2))
		read(laptop, r.sends(t, laptop, "text", ani), ani, at(ani, 1)) // a note to oneself
	}

	again, err := session.GenerateLink(at(ani, 2), phone.opts)
	require.NoError(t, err)
	before := r.digest(t)
	for _, s := range []*side{phone, laptop} { // it is listed now, and it is this one
		_, err = s.Link(ctx, again.Code(), again.PublicKey())
		refused(t, err, session.ErrExists)
	}
	_, err = friend.Link(ctx, again.Code(), again.PublicKey())
	refused(t, err, session.ErrMalformed)
	require.Equal(t, before, r.digest(t))
}

// TestSES_09_ForgedSyncAmongDevices: a contact's copy is shown by none of the
// account's devices, and what the contact says besides is.
func TestSES_09_ForgedSyncAmongDevices(t *testing.T) {
	r := newRegistry(t)
	r.opts.Content = true
	phone, laptop, friend := r.add(t, at(ani, 1)), r.add(t, at(ani, 2)), r.add(t, at(budi, 1))
	for _, s := range r.sends(t, friend, "text", ani).Results {
		_, err := r.sides[s.To].Decrypt(ctx, at(budi, 1), s.Message, nil)
		require.NoError(t, err)
	}
	raw := *friend.opts
	raw.Content = false
	forger, err := session.Open(ctx, friend.store, at(budi, 1), &raw)
	require.NoError(t, err)
	forged := session.Content{Body: []byte("text"), SyncTo: cici}
	for _, victim := range []*side{phone, laptop} {
		m, err := forger.Encrypt(ctx, victim.Address(), append(forged.Bytes(), 0x80))
		require.NoError(t, err)
		before := r.digest(t)[victim.Address()]
		got, err := victim.Decrypt(ctx, at(budi, 1), m, nil)
		refused(t, err, session.ErrMalformed)
		require.Nil(t, got)
		require.Equal(t, before, r.digest(t)[victim.Address()])
	}
	_, err = friend.Send(ctx, []string{ani}, &forged, nil)
	refused(t, err, session.ErrMalformed)
}

// What has no form to be sent in is not sent, and changes nothing.
func TestSendRefusesContent(t *testing.T) {
	for _, mode := range []bool{true, false} {
		r := newRegistry(t)
		r.opts.Content = mode
		from := r.add(t, at(ani, 1))
		r.add(t, at(budi, 1))
		refuses := func(c *session.Content) {
			t.Helper()
			before := r.digest(t)
			s, err := from.Send(ctx, []string{budi}, c, nil)
			refused(t, err, session.ErrMalformed)
			require.Nil(t, s)
			require.Equal(t, before, r.digest(t))
		}
		refuses(nil)
		refuses(&session.Content{SyncTo: budi})
		for _, timer := range []time.Duration{-time.Second, time.Millisecond, time.Hour + 1, 1 << 32 * time.Second, math.MinInt64, math.MaxInt64} {
			refuses(&session.Content{Timer: timer})
		}
		if !mode { // more than a body
			refuses(&session.Content{Timer: time.Second})
			refuses(&session.Content{TimerVersion: 1})
			refuses(&session.Content{SentAt: r.now})
		}
		longest := &session.Content{}
		if mode {
			longest = &session.Content{Timer: (1<<32 - 1) * time.Second, TimerVersion: 1<<32 - 1, SentAt: time.Unix(1, 0)}
		}
		_, err := from.Send(ctx, []string{budi}, longest, nil)
		require.NoError(t, err)
	}
}
