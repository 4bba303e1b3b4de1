package sealed_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// sent is a sent form with a number of entries and what follows: entries, and 32
// bytes for the shared part.
func sent(count uint64, entries ...[]byte) []byte {
	b := binary.AppendUvarint([]byte{0x23}, count)
	return append(append(b, slices.Concat(entries...)...), make([]byte, 32)...)
}

// to is an entry with raw device records and a key of 48 equal bytes; no devices:
// an excluded one.
func to(kind, user byte, key byte, devices ...byte) []byte {
	b := append([]byte{kind}, slices.Repeat([]byte{user}, 16)...)
	if devices == nil {
		return append(b, 0)
	}
	return append(append(b, devices...), slices.Repeat([]byte{key}, 48)...)
}

// userOf is the user of to.
func userOf(user byte) string {
	return wire.ServiceID{UUID: [16]byte(slices.Repeat([]byte{user}, 16))}.String()
}

func TestSS_10_SplitRefuses(t *testing.T) {
	good := to(0, 7, 1, 1, 0, 5)
	for name, b := range map[string][]byte{
		"nothing":                      nil,
		"version alone":                {0x23},
		"no shared part":               sent(0)[:33],
		"kind 2":                       sent(1, to(2, 7, 1, 1, 0, 5)),
		"kind 255":                     sent(1, to(255, 7, 1, 1, 0, 5)),
		"device 128":                   sent(1, to(0, 7, 1, 128, 0, 5)),
		"device 255":                   sent(1, to(0, 7, 1, 255, 0, 5)),
		"device 0 after a record":      sent(1, to(0, 7, 1, 1, 0xaa, 0, 0, 0, 5)),
		"device 128 after a record":    sent(1, to(0, 7, 1, 1, 0xaa, 0, 128, 0, 5)),
		"no end of devices":            sent(1, to(0, 7, 1, 1, 0xaa, 0))[:40],
		"excluded twice":               sent(2, to(0, 7, 1), to(0, 7, 1)),
		"excluded, then in":            sent(2, to(0, 7, 1), good),
		"in, then excluded":            sent(2, good, to(0, 7, 1)),
		"in twice, then excluded":      sent(3, good, good, to(0, 7, 1)),
		"more than there are":          sent(2, good),
		"4,294,967,295":                sent(math.MaxUint32, good),
		"4,294,967,296":                sent(1<<32, good),
		"18,446,744,073,709,551,615":   sent(math.MaxUint64, good),
		"number not in shortest form":  append([]byte{0x23, 0x81, 0x00}, sent(1, good)[2:]...),
		"shared part of 31 bytes":      sent(1, good)[:len(sent(1, good))-1],
		"number of 6 bytes":            append([]byte{0x23, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, make([]byte, 32)...),
		"a second one cut in its user": sent(2, good, []byte{0, 1, 2}),
	} {
		up, err := sealed.Split(b)
		require.ErrorIs(t, err, session.ErrMalformed, name)
		require.Nil(t, up)
		require.LessOrEqual(t, allocations(func() { _, _ = sealed.Split(b) }), uint64(8<<10), name)
	}
	for v := range 256 {
		b := sent(1, good)
		b[0] = byte(v)
		_, err := sealed.Split(b)
		switch v {
		case 0x23:
			require.NoError(t, err)
		case 0x22: // ids of 16 bytes: it is another message
		default:
			require.ErrorIs(t, err, session.ErrVersion)
		}
	}
}

// allocations is how many bytes f allocates.
func allocations(f func()) uint64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestSS_10_SplitAccepts(t *testing.T) {
	split := func(b []byte) *sealed.Upload {
		up, err := sealed.Split(b)
		require.NoError(t, err)
		return up
	}
	none := split(sent(0))
	require.Empty(t, none.Deliveries)
	require.Equal(t, 2, none.Shared)

	// 14 bits count of a registration id.
	up := split(sent(1, to(0, 7, 1, 1, 0x51|0x80, 0xaa, 127, 0x40, 0)))
	require.Equal(t, []sealed.Device{{ID: 1, RegistrationID: 0x11aa}, {ID: 127}}, up.Deliveries[0].Devices)
	// A user twice: devices of both, also the same one, and the first key.
	up = split(sent(3, to(0, 7, 1, 1, 0, 5), to(0, 8, 2, 1, 0, 5), to(0, 7, 3, 2, 0, 6)))
	require.Len(t, up.Deliveries, 2)
	require.Equal(t, sealed.Delivery{User: userOf(7), Devices: []sealed.Device{{ID: 1, RegistrationID: 5}, {ID: 2, RegistrationID: 6}}, Key: 22}, up.Deliveries[0])
	require.Equal(t, userOf(8), up.Deliveries[1].User)
	require.Equal(t, slices.Concat([]byte{0x22}, slices.Repeat([]byte{1}, 48), make([]byte, 32)), up.Received(&up.Deliveries[0]))
	up = split(sent(2, to(0, 7, 1, 1, 0, 5), to(0, 7, 1, 1, 0, 5)))
	require.Len(t, up.Deliveries[0].Devices, 2)
	// An ACI and a PNI of one UUID are two users.
	up = split(sent(2, to(0, 7, 1, 1, 0, 5), to(1, 7, 2)))
	require.Equal(t, []string{"PNI:" + userOf(7)}, up.Excluded)
	require.Equal(t, userOf(7), up.Deliveries[0].User)
	// The older form: no kinds.
	older := slices.Concat([]byte{0x22, 2}, to(0, 7, 1, 1, 0x80, 5, 2, 0, 6)[1:], to(0, 8, 0)[1:], make([]byte, 40))
	up = split(older)
	require.Equal(t, []string{userOf(8)}, up.Excluded)
	require.Equal(t, []sealed.Device{{ID: 1, RegistrationID: 5}, {ID: 2, RegistrationID: 6}}, up.Deliveries[0].Devices)
	require.Equal(t, len(older)-40, up.Shared)
}

func TestPRS_07_SplitTruncated(t *testing.T) {
	b := sent(3, to(0, 7, 1, 1, 0x80, 5, 2, 0, 6), to(1, 8, 1), to(0, 9, 2, 3, 0, 5))
	for n := range b {
		_, err := sealed.Split(b[:n:n])
		require.ErrorIs(t, err, session.ErrMalformed, "%d", n)
	}
}

// What a server keeps of a sent form is a few times what it was sent.
func TestSS_10_ManyRecipients(t *testing.T) {
	const n = 7000
	var entries [][]byte
	for i := range n {
		id := [16]byte{byte(i >> 8), byte(i)}
		e := append(append([]byte{0}, id[:]...), byte(1+i%127), 0, 5)
		entries = append(entries, append(e, make([]byte, 48)...))
	}
	b := sent(n, entries...)
	up, err := sealed.Split(b)
	require.NoError(t, err)
	require.Len(t, up.Deliveries, n)
	for i := range up.Deliveries {
		require.Equal(t, uint32(1+i%127), up.Deliveries[i].Devices[0].ID)
	}
	require.LessOrEqual(t, allocations(func() { _, _ = sealed.Split(b) }), uint64(8*len(b)))
}

func TestSealManyOrder(t *testing.T) {
	s := sender(t, "sender_cert_string")
	m := &session.Message{Type: session.TypeSenderKey, Bytes: count(5)}
	device := func(ids ...uint32) (out []sealed.Device) {
		for _, id := range ids {
			out = append(out, sealed.Device{ID: id, RegistrationID: 100 + id})
		}
		return out
	}
	key := func(b byte) keys.IdentityKey { return pair(t, b).Public() }
	b, err := s.SealMany([]sealed.Recipient{
		{User: strings.ToUpper(bobUUID), Devices: device(3, 1), Identity: key(0x44)},
		{User: carolPNI, Devices: device(127), Identity: key(0x66)},
		{User: bobUUID, Devices: device(2), Identity: key(0x44)},
	}, []string{outUUID, strings.ToUpper(outUUID), "PNI:" + outUUID}, m, 0, nil)
	require.NoError(t, err)
	up, err := sealed.Split(b)
	require.NoError(t, err)
	require.Equal(t, []string{outUUID, "PNI:" + outUUID}, up.Excluded)
	require.Len(t, up.Deliveries, 2)
	require.Equal(t, bobUUID, up.Deliveries[0].User)
	require.Equal(t, device(3, 1, 2), up.Deliveries[0].Devices)
	require.Equal(t, device(127), up.Deliveries[1].Devices)
	for i, b := range []byte{0x44, 0x66} {
		opened, err := sealed.NewOpener(pair(t, b), nil, nil).OpenUnverified(up.Received(&up.Deliveries[i]))
		require.NoError(t, err)
		require.Equal(t, m.Bytes, opened.Bytes)
	}
	// The parts, for who would rather not copy.
	d := &up.Deliveries[1]
	require.Equal(t, up.Received(d), slices.Concat([]byte{0x22}, b[d.Key:d.Key+48], b[up.Shared:]))

	nobody, err := s.SealMany(nil, nil, m, 0, nil)
	require.NoError(t, err)
	require.Equal(t, []byte{0x23, 0}, nobody[:2])
}

// requireRecipient seals for bob and one that is wrong: nothing is made.
func requireRecipient(t *testing.T, bad sealed.Recipient, excluded []string, at session.Address, want error) {
	t.Helper()
	m := &session.Message{Type: session.TypeSenderKey, Bytes: count(5)}
	b, err := sender(t, "sender_cert_string").SealMany([]sealed.Recipient{toBob(t), bad}, excluded, m, 0, nil)
	require.Nil(t, b)
	require.ErrorIs(t, err, want)
	var e *sealed.RecipientError
	require.ErrorAs(t, err, &e)
	require.Equal(t, at, e.Address)
	require.NotContains(t, err.Error(), at.User)
}

func carol(t *testing.T, devices ...sealed.Device) sealed.Recipient {
	return sealed.Recipient{User: carolPNI, Identity: pair(t, 0x66).Public(), Devices: devices}
}

func TestSS_11_RegistrationIDs(t *testing.T) {
	for _, id := range []uint32{0x4000, 0x8000, 0xFFFF, 1 << 31, math.MaxUint32} {
		requireRecipient(t, carol(t, sealed.Device{ID: 1}, sealed.Device{ID: 5, RegistrationID: id}), nil,
			session.Address{User: carolPNI, Device: 5}, session.ErrRegistrationID)
	}
	for _, id := range []uint32{0, 1, 0x3FFF} {
		b, err := sender(t, "sender_cert_string").SealMany([]sealed.Recipient{carol(t, sealed.Device{ID: 5, RegistrationID: id})}, nil,
			&session.Message{Type: session.TypeSignal}, 0, nil)
		require.NoError(t, err)
		up, err := sealed.Split(b)
		require.NoError(t, err)
		require.Equal(t, id, up.Deliveries[0].Devices[0].RegistrationID)
	}
}

// A user none of whose devices has a session that is good for sending.
func TestSS_12_NoDevices(t *testing.T) {
	requireRecipient(t, carol(t), nil, session.Address{User: carolPNI}, session.ErrNoSession)
}

func TestSS_13_NoIdentity(t *testing.T) {
	bad := carol(t, sealed.Device{ID: 1})
	bad.Identity = keys.IdentityKey{}
	requireRecipient(t, bad, nil, session.Address{User: carolPNI}, session.ErrNoSession)
}

func TestSealManyRefuses(t *testing.T) {
	one := sealed.Device{ID: 1}
	for _, user := range []string{"", "ani", "ACI:" + outUUID, "pni:" + outUUID, strings.ReplaceAll(outUUID, "-", "")} {
		bad := carol(t, one)
		bad.User = user
		m := &session.Message{Type: session.TypeSignal}
		for _, f := range []func() ([]byte, error){
			func() ([]byte, error) {
				return sender(t, "sender_cert_string").SealMany([]sealed.Recipient{bad}, nil, m, 0, nil)
			},
			func() ([]byte, error) {
				return sender(t, "sender_cert_string").SealMany(nil, []string{user}, m, 0, nil)
			},
		} {
			b, err := f()
			require.ErrorIs(t, err, session.ErrMalformed)
			var e *sealed.RecipientError
			require.ErrorAs(t, err, &e)
			require.Equal(t, session.Address{User: user}, e.Address)
			require.Nil(t, b)
		}
	}
	for _, id := range []uint32{0, 128, 256, math.MaxUint32} {
		requireRecipient(t, carol(t, one, sealed.Device{ID: id}), nil, session.Address{User: carolPNI, Device: id}, session.ErrMalformed)
	}
	requireRecipient(t, carol(t, one, sealed.Device{ID: 2}, one), nil, session.Address{User: carolPNI, Device: 1}, session.ErrMalformed)
	requireRecipient(t, carol(t, one), []string{carolPNI}, session.Address{User: carolPNI}, session.ErrMalformed)
	again := toBob(t)
	requireRecipient(t, again, nil, session.Address{User: bobUUID, Device: 1}, session.ErrMalformed)
	again.Devices, again.Identity = []sealed.Device{{ID: 9}}, pair(t, 0x66).Public()
	requireRecipient(t, again, nil, session.Address{User: bobUUID}, session.ErrMalformed)
}

// manyRecipients makes users with a device each and one identity key.
func manyRecipients(t testing.TB, n int) (out []sealed.Recipient) {
	to := pair(t, 0x44).Public()
	for i := range n {
		out = append(out, sealed.Recipient{User: fmt.Sprintf("00000000-0000-0000-0000-%012x", i), Identity: to,
			Devices: []sealed.Device{{ID: 1 + uint32(i%127), RegistrationID: uint32(i)}}})
	}
	return out
}

// What is sent can be read.
func TestSIZ_01_SentForm(t *testing.T) {
	require.ErrorIs(t, sealed.CheckSent(wire.MaxSealedSent), session.ErrTooLarge)
	require.NoError(t, sealed.CheckSent(wire.MaxSealedSent-8))
}

// However many cores there are, the same comes out of the same coins.
func TestSealManyCores(t *testing.T) {
	s, m, coins := sender(t, "sender_cert_string"), &session.Message{Type: session.TypeSignal}, [32]byte{1}
	to := manyRecipients(t, 100)
	before := runtime.NumGoroutine()
	var want []byte
	for _, cores := range []int{1, 2, 7} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b, err := s.SealManyWith(to, nil, m, 0, nil, &coins)
			require.NoError(t, err)
			if want == nil {
				want = b
			}
			require.Equal(t, want, b)
			// The first one that is wrong is named, whichever was found first.
			bad := slices.Clone(to)
			for _, i := range []int{99, 40, 41} {
				var err error
				bad[i].Identity, err = keys.ParseIdentityKey(append([]byte{5, 1}, make([]byte, 31)...))
				require.NoError(t, err)
			}
			_, err = s.SealManyWith(bad, nil, m, 0, nil, &coins)
			var e *sealed.RecipientError
			require.ErrorAs(t, err, &e)
			require.Equal(t, to[40].User, e.Address.User)
		}()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestSealManyAllocations(t *testing.T) {
	const n = 200
	s, m, to := sender(t, "sender_cert_string"), &session.Message{Type: session.TypeSignal}, manyRecipients(t, n)
	allocs := testing.AllocsPerRun(1, func() { _, _ = s.SealMany(to, nil, m, 0, nil) })
	require.LessOrEqual(t, allocs, float64(3*n))
}
