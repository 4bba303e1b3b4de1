package group_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// told are three, of whom the first gave the others a sender key.
func told(t testing.TB) (alice, bob, carol *party) {
	t.Helper()
	all := parties(t, "alice", "bob", "carol")
	all[0].gives(t, room, all[1:]...)
	return all[0], all[1], all[2]
}

// forged is a message to the group that carries what is left of s after f, and is
// signed with a private key.
func forged(t testing.TB, s wire.SenderKeyState, plaintext, private []byte, f func(*wire.SenderKeyMessage)) *session.Message {
	t.Helper()
	m, err := wire.ParseSenderKeyMessage(append(group.Body(&s, room, plaintext, (*[32]byte)(s.ChainKey)), make([]byte, 64)...))
	require.NoError(t, err)
	if f != nil {
		f(&m)
	}
	return &session.Message{Type: session.TypeSenderKey, Bytes: group.Sign(wire.AppendSenderKeyMessage(nil, &m), private)}
}

func flipped(m *session.Message, bit int) *session.Message {
	b := bytes.Clone(m.Bytes)
	b[bit/8] ^= 1 << (bit % 8)
	return &session.Message{Type: m.Type, Bytes: b}
}

// padded is a Content as it is encrypted.
func padded(text string) []byte {
	return wire.AppendPadded(nil, (&session.Content{Body: []byte(text)}).Bytes())
}

func TestGRP_01_EveryBit(t *testing.T) {
	alice, bob, _ := told(t)
	m := alice.tells(t, room, "hello")
	step := 1
	if testing.Short() {
		step = 31
	}
	for bit := 0; bit < 8*len(m.Bytes); bit += step {
		err := bob.decrypt(t, alice, flipped(m, bit), nil)
		require.Error(t, err, "%d", bit)
		known := slices.ContainsFunc([]error{keys.ErrSignature, session.ErrMalformed, session.ErrVersion, group.ErrNoSenderKey},
			func(want error) bool { return errors.Is(err, want) })
		require.True(t, known, "%d: %v", bit, err)
	}
	bob.hears(t, alice, m, "hello")
}

// Whoever knows the chain key, as all members do, cannot sign for the sender, and
// nothing is derived for one who tries.
func TestGRP_01_AnotherMember(t *testing.T) {
	alice, bob, carol := told(t)
	stolen := carol.states(t, alice, room)[0]
	own := keys.GenerateSigningKey().PrivateBytes()
	for _, i := range []uint32{0, 1, 25000, 25001, math.MaxUint32} {
		at := stolen
		at.Iteration = i
		require.ErrorIs(t, bob.decrypt(t, alice, forged(t, at, padded("I am Alice"), own, nil), nil), keys.ErrSignature)
	}
	// The signature of another message of hers.
	m, other := alice.tells(t, room, "yes"), alice.tells(t, room, "no")
	mixed := slices.Concat(m.Bytes[:len(m.Bytes)-64], other.Bytes[len(other.Bytes)-64:])
	require.ErrorIs(t, bob.decrypt(t, alice, &session.Message{Type: m.Type, Bytes: mixed}, nil), keys.ErrSignature)
	bob.hears(t, alice, m, "yes")
	// A signature that does not hold comes before a message that was read.
	require.ErrorIs(t, bob.decrypt(t, alice, flipped(m, 8*len(m.Bytes)-100), nil), keys.ErrSignature)
}

func TestGRP_02_NoWayBack(t *testing.T) {
	alice, bob, carol := told(t)
	old := alice.key(t, room)
	var sent []*session.Message
	for range 3 {
		m := alice.tells(t, room, "hello")
		bob.saves(t, bob, bob.hears(t, alice, m, "hello"))
		sent = append(sent, m)
	}
	before := bob.states(t, alice, room)
	bob.saved(t, alice, alice.says(t, bob, &session.Content{Distribution: old}))
	require.Equal(t, before, bob.states(t, alice, room))
	for _, m := range sent {
		require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
	}
	// Five keys are kept, the newest first, and one that comes again is the newest.
	var all [][]byte
	var last []*session.Message
	for range 6 {
		require.NoError(t, alice.groups.Rotate(ctx, room))
		all = append(all, alice.key(t, room))
		alice.gives(t, room, bob)
		last = append(last, alice.tells(t, room, "rotated"))
	}
	require.Len(t, bob.states(t, alice, room), 5)
	require.ErrorIs(t, bob.decrypt(t, alice, last[0], nil), group.ErrNoSenderKey)
	bob.saved(t, alice, alice.says(t, bob, &session.Content{Distribution: all[1]}))
	require.Equal(t, chainOf(t, all[1]), bob.states(t, alice, room)[0].ChainID)
	for _, m := range last[1:] {
		bob.hears(t, alice, m, "rotated")
	}
	require.ErrorIs(t, carol.decrypt(t, alice, last[5], nil), group.ErrNoSenderKey)
}

