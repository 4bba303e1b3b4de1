package person

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

var errStop = errors.New("stop")

// atEachStop runs do on a store that fails from the n-th Commit on, for each n until
// there are no more Commits, and goes on in a new process, or in the same one once the
// store works again.
func atEachStop(t *testing.T, begin func(t *testing.T) *testPerson, do func(p *testPerson) error, check func(t *testing.T, p *testPerson)) {
	for _, how := range []string{"stopped", "full"} {
		for n := 0; ; n++ {
			p := begin(t)
			inner := p.store
			store := &stopping{Store: inner, after: n, err: errStop}
			if how == "full" {
				store.err = keystore.ErrFull
			}
			role := p.role
			p = newTestPerson(t, p.me, p.to, store)
			p.role = role
			require.NoError(t, p.recall(t.Context()))
			_ = do(p)
			done := store.after > 0
			store.after = 1 << 30
			if how == "stopped" {
				p = newTestPerson(t, p.me, p.to, inner)
				p.role = role
				require.NoError(t, p.announceAnswers(t.Context(), ""))
				require.NoError(t, p.recall(t.Context()))
			}
			check(t, p)
			if done {
				break
			}
		}
	}
}

// A message under another key brings news of that, and is there once.
func TestStopWhileHearing(t *testing.T) {
	atEachStop(t, func(t *testing.T) *testPerson {
		r, ani, _ := twoFriends(t)
		budi := newTestPerson(t, budi1, r, keystore.NewMemory())
		budi.arrives(t)
		require.NoError(t, budi.Last(t.Context(), "ani", 3600e9))
		budi.drained()
		budi.sends(t, "ani", "a new phone")
		return ani
	}, func(p *testPerson) error { return p.receiveSome(t.Context()) }, func(t *testing.T, p *testPerson) {
		require.NoError(t, p.catchUp(t.Context()))
		if len(p.to.(*testRelay).Mail(ani1)) > 0 {
			require.NoError(t, p.receiveSome(t.Context()))
		}
		require.Equal(t, []string{"one", "two", "<changed>", "<hosting>", "<timer>", "a new phone"}, p.history(t, "budi"))
		require.True(t, p.with(t, "budi").Changed)
	})
}

// A key that was accepted is, and that is announced once.
func TestStopWhileAccepting(t *testing.T) {
	atEachStop(t, func(t *testing.T) *testPerson {
		r, ani, _ := twoFriends(t)
		budi := newTestPerson(t, budi1, r, keystore.NewMemory())
		budi.arrives(t)
		budi.sends(t, "ani", "a new phone")
		require.NoError(t, ani.receiveSome(t.Context()))
		return ani
	}, func(p *testPerson) error { return p.Accept(t.Context(), "budi") }, func(t *testing.T, p *testPerson) {
		c, err := p.Conversation(t.Context(), "budi")
		require.NoError(t, err)
		if c.Changed { // still, or as far as this process knows
			require.NoError(t, p.Accept(t.Context(), "budi"))
		}
		c = p.with(t, "budi")
		require.False(t, c.Changed)
		if c.Asks != nil {
			require.NoError(t, p.Answer(t.Context(), "budi", c.Question, true))
		}
		all := p.history(t, "budi")
		require.Equal(t, "<agreed>", all[5])
		p.drained()
		require.NoError(t, p.Write(t.Context(), "budi", "three"))
		left, err := p.Flush(t.Context())
		require.NoError(t, err)
		require.Zero(t, left)
	})
}

// What was answered is announced once, and holds.
func TestStopWhileAnswering(t *testing.T) {
	for _, yes := range []bool{true, false} {
		atEachStop(t, func(t *testing.T) *testPerson {
			_, ani, awan, _ := customers(t)
			require.NoError(t, awan.Write(t.Context(), "ani", "we have moved"))
			require.NoError(t, ani.receiveSome(t.Context()))
			return ani
		}, func(p *testPerson) error {
			c, err := p.Conversation(t.Context(), "toko")
			require.NoError(t, err)
			return p.Answer(t.Context(), "toko", c.Question, yes)
		}, func(t *testing.T, p *testPerson) {
			if c := p.with(t, "toko"); c.Asks != nil {
				require.NoError(t, p.Answer(t.Context(), "toko", c.Question, yes))
			}
			require.Equal(t, !yes, p.with(t, "toko").Declined)
			p = p.reloaded(t)
			require.NoError(t, p.announceAnswers(t.Context(), ""))
			require.Equal(t, []string{"one", "<hosting>", "we have moved", "<agreed>"}, p.history(t, "toko"))
			_ = p.Write(t.Context(), "toko", "two")
			_, err := p.Flush(t.Context())
			require.NoError(t, err)
			require.Equal(t, yes, slices.Contains(p.texts(t, kindHistory), "two"))
		})
	}
}

// A group that was announced to one is announced to all.
func TestStopWhileGathering(t *testing.T) {
	atEachStop(t, func(t *testing.T) *testPerson {
		_, ani, budi := twoPeople(t)
		budi.arrives(t)
		return ani
	}, func(p *testPerson) error {
		if err := p.Gather(t.Context(), "family", []string{"budi"}); err != nil {
			return err
		}
		_, err := p.Flush(t.Context())
		return err
	}, func(t *testing.T, p *testPerson) {
		if len(p.with(t, testFamily).Members) == 0 {
			require.NoError(t, p.Gather(t.Context(), "family", []string{"budi"}))
		}
		left, err := p.Flush(t.Context())
		require.NoError(t, err)
		require.Zero(t, left)
		require.Equal(t, []string{"<group>"}, p.history(t, testFamily))
		require.Len(t, p.to.(*testRelay).Mail(budi1), 1)
	})
}
