package braid_test

import (
	"crypto/sha3"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/braid"
)

var stateNames = [12]string{
	"", "KeysUnsampled", "KeysSampled", "HeaderSent", "Ct1Received", "EkSentCt1Received",
	"NoHeaderReceived", "HeaderReceived", "Ct1Sampled", "EkReceivedCt1Sampled", "Ct1Acknowledged", "Ct2Sampled",
}

var kindNames = [7]string{"None", "Hdr", "Ek", "EkCt1Ack", "Ct1Ack", "Ct1", "Ct2"}

// coins returns the coins of a name.
func coins(name string) (c braid.Coins) {
	h := sha3.NewSHAKE256()
	h.Write([]byte(name))
	h.Read(c[:])
	return c
}

// recv gives m the message and requires that it is taken, and m left alone.
func recv(t testing.TB, m braid.Machine, msg wire.SPQRMessage) (braid.Machine, *[32]byte) {
	t.Helper()
	before := m.Bytes()
	next, secret, err := m.Recv(msg)
	require.NoError(t, err)
	require.Equal(t, before, m.Bytes(), "Recv leaves its receiver alone")
	return reload(t, next), secret
}

// send lets m send n messages and returns them.
func send(t testing.TB, m braid.Machine, n int) (next braid.Machine, msgs []wire.SPQRMessage, secret *[32]byte) {
	t.Helper()
	for range n {
		before := m.Bytes()
		next, msg, s := m.Send(coins("braid"))
		require.Equal(t, before, m.Bytes(), "Send leaves its receiver alone")
		require.Equal(t, m.Epoch(), msg.Epoch)
		if s != nil {
			secret = s
		}
		m, msgs = reload(t, next), append(msgs, msg)
	}
	return m, msgs, secret
}

// reload takes m through its stored bytes.
func reload(t testing.TB, m braid.Machine) braid.Machine {
	t.Helper()
	b := m.Bytes()
	var w wire.SPQRState
	require.NoError(t, w.Parse(b))
	got, err := braid.Parse(&w.Machine)
	require.NoError(t, err)
	require.Equal(t, b, got.Bytes())
	return got
}

// A run is one epoch, as both sides live through it without a loss. early and
// late have a machine in each state, as long before as possible and just before
// it changes; message has, by kind, one that completes what it is a chunk of.
type run struct {
	epoch       uint64
	early, late [12]braid.Machine
	message     [7]wire.SPQRMessage
	owner, enc  braid.Machine // in the next epoch
	secret      [32]byte
}

func (r *run) put(ms ...braid.Machine) {
	for _, m := range ms {
		if m.Epoch() != r.epoch {
			continue
		}
		if i := m.Tag(); !r.early[i].Exists() {
			r.early[i] = m
		}
		r.late[m.Tag()] = m
	}
}

// live runs the epoch of an owner in KeysUnsampled and the other side in
// NoHeaderReceived.
func live(t testing.TB, owner, enc braid.Machine) *run {
	t.Helper()
	r := &run{epoch: owner.Epoch()}
	deliver := func(to *braid.Machine, msgs []wire.SPQRMessage) (secret *[32]byte) {
		for _, m := range msgs {
			r.put(*to)
			*to, secret = recv(t, *to, m)
		}
		r.put(*to)
		r.message[msgs[0].Kind] = msgs[len(msgs)-1]
		return secret
	}
	r.put(owner, enc)
	owner, hdr, _ := send(t, owner, 3)
	r.put(owner)
	require.Nil(t, deliver(&enc, hdr))
	enc, ct1, early := send(t, enc, 30)
	require.NotNil(t, early, "the first chunk of ct1 settles the secret")
	r.put(enc)
	deliver(&owner, ct1[:29])
	owner, ek, _ := send(t, owner, 36)
	deliver(&enc, ek[:35])
	acknowledged, _ := recv(t, enc, ackOf(ek[34]))
	deliver(&owner, ct1[29:])
	deliver(&enc, ek[35:])
	r.message[wire.SPQREkCt1Ack] = ackOf(ek[35])
	r.put(acknowledged)
	r.message[wire.SPQRNone] = wire.SPQRMessage{Epoch: owner.Epoch()}
	r.message[wire.SPQRCt1Ack] = wire.SPQRMessage{Epoch: owner.Epoch(), Kind: wire.SPQRCt1Ack}
	deliver(&enc, []wire.SPQRMessage{r.message[wire.SPQRCt1Ack]})
	enc, ct2, _ := send(t, enc, 5)
	r.put(enc)
	late := deliver(&owner, ct2)
	require.Equal(t, early, late, "both sides settle on one secret")
	owner, first, _ := send(t, owner, 1)
	require.Equal(t, byte(wire.SPQRNone), first[0].Kind)
	r.enc, _ = recv(t, enc, first[0])
	r.owner, r.secret = owner, *early
	return r
}