func chainOf(t testing.TB, distribution []byte) uint32 {
	t.Helper()
	m, err := wire.ParseSenderKeyDistributionMessage(distribution)
	require.NoError(t, err)
	return m.ChainID
}

// changed is a distribution message after f.
func changed(t testing.TB, distribution []byte, f func(*wire.SenderKeyDistributionMessage)) []byte {
	t.Helper()
	m, err := wire.ParseSenderKeyDistributionMessage(distribution)
	require.NoError(t, err)
	f(&m)
	return wire.AppendSenderKeyDistributionMessage(nil, &m)
}

// One chain id with another signing key is another chain, in its place.
func TestGRP_02_AnotherSigningKey(t *testing.T) {
	alice, bob, _ := told(t)
	signing := keys.GenerateSigningKey()
	d := changed(t, alice.key(t, room), func(m *wire.SenderKeyDistributionMessage) {
		m.SigningKey, m.ChainKey = signing.Public().Bytes(), bytes.Repeat([]byte{7}, 32)
	})
	bob.saved(t, alice, alice.says(t, bob, &session.Content{Distribution: d}))
	states := bob.states(t, alice, room)
	require.Len(t, states, 1)
	require.Equal(t, signing.Public().Bytes(), states[0].SigningPublic)
	require.ErrorIs(t, bob.decrypt(t, alice, alice.tells(t, room, "old"), nil), keys.ErrSignature)
	bob.hears(t, alice, forged(t, states[0], padded("new"), signing.PrivateBytes(), nil), "new")
}

// A sender key counts for the device alone from whose session it came: handed on
// by another member, it makes nothing of hers be read as the first one's, and
// touches nothing of that one's.
func TestGRP_03_BoundToTheSender(t *testing.T) {
	alice, bob, carol := told(t)
	before := bob.states(t, alice, room)
	d := alice.key(t, room)
	bob.saved(t, carol, carol.says(t, bob, &session.Content{Distribution: d}))
	require.Equal(t, before, bob.states(t, alice, room))
	m := alice.tells(t, room, "hello")
	r := bob.reads(t, carol, m) // what she says she wrote
	require.Equal(t, carol.Identity(), r.Identity)
	require.Equal(t, carol.Address(), r.From)
	bob.hears(t, alice, m, "hello")
	require.Equal(t, carol.Identity().Bytes(), bob.states(t, carol, room)[0].Identity)
	require.Equal(t, alice.Identity().Bytes(), bob.states(t, alice, room)[0].Identity)
}

// Nothing else brings a sender key: not a message to the group, nor a request to
// send something again, nor a copy of what the own account sent.
func TestGRP_03_FromSessionsAlone(t *testing.T) {
	alice, bob, _ := told(t)
	other := group.DistributionID{9}
	d := alice.key(t, other)
	own := alice.states(t, alice, room)[0]
	inGroup := wire.AppendPadded(nil, (&session.Content{Body: []byte("look"), Distribution: d}).Bytes())
	bob.hears(t, alice, forged(t, own, inGroup, own.SigningPrivate, nil), "look")
	require.Nil(t, bob.states(t, alice, other))

	_, err := alice.groups.Encrypt(ctx, room, (&session.Content{Distribution: d}).Bytes())
	require.ErrorIs(t, err, session.ErrMalformed)
	require.ErrorIs(t, bob.decrypt(t, alice, &session.Message{Type: session.TypePlaintext, Bytes: d}, nil), session.ErrMalformed)

	phone, laptop := newOwn(t, "dora")
	copied := &session.Content{Body: []byte("copied"), SyncTo: "somebody", Distribution: phone.key(t, room)}
	laptop.saved(t, phone, phone.says(t, laptop, copied))
	require.Nil(t, laptop.states(t, phone, room))
	phone.gives(t, room, laptop)
	laptop.hears(t, phone, phone.tells(t, room, "mine"), "mine")
}

