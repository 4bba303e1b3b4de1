package session_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A household is alice, and bob's devices, which are on one list.
type household struct {
	alice *side
	bob   map[uint32]*side
	book  phonebook
	now   time.Time
	opts  *session.Options
	id    *keys.IdentityKeyPair
}

func newHousehold(t *testing.T, devices ...uint32) *household {
	t.Helper()
	h := &household{bob: map[uint32]*side{}, book: phonebook{}, now: time.Unix(1_700_000_000, 0), id: keys.GenerateIdentityKeyPair()}
	h.opts = &session.Options{Now: func() time.Time { return h.now }, Directory: h.book}
	h.alice = newSide(t, aliceAddress, nil, h.opts)
	h.book[aliceAddress] = h.alice.Device
	for _, device := range devices {
		h.moveIn(t, device, 4711)
	}
	return h
}

func bobs(device uint32) session.Address {
	return session.Address{User: bobAddress.User, Device: device}
}

// moveIn puts a new device on bob's list.
func (h *household) moveIn(t *testing.T, device, registration uint32) *side {
	t.Helper()
	s := &side{store: newStore(t), identity: h.id, opts: h.opts}
	var err error
	s.Device, err = session.Create(ctx, s.store, session.Account{Address: bobs(device), Identity: h.id, RegistrationID: registration}, h.opts)
	require.NoError(t, err)
	h.bob[device], h.book[bobs(device)] = s, s.Device
	return s
}

func (h *household) send(t *testing.T, text string) *session.Sending {
	t.Helper()
	s, err := h.alice.Send(ctx, []string{bobAddress.User}, &session.Content{Body: []byte(text)}, nil)
	require.NoError(t, err)
	return s
}

// to are the devices of a Sending's results, none of which failed.
func to(t *testing.T, s *session.Sending) (out []uint32) {
	t.Helper()
	for _, r := range s.Results {
		require.NoError(t, r.Err)
		require.Equal(t, bobAddress.User, r.To.User)
		out = append(out, r.To.Device)
	}
	return out
}

// read has all devices of a Sending read it, and answer.
func (h *household) read(t *testing.T, s *session.Sending, text string) {
	t.Helper()
	for _, r := range s.Results {
		bob := h.bob[r.To.Device]
		require.Equal(t, bob.RegistrationID(), r.RegistrationID)
		bob.reads(t, h.alice, r.Message, text)
		h.alice.reads(t, bob, bob.send(t, h.alice, "read"), "read")
	}
}

// events are the kinds that alice has, of bob's devices, and acknowledges.
func (h *household) events(t *testing.T) map[uint32]session.EventKind {
	t.Helper()
	out := map[uint32]session.EventKind{}
	var all []session.Event
	for e, err := range h.alice.Events(ctx) {
		require.NoError(t, err)
		require.Equal(t, bobAddress.User, e.Address.User)
		require.Zero(t, out[e.Address.Device])
		out[e.Address.Device] = e.Kind
		all = append(all, e)
	}
	require.NoError(t, h.alice.AcknowledgeEvents(ctx, all...))
	return out
}

// A device that was added is missing, one that was set up anew is stale, one
// that was removed is extra: only what is missing is encrypted, the sessions of
// the others are archived, and each change is an event. Late mail from the
// device that was removed is read.
func TestSES_07_MissingStaleExtra(t *testing.T) {
	h := newHousehold(t, 1, 2, 3)
	h.read(t, h.send(t, "hello"), "hello")
	h.events(t)
	late := h.bob[3].send(t, h.alice, "late")

	delete(h.book, bobs(3))
	h.moveIn(t, 2, 815)
	h.moveIn(t, 9, 99)
	s := h.send(t, "who is there")
	require.Equal(t, []uint32{1, 2, 3}, to(t, s))
	before := slices.Clone(s.Results)
	require.NoError(t, h.alice.Reconcile(ctx, s, session.Difference{User: bobAddress.User, Missing: []uint32{9}, Stale: []uint32{2}, Extra: []uint32{3}}))
	require.Equal(t, []uint32{1, 2, 9}, to(t, s))
	require.Equal(t, before[0], s.Results[0], "encrypted again")
	require.NotEqual(t, before[1].Message, s.Results[1].Message)
	require.EqualValues(t, 815, s.Results[1].RegistrationID)
	require.EqualValues(t, 99, s.Results[2].RegistrationID)
	require.NoError(t, h.alice.Accept(ctx, s))
	events := h.events(t)
	require.Equal(t, session.DeviceAdded, events[9])
	require.Equal(t, session.DeviceRemoved, events[3])

	idx := h.alice.index(t, bobs(3))
	require.Nil(t, idx.Current)
	require.Len(t, idx.Archived, 1)
	require.Len(t, h.alice.index(t, bobs(2)).Archived, 1)
	h.read(t, s, "who is there")
	h.alice.reads(t, h.bob[3], late, "late")

	next := h.send(t, "and now")
	require.Equal(t, []uint32{1, 2, 9}, to(t, next))
	h.read(t, next, "and now")
	require.Empty(t, h.events(t))
	p, err := h.alice.Peer(ctx, bobAddress.User)
	require.NoError(t, err)
	for _, d := range p.Devices {
		require.Equal(t, d.Device == 3, !d.Stale.IsZero())
	}
}

