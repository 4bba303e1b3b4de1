package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A pairOfReaders is a device of gembok and one of the official library, who get
// the same from one sender, and must make the same of it.
type pairOfReaders struct {
	*town
	sender, ours, theirs *citizen
	counts               map[string]int
}

func newPairOfReaders(t *testing.T) *pairOfReaders {
	w := newTown(t, interop.Share(t), true)
	return &pairOfReaders{
		town:   w,
		sender: w.move(session.Address{User: aliceName, Device: 1}, keys.GenerateIdentityKeyPair(), true),
		ours:   w.move(session.Address{User: bobName, Device: 1}, keys.GenerateIdentityKeyPair(), false),
		theirs: w.move(session.Address{User: bobName, Device: 2}, keys.GenerateIdentityKeyPair(), true),
		counts: make(map[string]int),
	}
}

// give hands both a distribution message within a message of the sender's.
func (p *pairOfReaders) give(distribution []byte) (ours, theirs error) {
	for _, to := range []*citizen{p.ours, p.theirs} {
		err := to.takesKey(p.sender.keyMail(to.address, distribution))
		if to == p.ours {
			ours = err
		} else {
			theirs = err
		}
	}
	return ours, theirs
}

// groupVerdicts are what the official library says, and what gembok does.
var groupVerdicts = []struct {
	theirs string // in the text of the error
	ours   error
}{
	{"message with old counter", session.ErrDuplicate},
	{"missing sender key state", group.ErrNoSenderKey},
	{"too far into the future", session.ErrTooFar},
	{"invalid signature", keys.ErrSignature},
	{"ciphertext version", session.ErrVersion},
	{"protobuf encoding was invalid", session.ErrMalformed},
	{"decryption failed", session.ErrAuth},
	{"too short", session.ErrMalformed},
	{"chain is too long", session.ErrExhausted},
}

// requireSameVerdict requires that two errors are the same of groupVerdicts, or
// both none.
func requireSameVerdict(t *testing.T, ours, theirs error) string {
	t.Helper()
	if theirs == nil {
		require.NoError(t, ours)
		return "read"
	}
	requirePeerError(t, theirs)
	for _, v := range groupVerdicts {
		if strings.Contains(theirs.Error(), v.theirs) {
			early := v.ours == session.ErrDuplicate && errors.Is(ours, group.ErrNoSenderKey) // from before the key: it may be asked for
			require.True(t, early || errors.Is(ours, v.ours), "official: %v\ngembok: %v", theirs, ours)
			return v.theirs
		}
	}
	t.Fatalf("official: %v\ngembok: %v", theirs, ours)
	return ""
}

// containsVerdict says whether the official library said what gembok says so.
func containsVerdict(theirs string, ours error) bool {
	for _, v := range groupVerdicts {
		if v.ours == ours && strings.Contains(theirs, v.theirs) {
			return true
		}
	}
	return false
}

// both gives both a group message.
func (p *pairOfReaders) both(m []byte) (text, verdict string) {
	p.t.Helper()
	text, ours := p.ours.groupRead(p.sender.address, m)
	said, theirs := p.theirs.groupRead(p.sender.address, m)
	verdict = requireSameVerdict(p.t, ours, theirs)
	require.Equal(p.t, said, text)
	p.counts[verdict]++
	return text, verdict
}

// sameRecords requires that what both keep of the sender is the same, byte for byte.
func (p *pairOfReaders) sameRecords(id group.DistributionID) {
	p.t.Helper()
	theirs, err := p.theirs.party.SenderKey(p.sender.remote(), id.String())
	require.NoError(p.t, err)
	require.Equal(p.t, theirs, p.ours.senderKey(p.sender.address, id))
}

