package hosting_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A reached is a record as it is stored, and the manifests that the user agreed to.
type reached struct {
	stored []byte
	yes    map[[32]byte]bool
}

// A reachStep is one thing that happens, and the hash of what the user agreed to
// by it, if that is so.
type reachStep func(r *hosting.Rules) (to [32]byte, yes bool)

// Every record that few steps lead to, each step after a restart: the account's
// next manifest and a yes end it, whatever was shown and said before, and no key
// that is hosted gets a message without a yes to a manifest that has it.
func TestReach(t *testing.T) {
	depth := 3
	if testing.Short() {
		depth = 2
	}
	w := newReachWorld(t)
	level, seen := []reached{{}}, map[string]bool{}
	for range depth {
		var next []reached
		for _, n := range level {
			for name, step := range w.steps {
				to := w.after(t, n, step)
				if key := to.key(); !seen[key] {
					seen[key], next = true, append(next, to)
					w.checkSends(t, name, to)
					w.checkEnd(t, name, to)
				}
			}
		}
		level = next
	}
	require.Greater(t, len(seen), 50)
}

func (n reached) key() string {
	var yes []string
	for m := range n.yes {
		yes = append(yes, string(m[:]))
	}
	slices.Sort(yes)
	return string(n.stored) + strings.Join(yes, "")
}

type reachWorld struct {
	steps  map[string]reachStep
	hosted map[[32]byte]bool // manifests in which device 2 is hosted
	last   *hosting.Manifest // of the account, newer than all others
}

func newReachWorld(t *testing.T) *reachWorld {
	server := own(1, hosting.OwnerServer)
	m1, m1f := follow(t, nil, server), follow(t, nil, hosted(2, awan()))
	m2, m2f := follow(t, m1, server, hosted(2, awan())), follow(t, m1, server)
	m3 := follow(t, m2, server)
	end := after(m3, server)
	end.Epoch = 20
	w := &reachWorld{
		steps: map[string]reachStep{}, hosted: map[[32]byte]bool{m1f.Hash(): true, m2.Hash(): true},
		last: signed(t, end, accountKey),
	}
	for name, m := range map[string]*hosting.Manifest{"1": m1, "fork of 1": m1f, "2": m2, "fork of 2": m2f, "3": m3} {
		w.see(name, m)
		w.steps["claim "+name] = func(r *hosting.Rules) ([32]byte, bool) { r.Claims(m.Epoch, m.Hash(), start); return [32]byte{}, false }
	}
	w.see("stranger's 2", stranger(t, 2, own(1, hosting.OwnerServer)))
	w.see("stranger's last", stranger(t, math.MaxUint64, own(7, hosting.OwnerServer)))
	for _, at := range []time.Time{start, start.Add(31 * day)} {
		w.steps["yes, "+at.String()] = func(r *hosting.Rules) ([32]byte, bool) { return decided(r, at, true) }
		w.steps["no, "+at.String()] = func(r *hosting.Rules) ([32]byte, bool) { return decided(r, at, false) }
	}
	return w
}

func (w *reachWorld) see(name string, m *hosting.Manifest) {
	w.steps["see "+name] = func(r *hosting.Rules) ([32]byte, bool) { r.SeeVerified(toko, m, start, nil); return [32]byte{}, false }
}

func decided(r *hosting.Rules, at time.Time, yes bool) ([32]byte, bool) {
	var e *hosting.ConsentRequiredError
	if err := r.May(toko, 1, keys.IdentityKey{}, at); !asConsent(err, &e) || r.Decide(toko, e.Token, yes, at) != nil {
		return [32]byte{}, false
	}
	return e.To, yes
}

func (w *reachWorld) after(t *testing.T, n reached, step reachStep) reached {
	r := restored(t, n.stored)
	if to, yes := step(r); yes && !n.yes[to] {
		n.yes = maps.Clone(n.yes)
		if n.yes == nil {
			n.yes = map[[32]byte]bool{}
		}
		n.yes[to] = true
	}
	n.stored = r.Stored()
	return n
}

func restored(t *testing.T, stored []byte) *hosting.Rules {
	r := rules()
	require.NoError(t, r.Restore(stored))
	return r
}

func (w *reachWorld) checkSends(t *testing.T, name string, n reached) {
	for _, at := range []time.Time{start, start.Add(31 * day)} {
		r := restored(t, n.stored)
		l := r.Label(at)
		if l.State == "UNATTESTED" || r.May(toko, 2, deviceKey(2).Public(), at) != nil {
			continue
		}
		require.True(t, l.Hosted(), name)
		agreed := false
		for m := range w.hosted {
			agreed = agreed || n.yes[m]
		}
		require.True(t, agreed, name)
	}
}

// checkEnd leaves out where another key is trusted: one that the user agreed to, or
// the first that was ever shown.
func (w *reachWorld) checkEnd(t *testing.T, name string, n reached) {
	r := restored(t, n.stored)
	r.SeeVerified(toko, w.last, start, nil)
	if r.Trusts(pair(99).Public()) {
		return
	}
	decided(r, start, true)
	require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start), name)
	inState(t, r, start, r.Label(start).State)
}