// newOwn are two devices of one account.
func newOwn(t testing.TB, user string) (first, second *party) {
	t.Helper()
	c, pair := newClock(), keys.GenerateIdentityKeyPair()
	var all []*party
	for device := range uint32(2) {
		p := &party{store: keystore.NewMemory(), opts: &session.Options{Content: true, Now: c.read}}
		var err error
		p.Device, err = session.Create(ctx, p.store, session.Account{Address: session.Address{User: user, Device: device + 1}, Identity: pair}, p.opts)
		require.NoError(t, err)
		p.groups = group.New(p.Device, nil)
		all = append(all, p)
	}
	all[0].meet(t, all[1])
	return all[0], all[1]
}

// advanced moves a chain on by n messages.
func advanced(s *wire.SenderKeyState, n int) {
	ck := [32]byte(s.ChainKey)
	for range n {
		ck = group.ChainNext(&ck)
	}
	s.ChainKey, s.Iteration = ck[:], s.Iteration+uint32(n)
}

func TestGRP_04_Jump(t *testing.T) {
	alice, bob, carol := told(t)
	first := alice.tells(t, room, "first")
	alice.alters(t, alice, room, func(s *wire.SenderKeyState) { advanced(s, 24999) })
	last := alice.tells(t, room, "last")
	beyond := alice.tells(t, room, "beyond")
	require.ErrorIs(t, bob.decrypt(t, alice, beyond, nil), session.ErrTooFar)
	require.Equal(t, session.ReasonTooFar, session.ReasonOf(bob.decrypt(t, alice, beyond, nil)))
	bob.hears(t, alice, last, "last") // 25,000 ahead
	bob.hears(t, alice, beyond, "beyond")
	require.ErrorIs(t, bob.decrypt(t, alice, first, nil), session.ErrDuplicate) // too old to be kept
	require.Len(t, slices.Collect(bob.states(t, alice, room)[0].Skipped.All()), 2000)

	carol.hears(t, alice, first, "first")
	carol.hears(t, alice, last, "last")
}

// After a jump of 2,001 the oldest message that was passed is lost, and the next
// is not.
func TestGRP_04_Skipped(t *testing.T) {
	alice, bob, _ := told(t)
	zero, one := alice.tells(t, room, "zero"), alice.tells(t, room, "one")
	alice.alters(t, alice, room, func(s *wire.SenderKeyState) { advanced(s, 1999) })
	bob.hears(t, alice, alice.tells(t, room, "far"), "far")
	require.ErrorIs(t, bob.decrypt(t, alice, zero, nil), session.ErrDuplicate)
	bob.hears(t, alice, one, "one")
}

// To pass 25,000 messages costs what it costs to derive them, however many keys are
// there: a list is made once.
func TestGRP_04_PassingIsLinear(t *testing.T) {
	alice, bob, _ := told(t)
	alice.alters(t, alice, room, func(s *wire.SenderKeyState) { advanced(s, 2000) })
	bob.hears(t, alice, alice.tells(t, room, "full"), "full")
	s := bob.states(t, alice, room)[0]
	own := alice.states(t, alice, room)[0]
	advanced(&own, 24990)
	m := forged(t, own, padded("far"), own.SigningPrivate, nil)
	require.LessOrEqual(t, testing.AllocsPerRun(1, func() {
		_, _, err := group.Open(&s, m.Bytes)
		require.NoError(t, err)
	}), 40.0)
}

