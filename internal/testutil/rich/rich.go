// Package rich fills a store with records of every kind that a Device keeps, for
// tests of what works on whole stores.
package rich

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var ctx = context.Background()

// The texts of the messages that wait in the store.
const (
	Short  = "Besok jam tiga di warung biasa?"
	long   = "Tolong baca sampai habis. "
	Copied = "Kirim lagi kalau tidak terbaca." // of one that was sent
)

// Long is kept in a record of its own.
var Long = strings.Repeat(long, 500)

// A World is a store in which two devices live, and others that talk to them
// and are elsewhere.
type World struct {
	Store keystore.Store
	Now   time.Time         // what all clocks show
	Own   []*session.Device // in Store: the first has all kinds of records, the second is a version 7 UUID's
	Peers []*session.Device // three are in conversation with Own[0], the last is to be with Own[1]
	opts  *session.Options
}

// Addresses of the devices in the store, and of the peers.
var (
	Own   = []session.Address{{User: "budi@warung.example", Device: 1}, {User: "01930ed1-0000-7000-8000-00000000c0de", Device: 3}}
	Peers = []session.Address{{User: "ani@pasar.example", Device: 2}, {User: "citra@pasar.example", Device: 1}, {User: "dewi@pasar.example", Device: 127}, {User: "eka@pasar.example", Device: 1}}
)

// Fill fills a store that is empty. Its devices are seven days old.
func Fill(t testing.TB, s keystore.Store) *World {
	t.Helper()
	w := &World{Store: s, Now: time.Unix(1_700_000_000, 0)}
	w.opts = &session.Options{Now: func() time.Time { return w.Now }, PreKeys: session.PreKeyPolicy{OneTime: 2, Low: 1}, Directory: directory{w}}
	for _, a := range Own {
		w.Own = append(w.Own, w.create(t, s, a))
	}
	for _, a := range Peers {
		w.Peers = append(w.Peers, w.create(t, keystore.NewMemory(), a))
	}
	w.live(t)
	return w
}

func (w *World) create(t testing.TB, s keystore.Store, a session.Address) *session.Device {
	d, err := session.Create(ctx, s, session.Account{Address: a}, w.opts)
	require.NoError(t, err)
	return d
}

// Open opens a device of the world in another store.
func (w *World) Open(s keystore.Store, a session.Address) (*session.Device, error) {
	return session.Open(ctx, s, a, w.opts)
}

// live has the devices do all that leaves records.
func (w *World) live(t testing.TB) {
	own := w.Own[0]
	for _, d := range w.Own {
		_, err := d.Upkeep(ctx)
		require.NoError(t, err)
	}
	published, err := own.Publish(ctx)
	require.NoError(t, err)
	require.NoError(t, own.MarkPublished(ctx, published))
	for _, p := range w.Peers[:3] { // the second time by the last resort, which leaves a base key
		require.NoError(t, p.Begin(ctx, own.Address(), published.Take()))
		Talk(t, p, own)
		published.PreKeys, published.KEMPreKeys = nil, nil
		w.pass(time.Hour)
	}
	w.archive(t)
	w.pass(6 * 24 * time.Hour)
	for n, text := range []string{Short, Long, "next", ""} {
		w.stage(t, w.Peers[n%2], text, n == 2)
	}
	bundle, err := w.Peers[3].Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, w.Own[1].Begin(ctx, w.Peers[3].Address(), bundle)) // is not answered
	w.others(t)
	w.pass(time.Hour)
}

func (w *World) pass(d time.Duration) { w.Now = w.Now.Add(d) }

// archive has the first device hold archived sessions, and skipped keys.
func (w *World) archive(t testing.TB) {
	own, peer := w.Own[0], w.Peers[0]
	for range 2 {
		w.pass(time.Hour)
		bundle, err := peer.Bundle(ctx)
		require.NoError(t, err)
		require.NoError(t, own.Begin(ctx, peer.Address(), bundle))
		Talk(t, own, peer)
	}
	for range 3 {
		_, err := peer.Encrypt(ctx, own.Address(), []byte("lost"))
		require.NoError(t, err)
	}
	Talk(t, peer, own)
}

// stage has the first device receive a message, and acknowledge it perhaps.
func (w *World) stage(t testing.TB, from *session.Device, text string, acknowledge bool) {
	w.pass(time.Minute)
	m, err := from.Encrypt(ctx, w.Own[0].Address(), []byte(text))
	require.NoError(t, err)
	r, err := w.Own[0].Decrypt(ctx, from.Address(), m, nil)
	require.NoError(t, err)
	if acknowledge {
		require.NoError(t, w.Own[0].Acknowledge(ctx, r))
	}
}

// A directory knows the devices of the world.
type directory struct{ w *World }

func (r directory) device(a session.Address) *session.Device {
	for _, d := range r.w.Peers {
		if d.Address() == a {
			return d
		}
	}
	return nil
}

