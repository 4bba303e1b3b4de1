package spqr_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// chainBytes returns the encoding of a chain.
func chainBytes(t testing.TB, c *spqr.Chain) []byte {
	t.Helper()
	b := (&wire.SPQRState{HasChain: true, Chain: *c.Stored()}).Append(nil)
	body, n := protowire.ConsumeBytes(b[1:])
	require.Equal(t, len(b), n+1)
	return body
}

func TestChainVectors(t *testing.T) {
	v := readVectors(t).Chain
	auth, secret := (*[32]byte)(v.AuthKey), (*[32]byte)(v.Secret)
	for _, side := range []struct {
		initiator                  bool
		send0, send1, recv0, recv1 []hexBytes
		stored                     hexBytes
	}{
		{true, v.A2BEpoch0, v.A2BEpoch1, v.B2AEpoch0, v.B2AEpoch1, v.StoredA},
		{false, v.B2AEpoch0, v.B2AEpoch1, v.A2BEpoch0, v.A2BEpoch1, v.StoredB},
	} {
		c := spqr.NewChain(auth, side.initiator, 25000, 2000)
		send := func(n uint64, want []hexBytes) {
			for i, w := range want {
				key, index, err := c.SendKey(n)
				require.NoError(t, err)
				require.Equal(t, uint32(i+1), index)
				require.Equal(t, []byte(w), key[:])
			}
		}
		send(0, side.send0)
		require.NoError(t, c.Add(secret))
		send(1, side.send1)
		require.Equal(t, []byte(side.stored), chainBytes(t, c))
		for n, want := range [][]hexBytes{side.recv0, side.recv1} {
			for i := len(want); i > 0; i-- { // the last first
				key, err := c.RecvKey(uint64(n), uint32(i))
				require.NoError(t, err)
				require.Equal(t, []byte(want[i-1]), key[:])
			}
		}
	}
}

// A model is a receiving half as Section 7.3 words it, over the standard
// library's HKDF.
type model struct {
	next       []byte
	ctr        uint64
	jump, kept uint64
	history    [][]byte
}

func newModel(seed []byte, jump, kept uint64) *model {
	return &model{next: seed, jump: jump, kept: kept}
}

func (m *model) step() (key []byte) {
	m.ctr++
	info := binary.BigEndian.AppendUint32(nil, uint32(m.ctr))
	out, err := hkdf.Key(sha256.New, m.next, make([]byte, 32), string(info)+"Signal PQ Ratchet V1 Chain Next", 64)
	if err != nil {
		panic(err)
	}
	m.next = out[:32]
	return out[32:]
}

func (m *model) recv(i uint64) (key []byte, err error) {
	switch c := m.ctr; {
	case i == c:
		return nil, spqr.ErrUsed
	case i < c && i+m.kept < c:
		return nil, spqr.ErrTrimmed
	case i < c:
		for at, e := range m.history {
			if uint64(binary.BigEndian.Uint32(e)) == i {
				m.drop(at)
				return e[4:], nil
			}
		}
		return nil, spqr.ErrUsed
	case i-c > m.jump:
		return nil, spqr.ErrJump
	case i > c+m.kept:
		m.history = nil
	}
	for m.ctr != i-1 {
		if key := m.step(); m.ctr+m.kept >= i {
			m.history = append(m.history, append(binary.BigEndian.AppendUint32(nil, uint32(m.ctr)), key...))
		}
	}
	if uint64(len(m.history)) >= m.kept*11/10+1 {
		for at := 0; at < len(m.history); {
			if int64(binary.BigEndian.Uint32(m.history[at])) < int64(m.ctr)-int64(m.kept) {
				m.drop(at)
			} else {
				at++
			}
		}
	}
	return m.step(), nil
}

func (m *model) drop(at int) {
	last := len(m.history) - 1
	m.history[at] = m.history[last]
	m.history = m.history[:last]
}

