package interop_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// importSenderKey makes a record of the official library that of a device of
// gembok, for a sender, which may be the device itself.
func (c *citizen) importSenderKey(sender session.Address, id group.DistributionID, record []byte) {
	t := c.town.t
	t.Helper()
	k := keystore.Key{Kind: "senderkey", Owner: sender.User, Name: fmt.Sprintf("%d,%v", sender.Device, id)}
	require.NoError(t, c.device.Update(context.Background(), nil, func(tx *session.Tx) error {
		if err := tx.Load(k); err != nil {
			return err
		}
		return tx.Put(k, record)
	}))
}

// Sender keys move from one library to the other and back, in the middle of what
// is written under them and read: that of a sender, and those of readers.
func TestInteropSenderKeyRecords(t *testing.T) {
	w := newTown(t, interop.Share(t), true)
	id := group.DistributionID{7}
	sender := w.twins(session.Address{User: aliceName, Device: 1})
	reader := w.twins(session.Address{User: bobName, Device: 1})
	d := sender[0].distribution(id)
	require.NoError(t, reader[0].takesKey(sender[0].mailKey(reader[0].address, d)))
	require.NoError(t, reader[1].party.ProcessSenderKey(sender[0].remote(), d))
	late := make(map[int][]byte)
	for i := range cases(60) {
		from, to := sender[i/3%2], reader[i/5%2]
		text := fmt.Sprint("message ", i)
		m := from.groupBytes(id, text)
		if i%4 == 1 {
			late[i] = m
		} else {
			got, err := to.groupRead(sender[0].address, m)
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
		if i%7 == 6 {
			for was, m := range late {
				got, err := to.groupRead(sender[0].address, m)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("message ", was), got)
			}
			clear(late)
		}
		moveSenderKey(from, sender[(i/3+1)%2], sender[0].address, id)
		moveSenderKey(to, reader[(i/5+1)%2], sender[0].address, id)
	}
}

// twins are a device of gembok and one of the official library with the same
// address and identity.
func (w *town) twins(a session.Address) [2]*citizen {
	id := keys.GenerateIdentityKeyPair()
	theirs := w.move(a, id, true)
	return [2]*citizen{w.move(a, id, false), theirs}
}

// groupBytes encrypts a text with the own sender key of whichever kind of device.
func (c *citizen) groupBytes(id group.DistributionID, text string) []byte {
	if c.groups != nil {
		return c.groupMessage(id, text).Bytes
	}
	m, err := c.party.GroupEncrypt(id.String(), contentOf(text))
	require.NoError(c.town.t, err)
	return m
}

// mailKey is a message of a device of gembok with a sender key in it.
func (c *citizen) mailKey(to session.Address, d []byte) mail {
	s, err := c.device.Send(context.Background(), []string{to.User}, &session.Content{Distribution: d}, nil)
	require.NoError(c.town.t, err)
	require.NoError(c.town.t, c.device.Accept(context.Background(), s))
	return mailTo(c.town.t, c.post(s), to.User, to.Device)
}

// moveSenderKey has to keep what from keeps of a sender; what each writes is what
// the other one has.
func moveSenderKey(from, to *citizen, sender session.Address, id group.DistributionID) {
	t := from.town.t
	t.Helper()
	record := from.keptKey(sender, id)
	require.NotEmpty(t, record)
	if to.groups != nil {
		to.importSenderKey(sender, id, record)
	} else {
		require.NoError(t, to.party.SetSenderKey(interop.Address{Name: sender.User, Device: sender.Device}, id.String(), record))
	}
	require.Equal(t, record, to.keptKey(sender, id))
}

// keptKey is the record of a sender in whichever kind of device.
func (c *citizen) keptKey(sender session.Address, id group.DistributionID) []byte {
	if c.groups != nil {
		return c.senderKey(sender, id)
	}
	record, err := c.party.SenderKey(interop.Address{Name: sender.User, Device: sender.Device}, id.String())
	require.NoError(c.town.t, err)
	return record
}

