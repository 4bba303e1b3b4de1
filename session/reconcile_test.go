package session_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// differs has a server say what of a Sending is not current: it knows which
// devices there are, and their registration ids.
func (r *registry) differs(from *side, s *session.Sending, users ...string) (out []session.Difference) {
	for _, user := range users {
		d := session.Difference{User: user}
		for id := uint32(1); id <= 127; id++ {
			a, registered := at(user, id), uint32(0)
			if there := r.sides[a]; there != nil && there != from && !r.hidden[a] {
				registered = there.RegistrationID()
			}
			submitted := uint32(0)
			for _, res := range s.Results {
				if res.To == a && res.Message != nil {
					submitted = res.RegistrationID
				}
			}
			switch {
			case submitted == registered:
			case submitted == 0:
				d.Missing = append(d.Missing, id)
			case registered == 0:
				d.Extra = append(d.Extra, id)
			default:
				d.Stale = append(d.Stale, id)
			}
		}
		if len(d.Missing)+len(d.Stale)+len(d.Extra) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// rosterEvents are those of a device that no message brought, which it acknowledges.
func (s *side) rosterEvents(t testing.TB) (out map[session.Address]session.EventKind) {
	t.Helper()
	out = map[session.Address]session.EventKind{}
	for e, err := range s.Events(ctx) {
		require.NoError(t, err)
		out[e.Address] = e.Kind
		require.NoError(t, s.AcknowledgeEvents(ctx, e))
	}
	return out
}

// copied is the copy of a message that a device keeps, nil if it keeps none, and
// who can ask for it.
func (s *side) copied(t testing.TB, sent *session.Sending) (*wire.Sent, []session.Address) {
	t.Helper()
	r := s.load(t, s.key("sent", "-", strconv.FormatInt(sent.SentAt.UnixMilli(), 10)))
	if r.Version == 0 {
		return nil, nil
	}
	rec, err := wire.ParseSent(r.Value[1:])
	require.NoError(t, err)
	var to []session.Address
	for _, p := range rec.Recipients {
		to = append(to, at(p.User, p.Device))
	}
	return &rec, to
}

// A server knows better which devices there are. Only what it misses is
// encrypted, and what has a ciphertext keeps it.
func TestReconcile(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 2), at(budi, 3), at(cici, 1))
	from := r.of(ani, 1)
	r.delivers(t, from, r.sends(t, from, "1", budi, cici), "1", at(ani, 2), at(budi, 1), at(budi, 2), at(budi, 3), at(cici, 1))
	require.Empty(t, from.rosterEvents(t), "nobody was known before")

	r.hidden[at(budi, 3)] = true // gone
	r.add(t, at(budi, 4))        // and new
	r.add(t, at(ani, 5))
	r.join(t, session.Account{Address: at(budi, 2), Identity: r.of(budi, 2).identity, RegistrationID: 77}) // set up anew
	asked := len(r.bundles)
	s := r.sends(t, from, "2", budi, cici)
	kept := map[session.Address]*session.Message{}
	for _, res := range s.Results {
		kept[res.To] = res.Message
	}
	said := r.differs(from, s, ani, budi, cici)
	require.Equal(t, []session.Difference{{User: ani, Missing: []uint32{5}},
		{User: budi, Missing: []uint32{4}, Stale: []uint32{2}, Extra: []uint32{3}}}, said)
	require.NoError(t, from.Reconcile(ctx, s, said...))
	inOrder(t, s)
	require.Empty(t, r.differs(from, s, ani, budi, cici))
	for _, res := range s.Results {
		if a := res.To; a == at(ani, 2) || a == at(budi, 1) || a == at(cici, 1) {
			require.Same(t, kept[a], res.Message)
		}
	}
	now := []session.Address{at(ani, 2), at(ani, 5), at(budi, 1), at(budi, 2), at(budi, 4), at(cici, 1)}
	r.delivers(t, from, s, "2", now...)
	require.Len(t, r.bundles, asked+2)
	require.Equal(t, 2, r.bundles[at(budi, 2)])
	require.Equal(t, map[session.Address]session.EventKind{at(budi, 3): session.DeviceRemoved,
		at(budi, 4): session.DeviceAdded, at(ani, 5): session.DeviceAdded}, from.rosterEvents(t))
	require.Nil(t, from.index(t, at(budi, 3)).Current)
	require.Len(t, from.index(t, at(budi, 3)).Archived, 1)
	p, err := from.Peer(ctx, budi)
	require.NoError(t, err)
	require.Equal(t, []session.PeerDevice{{Device: 1, RegistrationID: 3}, {Device: 2, RegistrationID: 77},
		{Device: 3, RegistrationID: 5, Stale: r.now}, {Device: 4, RegistrationID: 7}}, p.Devices)
	copied, to := from.copied(t, s)
	require.Equal(t, "2", string(copied.Content))
	require.Equal(t, now, to)
	require.NoError(t, from.Accept(ctx, s))
	_, to = from.copied(t, s)
	require.Equal(t, now, to)

	require.NoError(t, from.decrypt(r.of(budi, 3), r.of(budi, 3).send(t, from, "delayed")), "still read")
	r.delivers(t, from, r.sends(t, from, "3", budi, cici), "3", now...)
}

