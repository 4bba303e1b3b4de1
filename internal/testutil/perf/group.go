package perf

import (
	"crypto/rand"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A member is a side with groups: its plaintexts are Contents.
type member struct {
	*side
	groups *group.Groups
}

// room is the distribution id of all group messages here.
var room = group.DistributionID{1}

func newMember(n int, open func() keystore.Store) *member {
	if open == nil {
		open = func() keystore.Store { return keystore.NewMemory() }
	}
	a, store := session.Address{User: userName(n), Device: 1}, open()
	d := must(session.Create(ctx, store, session.Account{Address: a}, &session.Options{Content: true}))
	return &member{side: &side{Device: d, store: store}, groups: group.New(d, nil)}
}

// members are two devices in a session, of which bob has alice's sender key.
func members(open func() keystore.Store) (alice, bob *member) {
	alice, bob = newMember(1, open), newMember(2, open)
	alice.begin(bob.side)
	c := session.Content{Distribution: must(alice.groups.Distribution(ctx, room))}
	bob.hear(alice, must(alice.Encrypt(ctx, bob.Address(), c.Bytes())))
	bob.save()
	return alice, bob
}

// tell encrypts a message to the group, a Content with a body.
func (m *member) tell(content []byte) *session.Message {
	return must(m.groups.Encrypt(ctx, room, content))
}

func (m *member) hear(from *member, msg *session.Message) {
	m.unsaved = append(m.unsaved, must(m.groups.Decrypt(ctx, from.Address(), msg, nil)))
}

// body is an encoded Content with a body of a size.
func body(size int) []byte { return (&session.Content{Body: make([]byte, size)}).Bytes() }

// GroupEncrypt is encrypting a message for a group through a Device: the record
// of the sender key loaded and stored. A nil open is the store in memory.
func GroupEncrypt(size int, open func() keystore.Store) Op {
	return always("group-encrypt", size, 200, func() func() {
		alice, _ := members(open)
		content := body(size)
		return func() { alice.tell(content) }
	})
}

// GroupDecrypt is reading such messages, one after the other, the plaintext
// staged.
func GroupDecrypt(size int, open func() keystore.Store) Op {
	return Op{Name: "group-decrypt", Size: size, Runs: 200, ahead: 200, start: func() func() func() {
		alice, bob := members(open)
		content := body(size)
		return func() func() {
			bob.save()
			m := alice.tell(content)
			return func() { bob.hear(alice, m) }
		}
	}}
}

// groupOverhead is what a SenderKeyMessage has around its ciphertext, without the
// signature.
const groupOverhead = 32

// group is the chain and the keys of one group message (48 bytes): 2 + 3 HMACs.
func (f *floor) group() {
	f.chain()
	f.hkdf(48, f.key[:], []byte("WhisperGroup"))
}

// FloorGroupEncrypt is a message to a group (sealed-groups-fingerprint, Section
// 4.6), a Content with its padding: 5 HMACs, AES-CBC, 64 random bytes, a
// signature.
func FloorGroupEncrypt(size int) Op {
	return always("group-encrypt", size, 200, func() func() {
		f, a := newFloor(), [32]byte{}
		a = curve.EdwardsPublic(&f.private)
		message := make([]byte, groupOverhead+wire.PaddedSize(len(body(size)))+1)
		var z [64]byte
		return func() {
			f.group()
			f.cbc(message[groupOverhead:])
			rand.Read(z[:])
			sig := curve.Sign(&f.private, &a, &z, message)
			f.out[0] ^= sig[0]
		}
	})
}

// FloorGroupDecrypt is the same for the receiver, with the signature verified.
func FloorGroupDecrypt(size int) Op {
	return always("group-decrypt", size, 200, func() func() {
		f := newFloor()
		a := curve.EdwardsPublic(&f.private)
		message := make([]byte, groupOverhead+wire.PaddedSize(len(body(size)))+1)
		sig := curve.Sign(&f.private, &a, new([64]byte), message)
		public := f.public
		return func() {
			if !curve.Verify(&public, sig[:], message) {
				panic("perf: signature")
			}
			f.group()
			f.cbc(append([]byte(nil), message[groupOverhead:]...))
		}
	})
}