// requireSame gives chain and model the index and compares all there is.
func requireSame(t require.TestingT, c *spqr.Chain, m *model, i uint32) {
	want, wantErr := m.recv(uint64(i))
	key, err := c.RecvKey(0, i)
	require.ErrorIs(t, err, wantErr)
	if wantErr == nil {
		require.Equal(t, want, key[:])
	}
	half := c.Stored().Links[0].Recv
	require.Equal(t, uint32(m.ctr), half.Counter)
	require.Equal(t, m.next, half.Next)
	require.Equal(t, bytes.Join(m.history, nil), append([]byte{}, half.History...), "history, byte for byte")
}

func chainAndModel(jump, kept uint32) (*spqr.Chain, *model) {
	c := spqr.NewChain(&[32]byte{7}, true, jump, kept)
	return c, newModel(c.Stored().Links[0].Recv.Next, uint64(jump), uint64(kept))
}

// TestChainModel compares with the model under small limits, so that trimming
// and jumps are common.
func TestChainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kept := rapid.Uint32Range(1, 30).Draw(t, "kept")
		c, m := chainAndModel(rapid.Uint32Range(1, 80).Draw(t, "jump"), kept)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at := int64(m.ctr) + rapid.Int64Range(-int64(kept)-5, int64(kept)+10).Draw(t, "index")
			requireSame(t, c, m, uint32(max(at, 0)))
		}
	})
}

func TestSPQR_04_KeyWindow(t *testing.T) {
	c, m := chainAndModel(25000, 2000)
	for _, i := range []uint32{
		25001, 25000, 25000, // one too far; the furthest; again
		22999, 23000, 24999, // 2,001 behind; 2,000; 1
		23000, 24999, 0, 1, // used; used; long gone
		math.MaxUint32, 50001, 50000,
		47999, 48000, // after a second jump
		50001, 50003, 50002, 50002,
	} {
		requireSame(t, c, m, i)
	}
	_, err := c.RecvKey(0, 75004)
	require.ErrorIs(t, err, spqr.ErrJump)
	_, err = c.RecvKey(0, 48002)
	require.ErrorIs(t, err, spqr.ErrTrimmed)
	_, err = c.RecvKey(0, 50003)
	require.ErrorIs(t, err, spqr.ErrUsed)
	_, err = c.RecvKey(1, 1)
	require.ErrorIs(t, err, spqr.ErrEpoch)
	_, err = c.RecvKey(math.MaxUint64, 1)
	require.ErrorIs(t, err, spqr.ErrEpoch)
}

// TestSPQR_04_Trim fills the history to the number that trims it.
func TestSPQR_04_Trim(t *testing.T) {
	c, m := chainAndModel(25000, 2000)
	for i := uint32(2); len(m.history) < 2200; i += 2 { // every other key is skipped
		requireSame(t, c, m, i)
	}
	ctr := uint32(m.ctr)
	require.Len(t, c.Stored().Links[0].Recv.History, 2200*36, "also those that may not be asked for any more")
	_, err := c.RecvKey(0, ctr-2001)
	require.ErrorIs(t, err, spqr.ErrTrimmed)
	requireSame(t, c, m, ctr+2)
	require.Less(t, len(m.history), 1100)
	for _, i := range []uint32{ctr + 1, ctr + 2 - 1999, ctr + 2 - 2001, ctr + 2 - 2003} {
		requireSame(t, c, m, i)
	}
}

// TestSPQR_04_Shuffled asks for 2,000 keys in any order.
func TestSPQR_04_Shuffled(t *testing.T) {
	c, m := chainAndModel(25000, 2000)
	for _, i := range rand.New(rand.NewPCG(4, 4)).Perm(2000) {
		requireSame(t, c, m, uint32(i+1))
	}
	require.Empty(t, c.Stored().Links[0].Recv.History)
}

