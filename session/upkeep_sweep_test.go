package session_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// plantMarks puts n marks of a UTC day.
func (s *side) plantMarks(t testing.TB, dayNumber, n int) {
	t.Helper()
	var changes []keystore.Change
	for i := range n {
		k := s.key("mark", strconv.Itoa(dayNumber), fmt.Sprintf("%064x", i))
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: k, Value: []byte{1}})
	}
	_, err := s.store.Commit(ctx, changes...)
	require.NoError(t, err)
}

// markDays lists the days, before today, that have marks.
func (p *pair) markDays(t testing.TB) map[int]int {
	t.Helper()
	out := map[int]int{}
	for _, r := range p.bob.list(t, "mark", "") {
		n, err := strconv.Atoi(r.Key.Owner)
		require.NoError(t, err)
		out[p.today()-n]++
	}
	return out
}

func (p *pair) today() int { return int(p.now.Unix() / 86400) }

func TestSweepOfMarks(t *testing.T) {
	p := keeping(t, few)
	for _, ago := range []int{0, 1, 7, 8, 9, 10, 400} {
		p.bob.plantMarks(t, p.today()-ago, 2)
	}
	p.bob.kept(t)
	require.Equal(t, map[int]int{0: 2, 1: 2, 7: 2, 8: 2}, p.markDays(t))

	// The next day, one day is looked at.
	p.now = p.now.Add(day)
	dev, watch := p.bob.spied(t)
	require.Nil(t, dev.upkeep(t))
	require.Equal(t, 4+1+5, watch.lists, "prekeys, a day of marks, events, staged messages, copies, retries, base keys")
	require.Len(t, watch.commits, 1)
	require.Equal(t, map[int]int{1: 2, 2: 2, 8: 2}, p.markDays(t))
	p.now = p.now.Add(day)
	p.bob.kept(t)
	require.Equal(t, map[int]int{2: 2, 3: 2}, p.markDays(t))

	// After some days away, each of them; after many, all there is.
	p.now = p.now.Add(6 * day)
	p.bob.plantMarks(t, p.today()-10, 1)
	p.bob.plantMarks(t, p.today()-30, 1) // swept long ago: not looked at
	p.bob.kept(t)
	require.Equal(t, map[int]int{8: 2, 30: 1}, p.markDays(t))
	p.now = p.now.Add(100 * day)
	p.bob.kept(t)
	require.Empty(t, p.markDays(t))

	// A clock that goes back sweeps by what it shows.
	p.now = p.now.Add(-50 * day)
	p.bob.plantMarks(t, p.today()-8, 1)
	p.bob.plantMarks(t, p.today()-9, 1)
	p.bob.plantMarks(t, p.today()+20, 1)
	p.bob.kept(t)
	require.Equal(t, map[int]int{8: 1, -20: 1}, p.markDays(t))
}

// What does not fit one commit takes more, and the day counts as swept when
// the last is made.
func TestSweepInBatches(t *testing.T) {
	p := keeping(t, few)
	p.bob.kept(t)
	old := p.today() - 8
	p.bob.plantMarks(t, old, 1100)
	p.now = p.now.Add(day)
	dev, watch := p.bob.spied(t)
	watch.fail = func(call string, _ int) error {
		if call == "commit" && len(watch.commits) == 2 {
			return errInjected
		}
		return nil
	}
	_, err := dev.Upkeep(ctx)
	require.ErrorIs(t, err, errInjected)
	require.Equal(t, map[int]int{9: 600}, p.markDays(t))
	require.True(t, dev.due(t).Sweep)
	watch.fail = nil
	watch.reset()
	require.Nil(t, dev.upkeep(t))
	require.Empty(t, p.markDays(t))
	require.Len(t, watch.commits, 2)
	for _, changes := range watch.commits {
		require.LessOrEqual(t, len(changes), 510)
	}
	p.bob.nothing(t)
}

// Base keys go with their prekeys, in batches too, and others stay.
func TestSweepOfBaseKeys(t *testing.T) {
	p := keeping(t, few)
	made := p.now
	p.bob.kept(t)
	plant := func(pair string, n int) {
		var changes []keystore.Change
		for i := range n {
			changes = append(changes, keystore.Change{Op: keystore.Put, Key: p.bob.key("basekey", pair, fmt.Sprintf("%064x", i)), Value: []byte{1}})
		}
		_, err := p.bob.store.Commit(ctx, changes...)
		require.NoError(t, err)
	}
	pair := p.bob.list(t, "signed", "-")[0].Key.Name + "," + p.bob.list(t, "lastresort", "-")[0].Key.Name
	plant(pair, 700)
	plant("77,"+p.bob.list(t, "lastresort", "-")[0].Key.Name, 3) // a crash left them
	plant("no pair", 1)
	p.now = made.Add(7 * day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "basekey", ""), 701)
	p.now = made.Add(37 * day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "basekey", pair), 700)
	p.now = p.now.Add(milli)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "basekey", ""), 1)
}