// Devices that are none in a Difference, or named twice, or of somebody else:
// nothing is done. −1 and 2³² are what they are in 32 bits.
func TestSES_07_BadDifferences(t *testing.T) {
	h := newHousehold(t, 1, 2)
	s := h.send(t, "hello")
	results := slices.Clone(s.Results)
	before := testutil.StoreDigest(t, h.alice.store)
	var many []uint32
	for id := range uint32(128) {
		many = append(many, id+1)
	}
	minusOne, large := int64(-1), int64(1)<<32
	for _, ids := range [][]uint32{{0}, {128}, {uint32(minusOne)}, {uint32(large)}, {uint32(large + 200)}, {1, 1}, many} {
		for _, d := range []session.Difference{
			{User: bobAddress.User, Missing: ids}, {User: bobAddress.User, Stale: ids}, {User: bobAddress.User, Extra: ids},
		} {
			refused(t, h.alice.Reconcile(ctx, s, d), session.ErrMalformed)
		}
	}
	for _, said := range [][]session.Difference{
		{{User: bobAddress.User, Missing: []uint32{1}, Stale: []uint32{1}}},
		{{User: bobAddress.User, Stale: []uint32{2}, Extra: []uint32{2}}},
		{{User: bobAddress.User, Stale: []uint32{1}}, {User: bobAddress.User, Extra: []uint32{1}}},
		{{User: bobAddress.User, Missing: []uint32{3}}, {User: "nobody", Missing: []uint32{1}}},
		{{User: "", Missing: []uint32{1}}},
	} {
		refused(t, h.alice.Reconcile(ctx, s, said...), session.ErrMalformed)
	}
	require.Equal(t, before, testutil.StoreDigest(t, h.alice.store))
	require.Equal(t, results, s.Results)
	h.read(t, s, "hello")
}

// A badBook lists devices that are none.
type badBook struct {
	phonebook
	list []session.PeerDevice
}

func (b *badBook) Devices(context.Context, string) ([]session.PeerDevice, error) { return b.list, nil }

// A list with a device that is none, one twice, too many, or a registration id
// out of range is no list: the user as a whole fails, nothing is encrypted, and
// the list on record stays.
func TestSES_07_BadLists(t *testing.T) {
	h := newHousehold(t, 1, 2)
	bad := &badBook{phonebook: h.book}
	o := *h.opts
	o.Directory = bad
	minusOne, large := int64(-1), int64(1)<<32
	good := []session.PeerDevice{{Device: 1, RegistrationID: 4711}, {Device: 2, RegistrationID: 4711}}
	with := func(device, registration uint32) []session.PeerDevice {
		return append(slices.Clone(good), session.PeerDevice{Device: device, RegistrationID: registration})
	}
	var many []session.PeerDevice
	for id := range uint32(128) {
		many = append(many, session.PeerDevice{Device: id + 1, RegistrationID: 1})
	}
	for _, row := range []struct {
		list []session.PeerDevice
		err  error
	}{
		{with(0, 1), session.ErrMalformed}, {with(128, 1), session.ErrMalformed}, {with(uint32(minusOne), 1), session.ErrMalformed},
		{with(uint32(large), 1), session.ErrMalformed}, {with(2, 4711), session.ErrMalformed}, {with(1, 1), session.ErrMalformed},
		{many, session.ErrMalformed}, {with(3, 0), session.ErrRegistrationID}, {with(3, 16381), session.ErrRegistrationID},
	} {
		for _, known := range []bool{false, true} {
			alice := newSide(t, aliceAddress, nil, &o)
			if known {
				bad.list = good
				require.NoError(t, alice.Refresh(ctx, bobAddress.User))
			}
			bad.list = row.list
			before := testutil.StoreDigest(t, alice.store)
			refused(t, alice.Refresh(ctx, bobAddress.User), row.err)
			if !known {
				s, err := alice.Send(ctx, []string{bobAddress.User}, &session.Content{Body: []byte("hello")}, &session.SendOptions{NoOwnDevices: true})
				require.NoError(t, err)
				require.Len(t, s.Results, 1)
				require.Equal(t, session.Address{User: bobAddress.User}, s.Results[0].To)
				require.Nil(t, s.Results[0].Message)
				e := refusedAs[*session.DirectoryError](t, s.Results[0].Err)
				require.ErrorIs(t, e, row.err)
				require.Equal(t, bobAddress.User, e.User)
				require.Zero(t, e.Device)
				require.Empty(t, alice.list(t, "session", ""))
				continue
			}
			require.Equal(t, before, testutil.StoreDigest(t, alice.store))
		}
	}
}