// What a server says of devices that have a ciphertext, that are excluded, or
// that were not there, encrypts nothing more than is asked for.
func TestReconcileContradictions(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	s, err := from.Send(ctx, []string{budi}, &session.Content{Body: []byte("text")},
		&session.SendOptions{Exclude: []session.Address{at(budi, 2)}})
	require.NoError(t, err)
	before := *s
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{1, 2}}))
	require.Equal(t, before.Results, s.Results)
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Stale: []uint32{2}, Extra: []uint32{3, 4}}))
	require.Equal(t, before.Results, s.Results)
	require.Zero(t, r.bundles[at(budi, 2)])
	require.Empty(t, from.rosterEvents(t))

	// It insists that the device was set up anew, and has the same old bundle.
	old := s.Results[0].Message
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Stale: []uint32{1}}))
	require.NotEqual(t, old, s.Results[0].Message)
	require.NotEqual(t, outerOf(t, old).BaseKey, outerOf(t, s.Results[0].Message).BaseKey)
	r.delivers(t, from, s, "text", at(budi, 1))

	// Nobody is known by that number, and the other messages stand.
	r.bundle = func(context.Context, session.Address) (*x3dh.Bundle, error) { return nil, errInjected }
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{9}}))
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 9)}, addresses(s))
	require.ErrorIs(t, refusedAs[*session.DirectoryError](t, s.Results[1].Err), errInjected)
	require.NotNil(t, s.Results[0].Message)
	_, to := from.copied(t, s)
	require.Equal(t, []session.Address{at(budi, 1)}, to)

	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Extra: []uint32{1, 9}}))
	require.Empty(t, s.Results)
	_, to = from.copied(t, s)
	require.Empty(t, to)
	digest := r.digest(t)
	refused(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{1}}), session.ErrUnsettled)
	refused(t, from.Reconcile(ctx, s), session.ErrUnsettled)
	require.Equal(t, digest, r.digest(t))
}

// What a server cannot mean is refused, and nothing is done.
func TestReconcileMalformed(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1), at(cici, 1))
	from := r.of(ani, 1)
	r.sends(t, from, "text", cici)
	s := r.sends(t, from, "text", budi)
	own, err := from.Send(ctx, []string{budi}, &session.Content{}, &session.SendOptions{NoOwnDevices: true})
	require.NoError(t, err)
	r.add(t, at(budi, 2))
	all := make([]uint32, 200)
	for i := range all {
		all[i] = uint32(1 + i)
	}
	before, results := r.digest(t), slices.Clone(s.Results)
	for name, said := range map[string][]session.Difference{
		"another user":      {{User: cici, Missing: []uint32{1}}},
		"no user":           {{Missing: []uint32{1}}},
		"device 0":          {{User: budi, Missing: []uint32{2, 0}}},
		"device 128":        {{User: budi, Stale: []uint32{128}}},
		"too many":          {{User: budi, Missing: all}},
		"twice":             {{User: budi, Missing: []uint32{2, 2}}},
		"missing and extra": {{User: budi, Missing: []uint32{2}, Extra: []uint32{2}}},
		"stale and missing": {{User: budi, Missing: []uint32{2}, Stale: []uint32{2}}},
		"user twice":        {{User: budi, Missing: []uint32{2}}, {User: budi}},
		"this device":       {{User: ani, Extra: []uint32{1}}},
	} {
		for range 7 { // which do not count
			refused(t, from.Reconcile(ctx, s, said...), session.ErrMalformed)
		}
		require.Equal(t, results, s.Results, name)
	}
	refused(t, from.Reconcile(ctx, own, session.Difference{User: ani, Missing: []uint32{2}}), session.ErrMalformed)
	require.Equal(t, before, r.digest(t))
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{2}}))
}

