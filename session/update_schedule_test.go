package session_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A desk is a device that does all it does in Updates, while another one of
// the same account gets in their way, and its peers.
type desk struct {
	t       *testing.T
	rng     *rand.Rand
	s       *side // what is in the way
	others  []*side
	at      []session.Address
	unread  [][]*session.Message // by peer, of theirs
	old     [][]*session.Message // that were read
	read    map[session.MessageID]int
	used    map[string]bool // counters of what went out
	updates int             // that were committed
}

// An outcome is what f of an Update did when it ran last.
type outcome struct {
	sent [][]*session.Message
	got  []*session.Received
	took []int // of the unread ones, by peer
}

// Random Updates of many steps, which come out in another order whenever they
// run again, on sessions that are begun anew now and then: no counter is used
// twice, everything is read, once, and what goes with it is done once.
func TestUpdateSchedules(t *testing.T) {
	seeds, rounds := uint64(4), 60
	if testing.Short() {
		seeds, rounds = 2, 30
	}
	for seed := range seeds {
		s, others, at := crowd(t, 3)
		d := &desk{t: t, rng: rand.New(rand.NewPCG(seed, 9)), s: s, others: others, at: at,
			unread: make([][]*session.Message, 3), old: make([][]*session.Message, 3), read: map[session.MessageID]int{}, used: map[string]bool{}}
		s.acknowledges(t, s.waiting(t)...)
		dev, watch := s.spied(t)
		for range rounds {
			d.mail()
			inWay := d.rng.IntN(3)
			watch.fail = func(call string, _ int) error {
				switch {
				case call == "load" && inWay > 0 && d.rng.IntN(4) == 0, call == "commit" && inWay > 0:
					inWay--
					d.meddle()
				case call == "commit" && d.rng.IntN(8) == 0:
					return keystore.ErrCommitUnknown // it was not made
				}
				return nil
			}
			var out *outcome
			err := dev.Update(ctx, at[:d.rng.IntN(4)], func(tx *session.Tx) (err error) {
				out, err = d.steps(tx)
				return err
			})
			watch.fail = nil
			if !errors.Is(err, keystore.ErrCommitUnknown) { // the others were faster, too: it cannot be told
				require.NoError(t, err)
				d.settle(out)
			}
		}
		d.end()
	}
}

// mail has peers write, or begin anew.
func (d *desk) mail() {
	for i, o := range d.others {
		switch n := d.rng.IntN(20); {
		case n == 0:
			o.begin(d.t, d.s)
		case n == 1:
			d.s.begin(d.t, o)
		case n < 12 && len(d.unread[i]) < 3:
			d.unread[i] = append(d.unread[i], o.send(d.t, d.s, "for the desk"))
		}
	}
}

// meddle does something else on the same records.
func (d *desk) meddle() {
	i := d.rng.IntN(3)
	switch d.rng.IntN(4) {
	case 0, 1:
		d.out(i, d.s.send(d.t, d.others[i], "in the way"))
	case 2:
		if len(d.unread[i]) > 0 {
			r, err := d.s.Decrypt(ctx, d.at[i], d.unread[i][0], nil)
			require.NoError(d.t, err)
			d.in(r)
		}
	case 3:
		d.s.begin(d.t, d.others[i])
	}
}

// steps is f. The only error is of an Update that has lost already.
func (d *desk) steps(tx *session.Tx) (*outcome, error) {
	out := &outcome{sent: make([][]*session.Message, 3), took: make([]int, 3)}
	for range 1 + d.rng.IntN(6) {
		i := d.rng.IntN(3)
		switch n := d.rng.IntN(10); {
		case n < 4:
			m, err := tx.Encrypt(d.at[i], []byte("the same each time"))
			if conflict(err) {
				return nil, err
			}
			require.NoError(d.t, err)
			out.sent[i] = append(out.sent[i], m)
		case n < 7 && out.took[i] < len(d.unread[i]):
			r, err := tx.Decrypt(d.at[i], d.unread[i][out.took[i]], nil)
			if conflict(err) {
				return nil, err
			}
			require.NoError(d.t, err)
			out.got, out.took[i] = append(out.got, r), out.took[i]+1
		case n < 8 && len(d.old[i]) > 0:
			r, err := tx.Decrypt(d.at[i], d.old[i][d.rng.IntN(len(d.old[i]))], nil)
			switch {
			case err == nil:
				require.True(d.t, r.Redelivered)
			case !conflict(err): // which f need not mind
				refused(d.t, err, session.ErrDuplicate)
			}
		case n < 9 && len(d.unread[i]) > 0 && d.unread[i][0].Type == session.TypeSignal:
			_, err := tx.Decrypt(d.at[i], flip(d.unread[i][0], -1, 1), nil)
			require.Error(d.t, err)
		}
	}
	body, _, err := tx.Get(draft)
	require.NoError(d.t, err)
	require.NoError(d.t, tx.Put(draft, append(body, '|')))
	return out, tx.Emit(session.Event{Kind: session.PreKeysLow})
}

// settle takes in what an Update did that was committed.
func (d *desk) settle(out *outcome) {
	d.updates++
	for _, r := range out.got {
		d.in(r)
		if d.rng.IntN(2) == 0 {
			d.s.acknowledges(d.t, r)
		}
	}
	for i, ms := range out.sent {
		d.rng.Shuffle(len(ms), func(a, b int) { ms[a], ms[b] = ms[b], ms[a] })
		for _, m := range ms {
			d.out(i, m)
		}
		d.old[i] = append(d.old[i], d.unread[i][:out.took[i]]...)
		d.unread[i] = d.unread[i][out.took[i]:]
	}
}

func (d *desk) in(r *session.Received) {
	if !r.Redelivered {
		d.read[r.ID]++
	}
	require.Equal(d.t, 1, d.read[r.ID], "read first, and once")
}

func (d *desk) out(i int, m *session.Message) {
	in := inner(d.t, m)
	id := string(in.RatchetKey) + decimal(in.Counter)
	require.False(d.t, d.used[id], "a counter twice")
	d.used[id] = true
	_, err := d.others[i].Decrypt(ctx, d.s.Address(), m, nil)
	require.NoError(d.t, err)
}

func (d *desk) end() {
	for i, ms := range d.unread {
		for _, m := range ms {
			r, err := d.s.Decrypt(ctx, d.at[i], m, nil)
			require.NoError(d.t, err)
			d.in(r)
		}
	}
	require.Len(d.t, body(d.t, d.s, draft), d.updates)
	require.Len(d.t, d.s.list(d.t, "event", "-"), d.updates)
}
