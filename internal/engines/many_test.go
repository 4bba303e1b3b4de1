package engines_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

func init() { jobs["device"] = beDevice }

var (
	alice = session.Address{User: "alice", Device: 1} // the one that has many processes
	peers = []session.Address{{User: "bob", Device: 1}, {User: "carol", Device: 2}, {User: "dave", Device: 3}}
)

// An order is to read what came from a peer, or else to send a text, to one of
// them or to all at once.
type order struct {
	Peer session.Address
	Read *session.Message
	Text string
}

type answer struct {
	Sent        map[string]*session.Message // by user
	ID          session.MessageID
	Redelivered bool
	Text        string
	Reruns      int // of computations
	Repeats     int // of operations, after they had lost too often
}

// A watcher is a store that keeps whose sessions the last Commit conflicted
// with, and which versions of them were loaded last, by user.
type watcher struct {
	keystore.Store
	named    map[string]bool
	versions map[string]uint64
	losses   int
}

func (w *watcher) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	records, err := w.Store.Load(ctx, keys...)
	for _, r := range records {
		if r.Key.Kind == "session" {
			w.versions[r.Key.Owner] = r.Version
		}
	}
	return records, err
}

func (w *watcher) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	v, err := w.Store.Commit(ctx, changes...)
	if conflict, ok := errors.AsType[*keystore.ConflictError](err); ok {
		w.named = map[string]bool{}
		for _, k := range conflict.Keys {
			w.named[k.Owner] = true
		}
		w.losses++
	}
	return v, err
}