func TestSPQR_04_Epochs(t *testing.T) {
	a := spqr.NewChain(&[32]byte{1}, true, 25000, 2000)
	b := spqr.NewChain(&[32]byte{1}, false, 25000, 2000)
	same := func(n uint64) {
		t.Helper()
		key, i, err := a.SendKey(n)
		require.NoError(t, err)
		got, err := b.RecvKey(n, i)
		require.NoError(t, err)
		require.Equal(t, key, got)
	}
	same(0)
	_, _, err := a.SendKey(1)
	require.ErrorIs(t, err, spqr.ErrCorrupt, "an epoch that has not begun")
	late, lateIndex, err := a.SendKey(0)
	require.NoError(t, err)

	for n := uint64(1); n <= 3; n++ {
		secret := [32]byte{byte(n)}
		require.NoError(t, a.Add(&secret))
		require.NoError(t, b.Add(&secret))
		same(n - 1)
		same(n)
		w := a.Stored()
		require.Equal(t, min(int(n)+1, 2), w.LinkCount, "one epoch before the one sent in is kept")
		require.Empty(t, w.Links[0].Send.Next, "but for receiving only")
		require.NotZero(t, w.Links[0].Send.Counter)
		require.Len(t, w.Links[0].Recv.Next, 32)
		_, _, err = a.SendKey(n - 1)
		require.ErrorIs(t, err, spqr.ErrCorrupt, "no way back")
		if n == 1 {
			got, err := b.RecvKey(0, lateIndex) // the epoch before
			require.NoError(t, err)
			require.Equal(t, late, got)
		}
		_, _, err = b.SendKey(n)
		require.NoError(t, err)
		if n >= 2 {
			_, err = b.RecvKey(n-2, 100)
			require.ErrorIs(t, err, spqr.ErrEpoch, "two epochs before")
		}
	}
	require.NoError(t, a.Add(&[32]byte{4}))
	require.NoError(t, a.Add(&[32]byte{5}))
	before := chainBytes(t, a)
	require.ErrorIs(t, a.Add(&[32]byte{6}), spqr.ErrCorrupt, "more epochs than any run has")
	require.Equal(t, before, chainBytes(t, a))
}

func TestSPQR_05_ClearedNext(t *testing.T) {
	c := spqr.NewChain(&[32]byte{1}, true, 25000, 2000)
	w := c.Stored()
	w.Links[0].Recv.Next = nil
	require.ErrorIs(t, c.Parse(w), spqr.ErrCorrupt)
	w = c.Stored()
	w.Links[0].Send.Next = nil
	require.ErrorIs(t, c.Parse(w), spqr.ErrCorrupt, "of the epoch to send in")
}

// TestOVF_01_ChainCounter: a counter at its end stays there.
func TestOVF_01_ChainCounter(t *testing.T) {
	c := spqr.NewChain(&[32]byte{1}, true, math.MaxUint32, 2000).WithCounters(math.MaxUint32-1, math.MaxUint32-2)
	_, index, err := c.SendKey(0)
	require.NoError(t, err)
	require.Equal(t, uint32(math.MaxUint32), index)
	before := chainBytes(t, c)
	_, _, err = c.SendKey(0)
	require.ErrorIs(t, err, spqr.ErrExhausted)
	require.Equal(t, before, chainBytes(t, c))

	_, err = c.RecvKey(0, math.MaxUint32)
	require.NoError(t, err)
	_, err = c.RecvKey(0, math.MaxUint32-1)
	require.NoError(t, err, "skipped and kept")
	for _, i := range []uint32{math.MaxUint32, math.MaxUint32 - 1} {
		_, err = c.RecvKey(0, i)
		require.ErrorIs(t, err, spqr.ErrUsed)
	}
	_, err = c.RecvKey(0, 0)
	require.ErrorIs(t, err, spqr.ErrTrimmed)
	_, err = c.RecvKey(0, 1)
	require.ErrorIs(t, err, spqr.ErrTrimmed)
	require.Equal(t, uint32(math.MaxUint32), c.Stored().Links[0].Recv.Counter)
}