// ackOf returns a chunk of ek with the acknowledgement.
func ackOf(m wire.SPQRMessage) wire.SPQRMessage {
	m.Kind = wire.SPQREkCt1Ack
	return m
}

// pair returns the machines of a new session.
func pair() (a, b braid.Machine) {
	c := coins("auth")
	key := [32]byte(c[:])
	return braid.New(&key, true), braid.New(&key, false)
}

// secondEpoch returns the run of epoch 2, so that there is one before it.
func secondEpoch(t testing.TB) *run {
	t.Helper()
	first := firstEpoch(t)
	return live(t, first.enc, first.owner)
}

func firstEpoch(t testing.TB) *run {
	t.Helper()
	a, b := pair()
	return live(t, a, b)
}

// lateTable has the state that a message of the same epoch leads to, for the
// machines of run.late; what is missing changes nothing. It is Sections 5.3 and
// 5.4 of spqr.md.
var lateTable = map[[2]byte]byte{
	{wire.SPQRKeysSampled, wire.SPQRCt1}:               wire.SPQRHeaderSent,
	{wire.SPQRHeaderSent, wire.SPQRCt1}:                wire.SPQRCt1Received,
	{wire.SPQRCt1Received, wire.SPQRCt2}:               wire.SPQREkSentCt1Received,
	{wire.SPQREkSentCt1Received, wire.SPQRCt2}:         wire.SPQRNoHeaderReceived,
	{wire.SPQRNoHeaderReceived, wire.SPQRHdr}:          wire.SPQRHeaderReceived,
	{wire.SPQRCt1Sampled, wire.SPQREk}:                 wire.SPQREkReceivedCt1Sampled,
	{wire.SPQRCt1Sampled, wire.SPQREkCt1Ack}:           wire.SPQRCt2Sampled,
	{wire.SPQREkReceivedCt1Sampled, wire.SPQRCt1Ack}:   wire.SPQRCt2Sampled,
	{wire.SPQREkReceivedCt1Sampled, wire.SPQREkCt1Ack}: wire.SPQRCt2Sampled,
	{wire.SPQRCt1Acknowledged, wire.SPQREk}:            wire.SPQRCt2Sampled,
	{wire.SPQRCt1Acknowledged, wire.SPQREkCt1Ack}:      wire.SPQRCt2Sampled,
}

// earlyTable is the same for run.early, when no object is complete yet.
var earlyTable = map[[2]byte]byte{
	{wire.SPQRKeysSampled, wire.SPQRCt1}:               wire.SPQRHeaderSent,
	{wire.SPQRHeaderSent, wire.SPQRCt1}:                wire.SPQRHeaderSent,
	{wire.SPQRCt1Received, wire.SPQRCt2}:               wire.SPQREkSentCt1Received,
	{wire.SPQREkSentCt1Received, wire.SPQRCt2}:         wire.SPQREkSentCt1Received,
	{wire.SPQRNoHeaderReceived, wire.SPQRHdr}:          wire.SPQRNoHeaderReceived,
	{wire.SPQRCt1Sampled, wire.SPQREk}:                 wire.SPQRCt1Sampled,
	{wire.SPQRCt1Sampled, wire.SPQREkCt1Ack}:           wire.SPQRCt1Acknowledged,
	{wire.SPQREkReceivedCt1Sampled, wire.SPQRCt1Ack}:   wire.SPQRCt2Sampled,
	{wire.SPQREkReceivedCt1Sampled, wire.SPQREkCt1Ack}: wire.SPQRCt2Sampled,
	{wire.SPQRCt1Acknowledged, wire.SPQREk}:            wire.SPQRCt2Sampled, // one short there, too
	{wire.SPQRCt1Acknowledged, wire.SPQREkCt1Ack}:      wire.SPQRCt2Sampled,
}