// A pair that another process made after the prekeys were listed is not taken
// for one that is gone: its base keys are what stands against replay.
func TestSweepSparesNewPairs(t *testing.T) {
	p := keeping(t, few)
	p.bob.kept(t)
	p.now = p.now.Add(day)
	dev, watch := p.bob.spied(t)
	pair := ""
	watch.fail = func(call string, _ int) error {
		if call != "list" || watch.lists != 10 || pair != "" { // 10: of base keys
			return nil
		}
		p.bob.remove(t, "lastresort", "-")
		publication, err := p.bob.Publish(ctx)
		require.NoError(t, err)
		pair = decimal(publication.SignedPreKey.ID) + "," + decimal(publication.LastResort.ID)
		p.bob.put(t, p.bob.key("basekey", pair, "hash"), nil)
		return nil
	}
	require.NotNil(t, dev.upkeep(t))
	require.NotEmpty(t, pair)
	require.Len(t, p.bob.list(t, "basekey", pair), 1)
	require.Len(t, p.bob.list(t, "lastresort", "-"), 1)
	require.Len(t, watch.commits, 2, "the first of them in vain")
}

func TestSweepOfEvents(t *testing.T) {
	p := keeping(t, few)
	p.bob.kept(t)
	for id := range uint32(2) {
		p.bob.removeKey(t, "prekey", id+1)
	}
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "event", "-"), 1)
	p.bob.write(t, p.bob.key("event", "-", "damaged"), []byte("\x01\xFF"))
	p.bob.write(t, p.bob.key("event", "-", "newer"), []byte("\x02"))
	p.now = p.now.Add(7 * day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "event", "-"), 3)
	p.now = p.now.Add(day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "event", "-"), 2, "what cannot be read stays")
}

// A staged message past its expiry becomes a mark, at the next day's upkeep,
// with its body.
func TestSweepOfStagedMessages(t *testing.T) {
	p := keeping(t, few)
	p.alice.begin(t, p.bob)
	p.bob.kept(t)
	var sent []*session.Message
	for i, n := range []int{10, 5000, 20, 5000} {
		m, err := p.alice.Encrypt(ctx, p.bob.Address(), make([]byte, n))
		require.NoError(t, err)
		var o session.DecryptOptions
		if i < 2 {
			o.Expires = p.now.Add(day)
		} else if i == 2 {
			o.Expires = p.now.Add(day + milli)
		}
		_, err = p.bob.Decrypt(ctx, p.alice.Address(), m, &o)
		require.NoError(t, err)
		sent = append(sent, m)
	}
	p.now = p.now.Add(day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "staged", ""), 2)
	require.Len(t, p.bob.list(t, "body", ""), 1)
	require.Equal(t, map[int]int{0: 2}, p.markDays(t))
	for _, m := range sent[:2] {
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate) })
	}
	for _, m := range sent[2:] {
		r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
		require.NoError(t, err)
		require.True(t, r.Redelivered)
	}
	p.now = p.now.Add(10 * day)
	p.bob.kept(t)
	require.Len(t, p.bob.list(t, "staged", ""), 1, "the one that never expires")
	require.Equal(t, map[int]int{0: 1}, p.markDays(t))
	// Many take several commits.
	for range 600 {
		m := p.alice.send(t, p.bob, "short")
		_, err := p.bob.Decrypt(ctx, p.alice.Address(), m, &session.DecryptOptions{Expires: p.now.Add(time.Minute)})
		require.NoError(t, err)
	}
	p.now = p.now.Add(day)
	p.bob.kept(t)
	require.Equal(t, map[int]int{0: 600, 1: 1}, p.markDays(t))
}

// upkeeps are the operations of upkeep, for the tests of all operations.
var upkeeps = []operation{
	{"Upkeep", upkeepAfter(0)},
	{"Upkeep for the first time", func(t *testing.T) (*side, run) {
		_, run := upkeepAfter(0)(t)
		return keeping(t, few).bob, run
	}},
	{"Upkeep on another day", upkeepAfter(8 * day)},
	{"Upkeep at the end of their time", upkeepAfter(38 * day)},
	{"Due", func(t *testing.T) (*side, run) {
		return keeping(t, few).bob, on(func(ctx context.Context, d *session.Device) error { _, err := d.Due(ctx); return err })
	}},
}

// upkeepAfter is upkeep of a device that lacks one-time prekeys, some time
// after its prekeys were replaced, with something of each kind to sweep.
func upkeepAfter(later time.Duration) func(t *testing.T) (*side, run) {
	return func(t *testing.T) (*side, run) {
		p := keeping(t, few)
		p.bob.kept(t)
		p.alice.beginLastResort(t, p.bob)
		expiring := func(n int, expires time.Time) {
			m, err := p.alice.Encrypt(ctx, p.bob.Address(), make([]byte, n))
			require.NoError(t, err)
			r, err := p.bob.Decrypt(ctx, aliceAddress, m, &session.DecryptOptions{Expires: expires})
			require.NoError(t, err)
			if n == 0 {
				require.NoError(t, p.bob.Acknowledge(ctx, r))
			}
		}
		expiring(1, p.now.Add(7*day+time.Hour))
		expiring(0, time.Time{})
		p.now = p.now.Add(7 * day)
		p.bob.kept(t)
		expiring(5000, p.now.Add(time.Hour))
		p.bob.removeKey(t, "prekey", 1)
		p.bob.removeKey(t, "prekey", 2)
		p.now = p.now.Add(later)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			out, err := d.Upkeep(ctx)
			if err != nil && out != nil {
				return errors.New("a publication beside the error")
			}
			return err
		})
	}
}