// What the official library takes in and gembok does not: a signature with an s of
// L or more, and a signing key that everybody, or nobody, can sign with. Gembok's
// state stays as it was.
func TestInteropGroupDivergences(t *testing.T) {
	p, r := newPairOfReaders(t), random(t)
	c := newHandChain(r, group.DistributionID{1}, 5)
	ours, theirs := p.give(c.distribution(0))
	require.NoError(t, ours)
	require.NoError(t, theirs)
	m := c.message(0, contentOf("text"))
	for !unreducedS(addOrder(m[len(m)-64:])) {
		m = c.message(0, contentOf("text"))
	}
	odd := append(m[:len(m)-64:len(m)-64], addOrder(m[len(m)-64:])...)
	before := testutil.StoreDigest(t, p.ours.store)
	_, err := p.ours.groupRead(p.sender.address, odd)
	require.ErrorIs(t, err, keys.ErrSignature)
	require.Equal(t, before, testutil.StoreDigest(t, p.ours.store))
	text, err := p.theirs.groupRead(p.sender.address, odd)
	require.NoError(t, err)
	require.Equal(t, "text", text)

	for _, key := range edgeKeys {
		if _, err := keys.ParseVerifyKey(key); err == nil {
			continue
		}
		kept := p.ours.senderKey(p.sender.address, c.id)
		ours, theirs := p.give(wire.AppendSenderKeyDistributionMessage(nil, &wire.SenderKeyDistributionMessage{
			Distribution: c.id[:], ChainID: 6, ChainKey: c.chainKey(0), SigningKey: key}))
		require.NoError(t, theirs)
		require.ErrorIs(t, ours, keys.ErrKey)
		require.Equal(t, kept, p.ours.senderKey(p.sender.address, c.id))
	}
}

// A message to the group that one of an official device could not read is asked
// for without a ratchet key, answered within the session, and the device gets the
// sender key before the next; and the other way round.
func TestInteropGroupRetries(t *testing.T) {
	ctx := context.Background()
	w := newTown(t, interop.Share(t), true)
	ours := w.move(session.Address{User: aliceName, Device: 1}, keys.GenerateIdentityKeyPair(), false)
	theirs := w.move(session.Address{User: bobName, Device: 1}, keys.GenerateIdentityKeyPair(), true)
	require.NoError(t, ours.groups.Set(ctx, "the group", []string{aliceName, bobName}, nil))
	ours.giveKeys("the group")
	for _, text := range []string{"first", "second"} {
		require.Equal(t, text, w.readGroup(theirs, ours.sendGroup("the group", text)))
	}
	lost := ours.sendGroup("the group", "lost")
	id, err := group.IDOf(lost.gembok())
	require.NoError(t, err)
	require.NoError(t, theirs.party.SetSenderKey(ours.remote(), id.String(), nil))
	_, err = theirs.groupRead(ours.address, lost.msg.Bytes)
	require.True(t, unreadable(err), "%v", err)
	asked := theirs.asks(lost)
	dem, err := wire.ParsePlaintextContent(asked.Bytes)
	require.NoError(t, err)
	require.Nil(t, dem.RatchetKey)
	s, err := ours.groups.Resend(ctx, theirs.address, asked)
	require.NoError(t, err)
	w.reads(mailTo(t, ours.post(s), bobName, 1), "lost", bobName)

	_, err = ours.groups.Send(ctx, "the group", &session.Content{Body: []byte("next")}, nil)
	var waiting *group.WaitingError
	require.ErrorAs(t, err, &waiting)
	require.Equal(t, []session.Address{theirs.address}, waiting.Devices)
	ours.giveKeys("the group")
	require.Equal(t, "next", w.readGroup(theirs, ours.sendGroup("the group", "next")))

	// Gembok never got the key: it asks, too.
	unknown := group.DistributionID{9}
	theirs.distribution(unknown)
	m := mail{from: theirs.address, to: ours.address, sentAt: 1_700_000_000_000,
		msg: interop.Message{Type: interop.SenderKey, Bytes: theirs.groupBytes(unknown, "unknown")}}
	request := ours.fails(m, session.ReasonNoSession)
	read, err := theirs.party.ReadRetry(ours.remote(), request)
	require.NoError(t, err)
	require.Equal(t, &interop.Retry{SentAt: m.sentAt, Device: 1}, read)
}

// giveKeys gives the sender key to all official devices that lack it.
func (c *citizen) giveKeys(name string) {
	ctx, t := context.Background(), c.town.t
	t.Helper()
	s, err := c.groups.Distribute(ctx, name, nil)
	require.NoError(t, err)
	require.NoError(t, c.groups.Accept(ctx, s))
	for _, m := range c.post(s) {
		require.NoError(t, c.town.of(m.to.User, m.to.Device).takesKey(m))
	}
}

// sendGroup sends to the one other device of a group.
func (c *citizen) sendGroup(name, text string) mail {
	ctx, t := context.Background(), c.town.t
	t.Helper()
	s, err := c.groups.Send(ctx, name, &session.Content{Body: []byte(text)}, nil)
	require.NoError(t, err)
	require.NoError(t, c.groups.Accept(ctx, s))
	out := c.post(s)
	require.Len(t, out, 1)
	require.Equal(t, interop.SenderKey, out[0].msg.Type)
	return out[0]
}

// readGroup reads a group message, which is read.
func (w *town) readGroup(to *citizen, m mail) string {
	w.t.Helper()
	text, err := to.groupRead(m.from, m.msg.Bytes)
	require.NoError(w.t, err)
	return text
}