// senderKey is the record that a device of gembok has of a sender, as the official
// library has it: without whose identity each key is. Nil is none.
func (c *citizen) senderKey(sender session.Address, id group.DistributionID) []byte {
	t := c.town.t
	t.Helper()
	for rec, err := range c.store.List(context.Background(), "", "senderkey", sender.User) {
		require.NoError(t, err)
		if rec.Key.Name != fmt.Sprintf("%d,%v", sender.Device, id) {
			continue
		}
		out, err := wire.ParseSenderKeyRecord(rec.Value[1:])
		require.NoError(t, err)
		for i := range out.States {
			withoutIdentity(&out.States[i])
		}
		return wire.AppendSenderKeyRecord(nil, out)
	}
	return nil
}

// stands says whether gembok has the key of a chain.
func (p *pairOfReaders) stands(c *handChain) bool {
	rec, err := wire.ParseSenderKeyRecord(p.ours.senderKey(p.sender.address, c.id))
	require.NoError(p.t, err)
	return slices.ContainsFunc(rec.States, func(s wire.SenderKeyState) bool {
		return s.ChainID == c.chainID && bytes.Equal(s.SigningPublic, c.key.Public().Bytes())
	})
}

// Keys that come again, at other iterations, under the same chain id with other
// signing keys, more of them than are kept; messages that are lost, come twice, in
// any order, far ahead, damaged, or under keys nobody has: after each step both
// said the same and keep the same. A key that went out for others does not come at
// an iteration that it was past: gembok alone refuses that.
func TestInteropGroupVerdicts(t *testing.T) {
	p, r := newPairOfReaders(t), random(t)
	ids := []group.DistributionID{group.DistributionID(randomBytes(r, 16)), group.DistributionID(randomBytes(r, 16))}
	var chains []*handChain
	for i := range 16 {
		chains = append(chains, newHandChain(r, ids[i%2], uint32(i/2%6))) // some chain ids twice
	}
	head, past := make(map[*handChain]uint32), make(map[string]uint32) // past: also of those with the same chain id
	for n := range cases(500) {
		c := pick(r, chains...)
		if r.IntN(8) == 0 || n < 4 {
			at := uint32(max(0, int(head[c])+r.IntN(7)-3))
			if name := fmt.Sprint(c.id, c.chainID); p.stands(c) {
				past[name] = max(past[name], at)
			} else {
				at = past[name] + uint32(r.IntN(4))
				past[name] = at
			}
			ours, theirs := p.give(c.distribution(at))
			require.NoError(t, ours)
			require.NoError(t, theirs)
			p.counts["given"]++
		} else {
			i, text := c.somewhere(r, head), fmt.Sprint("text ", n)
			got, verdict := p.both(c.maybeWrong(r, i, text))
			if verdict == "read" {
				require.Equal(t, text, got)
				head[c] = max(head[c], i+1)
				past[fmt.Sprint(c.id, c.chainID)] = max(past[fmt.Sprint(c.id, c.chainID)], i+1)
			}
		}
		p.sameRecords(c.id)
	}
	t.Logf("%v", p.counts)
	for _, v := range []string{"read", "message with old counter", "missing sender key state", "invalid signature"} {
		require.Positive(t, p.counts[v], v)
	}
}

// What is far ahead, at the limits: of 25,000 messages that may be missing, the
// newest 2,000 are read when they come after all.
func TestInterop_GRP_04_Jumps(t *testing.T) {
	const read, old, far = "read", "message with old counter", "too far into the future"
	for ahead, want := range map[uint32]map[string]int{
		2000:   {read: 7, old: 5},
		2001:   {read: 6, old: 6}, // the first is gone
		25_000: {read: 6, old: 6},
		25_001: {read: 8, old: 3, far: 1}, // and then, from a nearer one on, in reach
	} {
		p, r := newPairOfReaders(t), random(t)
		c := newHandChain(r, group.DistributionID(randomBytes(r, 16)), 1<<31)
		ours, theirs := p.give(c.distribution(0))
		require.NoError(t, ours)
		require.NoError(t, theirs)
		for _, i := range []uint32{ahead, 0, 1, ahead, ahead - 2000, ahead - 1999, ahead - 1, ahead + 1, ahead - 1, 0, 2, ahead + 25_002} {
			p.both(c.message(i, contentOf("text")))
			p.sameRecords(c.id)
		}
		require.Equal(t, want, p.counts, "%d", ahead)
	}
}