func TestGRP_05_Overflow(t *testing.T) {
	alice, bob, carol := told(t)
	end := group.DistributionID{5}
	alice.key(t, end)
	alice.alters(t, alice, end, func(s *wire.SenderKeyState) { s.Iteration = math.MaxUint32 - 1 })
	alice.gives(t, end, bob)
	bob.hears(t, alice, alice.tells(t, end, "last"), "last")

	before := testutil.StoreDigest(t, alice.store)
	m, err := alice.groups.Encrypt(ctx, end, nil)
	require.ErrorIs(t, err, session.ErrExhausted)
	require.Nil(t, m)
	require.Equal(t, before, testutil.StoreDigest(t, alice.store))

	own := alice.states(t, alice, end)[0]
	require.Equal(t, uint32(math.MaxUint32), own.Iteration)
	beyond := forged(t, own, padded("beyond"), own.SigningPrivate, func(m *wire.SenderKeyMessage) { m.Distribution = end[:] })
	require.ErrorIs(t, bob.decrypt(t, alice, beyond, nil), session.ErrExhausted)
	// A key that is given at its end reads nothing.
	alice.gives(t, end, carol)
	require.Equal(t, uint32(math.MaxUint32), carol.states(t, alice, end)[0].Iteration)
	require.ErrorIs(t, carol.decrypt(t, alice, beyond, nil), session.ErrExhausted)
}

func TestGRP_08_ConcurrentEncrypt(t *testing.T) {
	each := 1000
	if testing.Short() {
		each = 8
	}
	alice, bob, _ := told(t)
	used, wg := make([][]*session.Message, 64), sync.WaitGroup{}
	for i := range used {
		wg.Go(func() {
			for range each {
				m, err := alice.groups.Encrypt(ctx, room, nil)
				if err != nil {
					t.Error(err)
					return
				}
				used[i] = append(used[i], m)
			}
		})
	}
	wg.Wait()
	require.Zero(t, alice.groups.Held())
	seen := make([]bool, 64*each)
	for _, m := range slices.Concat(used...) {
		sent, err := wire.ParseSenderKeyMessage(m.Bytes)
		require.NoError(t, err)
		require.False(t, seen[sent.Iteration])
		seen[sent.Iteration] = true
	}
	require.NotContains(t, seen, false)
	bob.hears(t, alice, used[7][0], "")
}