func TestEveryStateAndMessage(t *testing.T) {
	r := secondEpoch(t)
	for _, set := range []struct {
		name     string
		machines *[12]braid.Machine
		table    map[[2]byte]byte
	}{{"late", &r.late, lateTable}, {"early", &r.early, earlyTable}} {
		cases := 0
		for state := byte(1); state <= wire.SPQRCt2Sampled; state++ {
			m := set.machines[state]
			require.True(t, m.Exists(), stateNames[state])
			require.Equal(t, uint64(2), m.Epoch())
			for kind := range byte(7) {
				for _, epoch := range []uint64{1, 2, 3, 4} {
					cases++
					name := fmt.Sprintf("%s, %s, %s, epoch %d", set.name, stateNames[state], kindNames[kind], epoch)
					msg := r.message[kind]
					msg.Epoch = epoch
					want, known := set.table[[2]byte{state, kind}]
					switch {
					case epoch == 3 && state == wire.SPQRCt2Sampled:
						want, known = wire.SPQRKeysUnsampled, true
					case epoch > 2:
						requireRefused(t, m, msg, braid.ErrEpoch, name)
						continue
					case epoch < 2 || !known:
						next, secret := recv(t, m, msg)
						require.Nil(t, secret, name)
						require.Equal(t, m.Bytes(), next.Bytes(), name)
						continue
					}
					require.NoError(t, m.CheckEpoch(epoch), name)
					next, secret := recv(t, m, msg)
					require.Equal(t, stateNames[want], stateNames[next.Tag()], name)
					require.NotEqual(t, m.Bytes(), next.Bytes(), name)
					settles := state == wire.SPQREkSentCt1Received && want == wire.SPQRNoHeaderReceived
					require.Equal(t, settles, secret != nil, name)
					if settles {
						require.Equal(t, r.secret, *secret, name)
					}
					advances := settles || state == wire.SPQRCt2Sampled
					require.Equal(t, advances, next.Epoch() == 3, name)
				}
			}
		}
		require.Equal(t, 308, cases)
	}
}

// requireRefused requires that m refuses the message and does not change.
func requireRefused(t testing.TB, m braid.Machine, msg wire.SPQRMessage, class error, what ...any) {
	t.Helper()
	before := m.Bytes()
	next, secret, err := m.Recv(msg)
	require.ErrorIs(t, err, class, what...)
	require.False(t, next.Exists(), what...)
	require.Nil(t, secret, what...)
	require.Equal(t, before, m.Bytes(), what...)
	if class == braid.ErrEpoch {
		require.ErrorIs(t, m.CheckEpoch(msg.Epoch), class, what...)
	}
}

func TestEverySend(t *testing.T) {
	r := secondEpoch(t)
	for state, want := range map[byte]struct {
		kind  byte
		next  byte
		coins int
	}{
		wire.SPQRKeysUnsampled:        {wire.SPQRHdr, wire.SPQRKeysSampled, 64},
		wire.SPQRKeysSampled:          {wire.SPQRHdr, wire.SPQRKeysSampled, 0},
		wire.SPQRHeaderSent:           {wire.SPQREk, wire.SPQRHeaderSent, 0},
		wire.SPQRCt1Received:          {wire.SPQREkCt1Ack, wire.SPQRCt1Received, 0},
		wire.SPQREkSentCt1Received:    {wire.SPQRCt1Ack, wire.SPQREkSentCt1Received, 0},
		wire.SPQRNoHeaderReceived:     {wire.SPQRNone, wire.SPQRNoHeaderReceived, 0},
		wire.SPQRHeaderReceived:       {wire.SPQRCt1, wire.SPQRCt1Sampled, 32},
		wire.SPQRCt1Sampled:           {wire.SPQRCt1, wire.SPQRCt1Sampled, 0},
		wire.SPQREkReceivedCt1Sampled: {wire.SPQRCt1, wire.SPQREkReceivedCt1Sampled, 0},
		wire.SPQRCt1Acknowledged:      {wire.SPQRNone, wire.SPQRCt1Acknowledged, 0},
		wire.SPQRCt2Sampled:           {wire.SPQRCt2, wire.SPQRCt2Sampled, 0},
	} {
		m := r.early[state]
		require.Equal(t, want.coins, m.Coins(), stateNames[state])
		require.Equal(t, state <= wire.SPQREkSentCt1Received, m.Owner())
		require.Equal(t, state >= wire.SPQRCt1Sampled, m.Settled())
		next, msgs, secret := send(t, m, 2)
		require.Equal(t, stateNames[want.next], stateNames[next.Tag()])
		require.True(t, next.Sent() || next.Tag() == wire.SPQRNoHeaderReceived)
		require.Equal(t, state == wire.SPQRHeaderReceived, secret != nil)
		require.Equal(t, kindNames[want.kind], kindNames[msgs[0].Kind])
		if wire.SPQRHasChunk(want.kind) {
			require.Equal(t, msgs[0].ChunkIndex+1, msgs[1].ChunkIndex)
		} else {
			require.Zero(t, msgs[0].Chunk)
			require.Equal(t, m.Bytes(), next.Bytes())
		}
	}
}