// Accept takes devices without a message out of the copy, and forgets devices
// that are gone for long.
func TestAccept(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	r.delivers(t, from, r.sends(t, from, "1", budi), "1", at(budi, 1), at(budi, 2))
	r.hidden[at(budi, 2)] = true
	require.NoError(t, from.Refresh(ctx, budi))
	require.Equal(t, map[session.Address]session.EventKind{at(budi, 2): session.DeviceRemoved}, from.rosterEvents(t))
	r.now = r.now.Add(30 * 24 * time.Hour)
	s := r.sends(t, from, "2", budi)
	require.NoError(t, from.Accept(ctx, s))
	require.True(t, from.has(t, "session", budi, "2"))
	r.now = r.now.Add(time.Millisecond)
	require.NoError(t, from.Accept(ctx, s))
	require.False(t, from.has(t, "session", budi, "2"))
	require.Len(t, from.list(t, "archive", budi), 0)
	require.True(t, from.has(t, "identity", budi, "2"))
	p, err := from.Peer(ctx, budi)
	require.NoError(t, err)
	require.Equal(t, []session.PeerDevice{{Device: 1, RegistrationID: 2}}, p.Devices)

	before := r.digest(t)
	require.NoError(t, from.Accept(ctx, s))
	require.Equal(t, before, r.digest(t))
	s.Results[0].Message = nil
	require.NoError(t, from.Accept(ctx, s))
	copied, _ := from.copied(t, s)
	require.Nil(t, copied)
}

// A list that is asked for anew tells what is different.
func TestRefresh(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 2), at(cici, 1))
	from := r.of(ani, 1)
	require.NoError(t, from.Refresh(ctx, budi))
	require.Empty(t, from.rosterEvents(t))
	r.sends(t, from, "1", budi)
	require.Equal(t, 2, r.lists)
	r.add(t, at(budi, 3))
	r.add(t, at(ani, 3))
	r.hidden[at(budi, 1)] = true
	require.NoError(t, from.Refresh(ctx, budi, ani, cici))
	require.Equal(t, map[session.Address]session.EventKind{at(budi, 1): session.DeviceRemoved,
		at(budi, 3): session.DeviceAdded, at(ani, 3): session.DeviceAdded}, from.rosterEvents(t))
	require.Nil(t, from.index(t, at(budi, 1)).Current)
	r.delivers(t, from, r.sends(t, from, "2", budi), "2", at(ani, 2), at(ani, 3), at(budi, 2), at(budi, 3))

	r.hidden[at(budi, 1)] = false // it is back
	r.hidden[at(budi, 2)], r.hidden[at(budi, 3)] = true, true
	r.devices = func(_ context.Context, user string) ([]session.PeerDevice, error) {
		if user == cici {
			return nil, errInjected
		}
		return r.list(user), nil
	}
	err := from.Refresh(ctx, budi, cici)
	require.Equal(t, cici, refusedAs[*session.DirectoryError](t, err).User)
	require.ErrorIs(t, err, errInjected)
	require.Equal(t, map[session.Address]session.EventKind{at(budi, 1): session.DeviceAdded,
		at(budi, 2): session.DeviceRemoved, at(budi, 3): session.DeviceRemoved}, from.rosterEvents(t))
	r.delivers(t, from, r.sends(t, from, "3", budi), "3", at(ani, 2), at(ani, 3), at(budi, 1))
}