// At the end of a chain, and beyond: the last iteration is none.
func TestInterop_GRP_05_Overflow(t *testing.T) {
	p, r := newPairOfReaders(t), random(t)
	c := newHandChain(r, group.DistributionID(randomBytes(r, 16)), 3)
	at := func(i uint32) []byte { // of the same chain, wherever it is said to be
		return wire.AppendSenderKeyDistributionMessage(nil, &wire.SenderKeyDistributionMessage{
			Distribution: c.id[:], ChainID: c.chainID, Iteration: i, ChainKey: c.chainKey(0), SigningKey: c.key.Public().Bytes()})
	}
	ours, theirs := p.give(at(1<<32 - 2))
	require.NoError(t, ours)
	require.NoError(t, theirs)
	for _, i := range []uint32{1<<32 - 1, 1<<32 - 2, 1<<32 - 1, 0} {
		m := c.messageAs(i, i-(1<<32-2), contentOf("text"))
		p.both(m)
		p.sameRecords(c.id)
	}
	require.Equal(t, map[string]int{"chain is too long": 2, "read": 1, "message with old counter": 1}, p.counts)
}

// somewhere is an iteration, mostly near where the chain is.
func (c *handChain) somewhere(r *rand.Rand, head map[*handChain]uint32) uint32 {
	at := head[c]
	switch dice := r.IntN(200); {
	case dice < 100:
		return at + uint32(r.IntN(4))
	case dice < 190:
		return uint32(max(0, int(at)-1-r.IntN(8)))
	case dice < 194:
		return uint32(max(0, int(at)-1990-r.IntN(20)))
	case dice < 198:
		return at + uint32(r.IntN(2100))
	case dice < 199 && at < 100_000:
		return at + 25_000
	}
	return at + 25_001
}

// maybeWrong is a message, now and then with something wrong about it.
func (c *handChain) maybeWrong(r *rand.Rand, i uint32, text string) []byte {
	m := c.message(i, contentOf(text))
	body := m[:len(m)-64]
	switch r.IntN(40) {
	case 0:
		m[len(m)-1-r.IntN(64)] ^= 1
	case 1:
		m[1+r.IntN(len(m)-1)] ^= 1 << r.IntN(8)
	case 2:
		return c.raw(i, make([]byte, 32)) // no padding of the cipher
	case 3:
		return c.signed(&wire.SenderKeyMessage{Distribution: c.id[:], ChainID: c.chainID, Iteration: i, Ciphertext: randomBytes(r, 15)})
	case 4:
		m[0] = pick[byte](r, 0x23, 0x43)
	case 5:
		return m[:r.IntN(70)]
	case 6:
		other := newHandChain(r, pick(r, c.id, group.DistributionID(randomBytes(r, 16))), 7)
		return other.message(i%100, contentOf(text))
	case 7: // signed as it is
		body[0] = 0x30 | byte(r.IntN(16))
		return c.sign(body)
	case 8:
		return c.signOdd(m, append(body[:len(body):len(body)], randomField(r)...))
	case 9:
		return c.signOdd(m, mutate(r, body))
	}
	return m
}

// signOdd signs what is, perhaps, no message any more; m instead, if it is one with
// another ciphertext: what comes of that may be no Content, which the official
// library knows nothing of.
func (c *handChain) signOdd(m, body []byte) []byte {
	was, err := wire.ParseSenderKeyMessage(m)
	if err != nil {
		panic(err)
	}
	out := c.sign(body)
	if is, err := wire.ParseSenderKeyMessage(out); err == nil && !bytes.Equal(is.Ciphertext, was.Ciphertext) {
		return m
	}
	return out
}

// withoutIdentity leaves out of a state what only gembok has there.
func withoutIdentity(s *wire.SenderKeyState) { s.Identity, s.First = nil, 0 }