// Two processes keep one device up at once: all is made once.
func TestConcurrentUpkeep(t *testing.T) {
	p := keeping(t, session.PreKeyPolicy{OneTime: 7, Low: 3})
	second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
	require.NoError(t, err)
	for round := range 3 {
		var wg sync.WaitGroup
		all := make([]string, 8)
		for i := range all {
			d := []*session.Device{p.bob.Device, second}[i%2]
			wg.Go(func() {
				publication, err := d.Upkeep(ctx)
				if err == nil && publication != nil {
					all[i] = string(publication.Bytes())
				} else {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, b := range all {
			require.Equal(t, all[0], b)
		}
		require.Len(t, p.bob.list(t, "prekey", "-"), 7)
		require.Len(t, p.bob.list(t, "kem", "-"), 7)
		require.Len(t, p.bob.list(t, "signed", "-"), 1+round)
		p.now = p.now.Add(7 * day)
	}
}

// A born is a prekey that was stored.
type born struct {
	space string
	id    uint32
}

// idSchedule is random upkeep on a store that fails, and what was seen of it.
type idSchedule struct {
	*rapid.T
	tb   *testing.T
	p    *pair
	dev  *side
	keys map[born]string // by id: the public key
}

// Ids never return, whatever is used up, published, bundled, rotated, deleted
// or interrupted, and no key vanishes but by use or age.
func TestIDsNeverReturn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &idSchedule{T: rt, tb: t, p: keeping(t, session.PreKeyPolicy{OneTime: 3, Low: 2, Rotate: 2 * day, Keep: 3 * day}), keys: map[born]string{}}
		start := uint32(rapid.SampledFrom([]int{1, 1<<24 - 20, 1<<24 - 1}).Draw(rt, "start"))
		s.p.bob.put(t, s.p.bob.key("nextid", "-", ""), wire.AppendNextIDs(nil, &wire.NextIDs{PreKey: start, SignedPreKey: start, KEMPreKey: start}))
		dev, watch := s.p.bob.spied(t)
		s.dev = dev
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			stop := rapid.IntRange(0, 12).Draw(rt, "stop")
			watch.calls = 0
			watch.fail = func(_ string, n int) error {
				if n == stop {
					return errInjected
				}
				return nil
			}
			before := testutil.StoreDigest(t, dev.store)
			err := s.step()
			watch.fail = nil
			if err != nil {
				require.ErrorIs(rt, err, errInjected)
				if stop != 0 && len(watch.commits) == 0 {
					require.Equal(rt, before, testutil.StoreDigest(t, dev.store))
				}
			}
			watch.reset()
			s.look()
		}
	})
}

func (s *idSchedule) step() error {
	d := s.dev.Device
	switch rapid.IntRange(0, 5).Draw(s.T, "step") {
	case 0:
		_, err := d.Publish(ctx)
		return err
	case 1:
		_, err := d.Bundle(ctx)
		return err
	case 2: // a peer uses one of each
		for _, kind := range []string{"prekey", "kem"} {
			for _, r := range s.p.bob.list(s.tb, kind, "-") {
				_, err := s.p.bob.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: r.Key, Expect: r.Version})
				require.NoError(s.T, err)
				break
			}
		}
		return nil
	case 3:
		s.p.now = s.p.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(s.T, "hours")) * time.Hour)
		return nil
	}
	publication, err := d.Upkeep(ctx)
	if err == nil && publication != nil && rapid.Bool().Draw(s.T, "upload") {
		err = d.MarkPublished(ctx, publication)
	}
	return err
}

// look sees that no id was given out a second time.
func (s *idSchedule) look() {
	for _, kind := range []string{"prekey", "signed", "kem", "lastresort"} {
		for _, r := range s.p.bob.list(s.tb, kind, "-") {
			stored, err := wire.ParseStoredPreKey(r.Value[1:])
			require.NoError(s.T, err)
			rec, err := wire.ParseSignedPreKeyRecord(stored.Record) // whose first fields a one-time prekey has as well
			require.NoError(s.T, err)
			space := map[string]string{"lastresort": "kem"}[kind]
			if space == "" {
				space = kind
			}
			b := born{space, rec.ID}
			if known, ok := s.keys[b]; ok {
				require.Equal(s.T, known, string(rec.Public), "%s %d came twice", kind, rec.ID)
			}
			s.keys[b] = string(rec.Public)
		}
	}
}
