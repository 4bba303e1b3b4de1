package interop_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func parseSenderKeyMessage(b []byte) (outcome, error) {
	m, err := wire.ParseSenderKeyMessage(b)
	if err != nil {
		return outcome{}, err
	}
	written := append(wire.AppendSenderKeyMessage(nil, &m), m.Signature...)
	return outcome{again: b, written: written, fields: interop.Fields{
		DistributionID: uuid(m.Distribution), ChainID: m.ChainID, Iteration: m.Iteration, Body: full(m.Ciphertext),
	}}, nil
}

func parseSenderKeyDistribution(b []byte) (outcome, error) {
	m, err := wire.ParseSenderKeyDistributionMessage(b)
	if err != nil {
		return outcome{}, err
	}
	if _, err := keys.ParsePublicKey(m.SigningKey); err != nil {
		return outcome{}, err
	}
	return outcome{again: b, written: wire.AppendSenderKeyDistributionMessage(nil, &m), fields: interop.Fields{
		DistributionID: uuid(m.Distribution), ChainID: m.ChainID, Iteration: m.Iteration, ChainKey: m.ChainKey,
	}}, nil
}

func uuid(b []byte) string { return group.DistributionID(b).String() }

// A handChain is a sender key of which the test knows everything, worked out
// with the standard library alone.
type handChain struct {
	id      group.DistributionID
	chainID uint32
	key     *keys.SigningKey
	chain   [][]byte // chain keys, from iteration 0 on
}

func newHandChain(r *rand.Rand, id group.DistributionID, chainID uint32) *handChain {
	return &handChain{id: id, chainID: chainID, key: keys.GenerateSigningKey(), chain: [][]byte{randomBytes(r, 32)}}
}

func step(key []byte, what byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{what})
	return h.Sum(nil)
}

// chainKey is that of an iteration.
func (c *handChain) chainKey(i uint32) []byte {
	for uint32(len(c.chain)) <= i {
		c.chain = append(c.chain, step(c.chain[len(c.chain)-1], 2))
	}
	return c.chain[i]
}

// distribution gives the key away from an iteration on.
func (c *handChain) distribution(i uint32) []byte {
	return wire.AppendSenderKeyDistributionMessage(nil, &wire.SenderKeyDistributionMessage{
		Distribution: c.id[:], ChainID: c.chainID, Iteration: i, ChainKey: c.chainKey(i), SigningKey: c.key.Public().Bytes()})
}

// message encrypts under an iteration.
func (c *handChain) message(i uint32, plaintext []byte) []byte {
	n := aes.BlockSize - len(plaintext)%aes.BlockSize
	padded := append([]byte(nil), plaintext...)
	for range n {
		padded = append(padded, byte(n))
	}
	return c.raw(i, padded)
}

// messageAs is message under the key of one iteration that says it is another.
func (c *handChain) messageAs(said, i uint32, plaintext []byte) []byte {
	m, err := wire.ParseSenderKeyMessage(c.message(i, plaintext))
	if err != nil {
		panic(err)
	}
	m.Iteration = said
	return c.signed(&m)
}

// raw is message of what is padded already, or not at all.
func (c *handChain) raw(i uint32, padded []byte) []byte {
	material, err := hkdf.Key(sha256.New, step(c.chainKey(i), 1), nil, "WhisperGroup", 48)
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(material[16:])
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, material[:16]).CryptBlocks(out, padded)
	return c.signed(&wire.SenderKeyMessage{Distribution: c.id[:], ChainID: c.chainID, Iteration: i, Ciphertext: out})
}

func (c *handChain) signed(m *wire.SenderKeyMessage) []byte {
	return c.sign(wire.AppendSenderKeyMessage(nil, m))
}

// sign appends the signature to what is, or looks like, a message.
func (c *handChain) sign(body []byte) []byte { return append(body, c.key.Sign(body)...) }

// Messages and distribution messages that honest senders write, edges, and
// mutations of both: the same verdict, and the same fields.
func TestInterop_PRS_03_SenderKeyMessages(t *testing.T) {
	p, r := interop.Share(t), random(t)
	for _, kind := range []interop.Kind{interop.KindSenderKeyMessage, interop.KindSenderKeyDistribution} {
		t.Run(string(kind), func(t *testing.T) {
			inputs := make([][]byte, cases(1000))
			for i := range inputs {
				c := newHandChain(r, group.DistributionID(randomBytes(r, 16)), number(r))
				in := c.signed(&wire.SenderKeyMessage{Distribution: c.id[:], ChainID: c.chainID, Iteration: number(r), Ciphertext: randomBytes(r, r.IntN(40))})
				if kind == interop.KindSenderKeyDistribution {
					in = wire.AppendSenderKeyDistributionMessage(nil, &wire.SenderKeyDistributionMessage{Distribution: c.id[:],
						ChainID: c.chainID, Iteration: number(r), ChainKey: c.chain[0], SigningKey: pick(r, c.key.Public().Bytes(), randomKey(r))})
				}
				out, err := codecOf(kind).parse(in)
				if err == nil {
					require.Equal(t, in, out.written)
				}
				if inputs[i] = in; i%2 == 1 {
					inputs[i] = mutate(r, in)
				}
			}
			codecOf(kind).diff(t, p, inputs)
		})
	}
}

// randomKey is 33 bytes or about as many, mostly of a key.
func randomKey(r *rand.Rand) []byte {
	return append([]byte{pick[byte](r, 5, 5, 5, 0, 8)}, randomBytes(r, pick(r, 32, 32, 32, 31, 33))...)
}
