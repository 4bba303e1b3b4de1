package spqr_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

var steps = flag.Int("steps", 1_000_000, "messages of the healing schedules, all together; a tenth with -short")

// A packet is a message on its way, and what a test knows of it.
type packet struct {
	msg   []byte
	key   [32]byte
	epoch uint64
	read  bool
}

// A network is two sides and what is under way to each.
type network struct {
	t     require.TestingT
	sides [2]*spqr.State
	queue [2][]*packet // to that side
	sent  [2]map[uint64]int
	draw  func(int) []byte
	total int
	lost  int // by a window
}

func newNetwork(t require.TestingT) *network {
	auth := &[32]byte{3}
	n := &network{t: t, draw: stream("network")}
	for i := range n.sides {
		n.sides[i] = spqr.New(auth, i == 0, 0)
		n.sent[i] = map[uint64]int{}
	}
	return n
}

// send lets a side send.
func (n *network) send(from int) {
	s := n.sides[from]
	next, msg, key, err := s.SendWith(n.draw)
	require.NoError(n.t, err)
	n.sides[from] = next
	n.sent[from][s.Epoch()]++
	n.total++
	n.queue[1-from] = append(n.queue[1-from], &packet{msg: msg, key: *key, epoch: s.Epoch()})
}

// deliver delivers packet i to a side, or another copy of it.
func (n *network) deliver(to, i int, keep bool) {
	p := n.queue[to][i]
	if !keep {
		n.queue[to] = append(n.queue[to][:i], n.queue[to][i+1:]...)
	}
	s := n.sides[to]
	_, checked := s.Check(p.msg)
	next, key, err := s.Recv(p.msg)
	switch {
	case err == nil:
		require.NoError(n.t, checked)
		require.False(n.t, p.read, "a key is given out once")
		require.Equal(n.t, p.key, *key)
		n.sides[to], p.read = next, true
	case p.read:
		require.True(n.t, errors.Is(err, spqr.ErrUsed) || errors.Is(err, spqr.ErrTrimmed) || errors.Is(err, spqr.ErrEpoch), err)
		require.Equal(n.t, checked, err)
	default: // the windows of a chain: two epochs back, or 2,000 keys
		if !errors.Is(err, spqr.ErrTrimmed) {
			require.ErrorIs(n.t, err, spqr.ErrEpoch)
			require.Less(n.t, p.epoch, s.Sending())
		}
		n.lost++
	}
}

func (n *network) drop(to, i int) {
	n.queue[to] = append(n.queue[to][:i], n.queue[to][i+1:]...)
}

// reload takes a side through its stored form.
func (n *network) reload(side int) {
	b := n.sides[side].Append(nil)
	s, err := spqr.Parse(b)
	require.NoError(n.t, err)
	require.Equal(n.t, b, s.Append(nil))
	n.sides[side] = s
}

// TestConversationProperty: whatever is lost, late or doubled, each message that
// is delivered has the key it was sent with, and all of it survives in stored
// form at every step.
func TestConversationProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNetwork(t)
		for range rapid.IntRange(0, 100).Draw(t, "rounds before") {
			n.send(0)
			n.deliver(1, 0, false)
			n.send(1)
			n.deliver(0, 0, false)
		}
		for _, b := range rapid.SliceOfN(rapid.Uint16(), 100, 400).Draw(t, "schedule") {
			side, which := int(b&1), int(b>>4)
			queue := len(n.queue[side])
			switch action := b >> 1 & 7; {
			case action < 3:
				n.send(side)
			case queue == 0:
				continue
			case action < 6:
				n.deliver(side, which%queue, false)
			case action == 6:
				n.deliver(side, which%queue, true)
			default:
				n.drop(side, which%queue)
			}
			n.reload(0)
			n.reload(1)
		}
	})
}

// A schedule does one step of a conversation.
type schedule struct {
	name string
	step func(n *network, r *rand.Rand)
	// fewest bounds, for each epoch, the messages of the side that sent fewer;
	// average those of both per epoch.
	fewest, average int
}

func flush(n *network, to int) {
	for len(n.queue[to]) > 0 {
		n.deliver(to, 0, false)
	}
}

func coin(r *rand.Rand, p float64) bool { return r.Float64() < p }

func talk(p float64) func(n *network, r *rand.Rand) {
	return func(n *network, r *rand.Rand) {
		from := 0
		if !coin(r, p) {
			from = 1
		}
		n.send(from)
		flush(n, 1-from)
	}
}

func schedules() []schedule {
	online := [2]bool{true, true}
	return []schedule{
		{"ping-pong", func(n *network, _ *rand.Rand) {
			n.send(0)
			flush(n, 1)
			n.send(1)
			flush(n, 0)
		}, 43, 87},
		{"balanced", talk(0.5), 80, 120},
		{"one-sided", talk(0.95), 60, 1000},
		{"a third", talk(0.33), 80, 150},
		{"online and offline", func(n *network, r *rand.Rand) {
			for i := range online {
				if coin(r, 0.05) {
					online[i] = !online[i]
				}
				if online[i] {
					flush(n, i)
					n.send(i)
				}
			}
		}, 250, 200},
		{"chaos", func(n *network, r *rand.Rand) {
			side := r.IntN(2)
			for range r.IntN(10) {
				n.send(side)
			}
			for range r.IntN(14) {
				to := r.IntN(2)
				queue := len(n.queue[to])
				switch {
				case queue == 0:
				case coin(r, 0.1):
					n.drop(to, r.IntN(queue))
				case coin(r, 0.05):
					n.deliver(to, r.IntN(queue), true)
				case coin(r, 0.7):
					n.deliver(to, r.IntN(queue), false)
				default:
					n.deliver(to, 0, false)
				}
			}
		}, 300, 250},
	}
}

// TestSPQR_11_Healing: epochs follow one another on every schedule.
func TestSPQR_11_Healing(t *testing.T) {
	all := schedules()
	share := *steps / len(all)
	if testing.Short() {
		share /= 10
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			r := rand.New(rand.NewPCG(11, 11))
			for i := 0; n.total < share; i++ {
				c.step(n, r)
				if i%64 == 0 {
					n.reload(i / 64 % 2)
				}
			}
			epochs := min(n.sides[0].Epoch(), n.sides[1].Epoch())
			var histogram [12]int // of the fewer messages, by tens; the last has all above
			most := 0
			for e := uint64(1); e < epochs; e++ {
				fewer := min(n.sent[0][e], n.sent[1][e])
				most = max(most, fewer)
				histogram[min(fewer/10, len(histogram)-1)]++
			}
			t.Logf("%d messages, %d epochs, at most %d of the side that sent fewer, lost by a window %d, by tens %v",
				n.total, epochs, most, n.lost, histogram)
			require.LessOrEqual(t, most, c.fewest)
			require.LessOrEqual(t, n.total, c.average*int(epochs))
		})
	}
}