func (r directory) Devices(_ context.Context, user string) (out []session.PeerDevice, err error) {
	for _, d := range r.w.Peers {
		if d.Address().User == user {
			out = append(out, session.PeerDevice{Device: d.Address().Device, RegistrationID: d.RegistrationID()})
		}
	}
	return out, nil
}

func (r directory) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	return r.device(peer).Bundle(ctx)
}

func (directory) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// others makes a copy of a message, a request for one, an event, a record of an
// app's, those of a group, a list of devices that is not whole, and the mark of a code by which a
// device was linked.
func (w *World) others(t testing.TB) {
	own := w.Own[0]
	_, err := own.Send(ctx, []string{Peers[1].User}, &session.Content{Body: []byte(Copied)}, nil)
	require.NoError(t, err)
	lost, err := w.Peers[1].Encrypt(ctx, own.Address(), []byte("lost"))
	require.NoError(t, err)
	_, err = own.RequestRetry(ctx, Peers[1], lost, w.Now, session.ErrAuth)
	require.NoError(t, err)
	require.NoError(t, own.Update(ctx, nil, func(tx *session.Tx) error {
		if err := tx.Put(keystore.Key{Kind: "draft", Owner: Peers[0].User}, []byte("of an app")); err != nil {
			return err
		}
		if err := w.group(tx); err != nil {
			return err
		}
		return tx.Emit(session.Event{Kind: session.SessionRenewed, Address: Peers[0]})
	}))
	w.link(t)
	peer := wire.Peer{Devices: []wire.PeerDevice{{ID: 1, RegistrationID: 99}, {ID: 2}}}
	_, err = w.Store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: keystore.Key{Scope: Own[0].String(), Kind: "peer", Owner: Peers[0].User},
		Value: wire.AppendPeer([]byte{1}, &peer)})
	require.NoError(t, err)
}

// group has the first device be in a group, as if a peer had given it a sender key,
// and it one to the peer.
func (w *World) group(tx *session.Tx) error {
	id := wire.ServiceID{UUID: [16]byte([]byte("arisan_keluarga!"))}
	signing, now := keys.GenerateSigningKey(), uint64(w.Now.UnixMilli())
	state := wire.SenderKeyState{ChainID: 1, Iteration: 7, ChainKey: keys.GenerateSigningKey().PrivateBytes(), SigningPublic: signing.Public().Bytes(), Version: 3}
	own := state
	own.SigningPrivate = signing.PrivateBytes()
	state.Identity = w.Peers[0].Identity().Bytes()
	name := func(a session.Address) string { return fmt.Sprint(a.Device, ",", id) }
	list := wire.SenderKeyIndex{Entries: []wire.SenderKeyEntry{{ID: id.UUID[:], At: now, Identity: state.Identity}}}
	g := wire.Group{Members: []string{Peers[0].User}, ID: id.UUID[:], Chain: 1, Since: now, Given: []wire.GroupKey{
		{User: Peers[0].User, Device: Peers[0].Device, RegistrationID: 99, Identity: state.Identity, SentAt: now, Taken: true}}}
	for k, body := range map[keystore.Key][]byte{
		{Owner: Own[0].User, Name: name(Own[0])}:                  wire.AppendSenderKeyRecord(nil, &wire.SenderKeyRecord{States: []wire.SenderKeyState{own}}),
		{Owner: Peers[0].User, Name: name(Peers[0])}:              wire.AppendSenderKeyRecord(nil, &wire.SenderKeyRecord{States: []wire.SenderKeyState{state}}),
		{Owner: Peers[0].User, Name: fmt.Sprint(Peers[0].Device)}: wire.AppendSenderKeyIndex(nil, &list),
		{Owner: "arisan", Kind: "group"}:                          wire.AppendGroup(nil, &g),
	} {
		k.Kind = cmp.Or(k.Kind, "senderkey")
		if err := tx.Put(k, body); err != nil {
			return err
		}
	}
	return nil
}

// link has the first device give its account to a new one, which then is not set
// up.
func (w *World) link(t testing.TB) {
	l, err := session.GenerateLink(session.Address{User: Own[0].User, Device: 9}, w.opts)
	require.NoError(t, err)
	_, err = w.Own[0].Link(ctx, l.Code(), l.PublicKey())
	require.NoError(t, err)
}

// Talk has a message go there and one back, which are acknowledged.
func Talk(t testing.TB, a, b *session.Device) {
	t.Helper()
	for n, from := range []*session.Device{a, b} {
		to := []*session.Device{b, a}[n]
		text := fmt.Sprint("halo ", n)
		m, err := from.Encrypt(ctx, to.Address(), []byte(text))
		require.NoError(t, err)
		r, err := to.Decrypt(ctx, from.Address(), m, nil)
		require.NoError(t, err)
		require.Equal(t, text, string(r.Plaintext))
		require.NoError(t, to.Acknowledge(ctx, r))
	}
}