func TestTenEpochs(t *testing.T) {
	owner, enc := pair()
	seen := map[[32]byte]bool{}
	for e := uint64(1); e <= 10; e++ {
		require.Equal(t, e, owner.Epoch())
		r := live(t, owner, enc)
		require.False(t, seen[r.secret])
		seen[r.secret] = true
		owner, enc = r.enc, r.owner
	}
}

// TestOVF_05_LastEpoch lives through the last epoch there can be.
func TestOVF_05_LastEpoch(t *testing.T) {
	a, b := pair()
	last := func(m braid.Machine) braid.Machine {
		w := m.Stored()
		w.Epoch = math.MaxUint64
		got, err := braid.Parse(w)
		require.NoError(t, err)
		return got
	}
	a, b = last(a), last(b)
	a, hdr, _ := send(t, a, 3)
	for _, m := range hdr {
		b, _ = recv(t, b, m)
	}
	b, ct1, _ := send(t, b, 30)
	for _, m := range ct1 {
		a, _ = recv(t, a, m)
	}
	a, ek, _ := send(t, a, 36)
	for _, m := range ek {
		b, _ = recv(t, b, m)
	}
	require.NoError(t, b.CheckEpoch(math.MaxUint64))
	require.NoError(t, b.CheckEpoch(0))
	b, ct2, _ := send(t, b, 5)
	require.Equal(t, byte(wire.SPQRCt2Sampled), b.Tag())
	for _, m := range ct2[:4] {
		a, _ = recv(t, a, m)
	}
	requireRefused(t, a, ct2[4], braid.ErrExhausted)
	same, _ := recv(t, b, wire.SPQRMessage{Epoch: 1}) // 2^64−1 + 1 is no next epoch
	require.Equal(t, b.Bytes(), same.Bytes())
}

func TestMachineRedacted(t *testing.T) {
	a, _ := pair()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		require.Equal(t, "redacted", fmt.Sprintf(verb, a))
		require.Equal(t, "redacted", fmt.Sprintf(verb, &a))
	}
	require.Equal(t, "redacted", slog.AnyValue(a).Resolve().String())
	b, err := json.Marshal(a)
	require.NoError(t, err)
	require.JSONEq(t, `"redacted"`, string(b))
}

func TestAuthenticatorVectors(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/spqr/spqr-vectors.json")
	require.NoError(t, err)
	var file struct {
		Authenticator map[string]hexBytes
	}
	require.NoError(t, json.Unmarshal(b, &file))
	v := file.Authenticator
	require.Len(t, v, 11)

	header, ct1, ct2 := new([64]byte), fill(960, 0x22), fill(128, 0x22)
	copy(header[:], fill(64, 0x11))
	a := braid.NewAuthenticator((*[32]byte)(v["auth_key"]))
	root, mac := a.Keys()
	require.Equal(t, []byte(v["root"]), root[:])
	require.Equal(t, []byte(v["mac"]), mac[:])
	got := a.Header(1, header)
	require.Equal(t, []byte(v["mac_hdr_e1_64x11"]), got[:])
	got = a.Ciphertext(1, ct1, ct2)
	require.Equal(t, []byte(v["mac_ct_e1_1088x22"]), got[:])

	k := [32]byte(fill(32, 0x33))
	secret := braid.EpochSecret(1, k)
	require.Equal(t, []byte(v["scka_e1_32x33"]), secret[:])
	far := braid.EpochSecret(1<<40, k)
	require.Equal(t, []byte(v["scka_e2^40_32x33"]), far[:])

	a = a.Update(1, &secret)
	root, mac = a.Keys()
	require.Equal(t, []byte(v["root_after"]), root[:])
	require.Equal(t, []byte(v["mac_after"]), mac[:])
	got = a.Ciphertext(1, ct1, ct2)
	require.Equal(t, []byte(v["mac_ct_e1_after"]), got[:])
	got = a.Header(2, header)
	require.Equal(t, []byte(v["mac_hdr_e2_after"]), got[:])
}