// Two processes on one store, which only its expectations keep apart.
func TestGRP_08_TwoProcesses(t *testing.T) {
	alice, _, _ := told(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint32]bool{}
	for range 2 {
		d, err := session.Open(ctx, alice.store, alice.Address(), alice.opts)
		require.NoError(t, err)
		g := group.New(d, nil)
		for range 4 {
			wg.Go(func() {
				for range 50 {
					m, err := g.Encrypt(ctx, room, nil)
					if _, lost := errors.AsType[*keystore.ConflictError](err); lost {
						continue // too often: the other one was faster each time
					}
					if err != nil {
						t.Error(err)
						return
					}
					sent, err := wire.ParseSenderKeyMessage(m.Bytes)
					mu.Lock()
					if err != nil || seen[sent.Iteration] {
						t.Errorf("iteration %d twice: %v", sent.Iteration, err)
					}
					seen[sent.Iteration] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	require.NotEmpty(t, seen)
}

// A member whose padding is wrong learns nothing, and takes nothing away.
func TestGRP_09_Padding(t *testing.T) {
	alice, bob, _ := told(t)
	own := alice.states(t, alice, room)[0]
	for name, spoil := range map[string]func(*wire.SenderKeyMessage){
		"last block":   func(m *wire.SenderKeyMessage) { m.Ciphertext[len(m.Ciphertext)-17] ^= 1 },
		"a block less": func(m *wire.SenderKeyMessage) { m.Ciphertext = m.Ciphertext[:len(m.Ciphertext)-16] },
		"a byte less":  func(m *wire.SenderKeyMessage) { m.Ciphertext = m.Ciphertext[:len(m.Ciphertext)-1] },
		"nothing":      func(m *wire.SenderKeyMessage) { m.Ciphertext = nil },
	} {
		m := forged(t, own, padded("padded"), own.SigningPrivate, spoil)
		require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrAuth, name)
	}
	// What was encrypted well, and is no Content with its padding, is its sender's mistake.
	for name, plaintext := range map[string][]byte{
		"no padding": []byte("text"), "zeros": make([]byte, 79), "empty": nil, "no Content": wire.AppendPadded(nil, []byte{0xFF}),
		"copy": wire.AppendPadded(nil, (&session.Content{SyncTo: "x"}).Bytes()),
	} {
		m := forged(t, own, plaintext, own.SigningPrivate, nil)
		require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrMalformed, name)
	}
	bob.hears(t, alice, alice.tells(t, room, "good"), "good")
}

func TestGRP_10_NoSenderKey(t *testing.T) {
	alice, bob, carol := told(t)
	dave := parties(t, "dave")[0]
	m := alice.tells(t, room, "hello")
	unknown := func(err error) {
		require.ErrorIs(t, err, group.ErrNoSenderKey)
		require.ErrorIs(t, err, session.ErrNoSession)
		require.Equal(t, session.ReasonNoSession, session.ReasonOf(err))
	}
	unknown(dave.decrypt(t, alice, m, nil))
	unknown(bob.decrypt(t, carol, m, nil)) // another sender
	unknown(bob.decrypt(t, &party{Device: alice.sibling(t)}, m, nil))
	own := alice.states(t, alice, room)[0]
	another := own
	another.ChainID ^= 1
	unknown(bob.decrypt(t, alice, forged(t, another, nil, own.SigningPrivate, nil), nil))
	elsewhere := forged(t, own, nil, own.SigningPrivate, func(m *wire.SenderKeyMessage) { m.Distribution = make([]byte, 16) })
	unknown(bob.decrypt(t, alice, elsewhere, nil))
	_, err := bob.groups.Encrypt(ctx, room, nil) // nobody asked bob for a key yet
	unknown(err)

	// Who comes late reads what is sent from then on.
	alice.meet(t, dave)
	alice.gives(t, room, dave)
	unknown(dave.decrypt(t, alice, m, nil))
	dave.hears(t, alice, alice.tells(t, room, "welcome"), "welcome")
	// And may ask for what was before.
	request, err := carol.RequestRetry(ctx, alice.Address(), m, carol.opts.Now(), group.ErrNoSenderKey)
	require.NoError(t, err)
	require.Equal(t, session.TypePlaintext, request.Type)
}

// sibling is another device of the same account.
func (p *party) sibling(t testing.TB) *session.Device {
	t.Helper()
	a := p.Address()
	a.Device++
	d, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: a}, nil)
	require.NoError(t, err)
	return d
}

func TestGRP_11_SigningKeys(t *testing.T) {
	alice, bob, _ := told(t)
	d := alice.key(t, group.DistributionID{11})
	for _, bad := range slices.Concat(testutil.SmallOrderKeys(), testutil.OutOfRangeKeys(), [][]byte{make([]byte, 33)}) {
		c := &session.Content{Body: []byte("body"), Distribution: changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.SigningKey = bad })}
		require.ErrorIs(t, bob.decrypt(t, alice, alice.says(t, bob, c), nil), keys.ErrKey)
	}
	// One that found its way into a record is damage.
	bob.alters(t, alice, room, func(s *wire.SenderKeyState) { s.SigningPublic = testutil.SmallOrderKeys()[0] })
	require.ErrorIs(t, bob.decrypt(t, alice, alice.tells(t, room, "hello"), nil), session.ErrCorrupt)
}

func TestGRP_12_DistributionSizes(t *testing.T) {
	alice, bob, _ := told(t)
	d := alice.key(t, group.DistributionID{12})
	for name, bad := range map[string][]byte{
		"chain key of 31":   changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.ChainKey = m.ChainKey[1:] }),
		"chain key of 33":   changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.ChainKey = append(m.ChainKey, 1) }),
		"signing key of 32": changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.SigningKey = m.SigningKey[:32] }),
		"signing key of 34": changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.SigningKey = append(m.SigningKey, 1) }),
		"id of 15":          changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.Distribution = m.Distribution[1:] }),
		"64 bytes":          d[:64], "a byte less": d[:len(d)-1], "a byte": {0x33},
	} {
		err := bob.decrypt(t, alice, alice.says(t, bob, &session.Content{Distribution: bad}), nil)
		require.ErrorIs(t, err, session.ErrMalformed, name)
	}
	for _, version := range []byte{0x23, 0x43} {
		bad := append([]byte{version}, d[1:]...)
		require.ErrorIs(t, bob.decrypt(t, alice, alice.says(t, bob, &session.Content{Distribution: bad}), nil), session.ErrVersion)
	}
}