// beDevice is one of the processes of alice.
func beDevice(name, place string, orders *json.Decoder, answers *json.Encoder) error {
	s, err := engine.Open(ctx, name, place)
	if err != nil {
		return err
	}
	w := &watcher{Store: s, versions: map[string]uint64{}}
	d, err := session.Open(ctx, w, alice, nil)
	if err != nil {
		return err
	}
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			return errors.Join(s.Close(), err)
		}
		a, err := carryOut(d, w, &o)
		if err != nil {
			return err
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// carryOut does it until it is done: whoever loses too often tries again.
func carryOut(d *session.Device, w *watcher, o *order) (*answer, error) {
	w.losses = 0
	for repeats := 0; ; repeats++ {
		a, err := try(d, w, o)
		if conflict := (*keystore.ConflictError)(nil); errors.As(err, &conflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a.Reruns, a.Repeats = w.losses, repeats
		return a, nil
	}
}

func try(d *session.Device, w *watcher, o *order) (a *answer, err error) {
	a = &answer{Sent: map[string]*session.Message{}}
	switch {
	case o.Read != nil:
		r, err := d.Decrypt(ctx, o.Peer, o.Read, nil)
		if err != nil {
			return nil, err
		}
		a.ID, a.Redelivered, a.Text = r.ID, r.Redelivered, string(r.Plaintext)
	case o.Peer.User != "":
		a.Sent[o.Peer.User], err = d.Encrypt(ctx, o.Peer, []byte(o.Text))
	default:
		made := map[string]uint64{}
		err = d.Update(ctx, peers, func(tx *session.Tx) error { return sendToAll(tx, w, a, o.Text, made) })
	}
	return a, err
}

// sendToAll may run again. Then it gets the very messages that it got before for
// those whose sessions are as they were, and new ones for the others, among them
// all whom the conflict named.
func sendToAll(tx *session.Tx, w *watcher, a *answer, text string, made map[string]uint64) error {
	for _, p := range peers {
		m, err := tx.Encrypt(p, []byte(text))
		if err != nil {
			return err
		}
		past, moved := a.Sent[p.User], made[p.User] != w.versions[p.User]
		if past != nil && ((past == m) == moved || w.named[p.User] && !moved) {
			return fmt.Errorf("a conflict named %v; %s: the same message %v, another session %v", w.named, p.User, past == m, moved)
		}
		a.Sent[p.User], made[p.User] = m, w.versions[p.User]
	}
	return nil
}

// A crowd is alice's processes and her peers, and what became of all messages.
type crowd struct {
	t         *testing.T
	processes []*process
	peers     map[string]*session.Device
	counters  map[string]bool // by ratchet key and counter
	ids       map[session.MessageID]string
	rng       *rand.Rand
	sum       answer
}

func newCrowd(t *testing.T, name, place string, processes int) *crowd {
	c := &crowd{t: t, peers: map[string]*session.Device{}, counters: map[string]bool{}, ids: map[session.MessageID]string{}, rng: rand.New(rand.NewPCG(1, 2))}
	s, err := engine.Open(ctx, name, place)
	require.NoError(t, err)
	defer s.Close()
	d, err := session.Create(ctx, s, session.Account{Address: alice}, nil)
	require.NoError(t, err)
	for _, p := range peers {
		c.peers[p.User], err = session.Create(ctx, keystore.NewMemory(), session.Account{Address: p}, nil)
		require.NoError(t, err)
		b, err := c.peers[p.User].Bundle(ctx)
		require.NoError(t, err)
		require.NoError(t, d.Begin(ctx, p, b))
	}
	for range processes {
		c.processes = append(c.processes, start(t, "device", name, place))
	}
	return c
}

// round has every process send and read at once.
func (c *crowd) round(n int) {
	all := make([][]order, len(c.processes))
	for i := range all {
		all[i] = append(all[i], order{Text: fmt.Sprint("all ", n, i)}, order{Peer: peers[c.rng.IntN(len(peers))], Text: fmt.Sprint("one ", n, i)})
	}
	if n > 0 { // peers have sessions by now
		for _, p := range peers {
			for i := range 2 {
				text := fmt.Sprint(p.User, n, i)
				m, err := c.peers[p.User].Encrypt(ctx, alice, []byte(text))
				require.NoError(c.t, err)
				for _, to := range c.rng.Perm(len(all))[:2] { // a server that delivers twice
					all[to] = append(all[to], order{Peer: p, Read: m, Text: text})
				}
			}
		}
	}
	for i, orders := range all {
		c.rng.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		for _, o := range orders {
			c.processes[i].order(o)
		}
	}
	var sent []order
	fresh := map[string]int{}
	for i, orders := range all {
		for _, o := range orders {
			var a answer
			c.processes[i].answer(&a)
			c.sum.Reruns += a.Reruns
			c.sum.Repeats += a.Repeats
			if o.Read != nil {
				c.hasRead(&o, &a, fresh)
			}
			for user, m := range a.Sent {
				sent = append(sent, order{Peer: c.peers[user].Address(), Read: m, Text: o.Text})
			}
		}
	}
	for text, times := range fresh {
		require.Equal(c.t, 1, times, "%s was new to so many processes", text)
	}
	c.deliver(sent)
}

func (c *crowd) hasRead(o *order, a *answer, fresh map[string]int) {
	require.Equal(c.t, o.Text, a.Text)
	if text, known := c.ids[a.ID]; known {
		require.Equal(c.t, text, a.Text)
	}
	c.ids[a.ID] = a.Text
	fresh[a.Text] += 0
	if !a.Redelivered {
		fresh[a.Text]++
	}
}

// deliver has the peers read everything, in any order.
func (c *crowd) deliver(sent []order) {
	c.rng.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
	for _, o := range sent {
		inner, err := wire.ParseSignalMessage(testutil.Inner(c.t, o.Read.Bytes))
		require.NoError(c.t, err)
		counter := fmt.Sprintf("%x %d", inner.RatchetKey, inner.Counter)
		require.False(c.t, c.counters[counter], "a counter was used twice")
		c.counters[counter] = true
		r, err := c.peers[o.Peer.User].Decrypt(ctx, alice, o.Read, nil)
		require.NoError(c.t, err)
		require.False(c.t, r.Redelivered)
		require.Equal(c.t, o.Text, string(r.Plaintext))
	}
}

// A store in SQL is for many processes. Those of one account send and read on
// the same sessions at once. No counter is used twice, each message is read
// once, by its ID, and who loses a race computes again what the conflict names,
// and no more.
func TestSTO_05_ManyProcesses(t *testing.T) {
	bases(t, manyProcesses)
}

func manyProcesses(t *testing.T, b base) {
	for _, processes := range []int{2, 8} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			name, at := b.engine, b.place()
			c := newCrowd(t, name, at, processes)
			const rounds = 5
			for n := range rounds {
				c.round(n)
			}
			for _, p := range c.processes {
				p.end()
			}
			require.Len(t, c.ids, (rounds-1)*2*len(peers))
			require.ElementsMatch(t, unacknowledged(t, name, at), slices.Collect(maps.Keys(c.ids)))
			t.Logf("%d messages sent and %d read; %d computations lost a race, %d operations lost too many", len(c.counters), len(c.ids), c.sum.Reruns, c.sum.Repeats)
		})
	}
}

// unacknowledged returns the IDs of what alice has read.
func unacknowledged(t *testing.T, name, place string) (ids []session.MessageID) {
	s, err := engine.Open(ctx, name, place)
	require.NoError(t, err)
	defer s.Close()
	d, err := session.Open(ctx, s, alice, nil)
	require.NoError(t, err)
	for r, err := range d.Unacknowledged(ctx) {
		require.NoError(t, err)
		ids = append(ids, r.ID)
	}
	return ids
}
