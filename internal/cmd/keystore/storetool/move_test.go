package storetool_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// values are the records of a store without their versions.
func values(t testing.TB, s keystore.Store) map[keystore.Key]string {
	t.Helper()
	out := map[keystore.Key]string{}
	for _, r := range testutil.Records(t, s) {
		out[r.Key] = string(r.Value)
	}
	return out
}

func TestMove(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(8)()
	before := testutil.StoreDigest(t, w.Store)
	out := b.runs(t, "move", "memory:own", "memory:new")
	require.Contains(t, out, "Moved and compared 51 records, ")
	require.Contains(t, out, "The generation of the target is 9: apps")
	require.Contains(t, out, "then delete the source")
	require.Equal(t, "copying: 49 of 49 records\ncomparing: 49 of 49 records\n", b.err.String())
	require.Equal(t, before, testutil.StoreDigest(t, w.Store))
	require.Equal(t, values(t, w.Store), values(t, b.stores["new"]))
	require.Equal(t, uint64(9), testutil.Generation(t, b.stores["new"]))
	b.runs(t, "verify", "memory:new")
	goesOn(t, w, b.stores["new"])
}

// goesOn opens the devices of a world in a copy of its store, and has them do
// what they did before.
func goesOn(t testing.TB, w *rich.World, s keystore.Store) {
	t.Helper()
	own, err := w.Open(s, rich.Own[0])
	require.NoError(t, err)
	var texts []string
	for r, err := range own.Unacknowledged(ctx) {
		require.NoError(t, err)
		texts = append(texts, string(r.Plaintext))
		require.NoError(t, own.Acknowledge(ctx, r))
	}
	slices.Sort(texts)
	require.Equal(t, []string{"", rich.Short, rich.Long}, texts)
	for _, p := range w.Peers[:3] {
		rich.Talk(t, p, own)
		rich.Talk(t, own, p)
	}
	bundle, err := own.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, w.Peers[3].Begin(ctx, own.Address(), bundle))
	rich.Talk(t, w.Peers[3], own)
	second, err := w.Open(s, rich.Own[1])
	require.NoError(t, err)
	rich.Talk(t, second, w.Peers[3])
}

var errKilled = errors.New("killed")

// A move that was interrupted before or after any commit leaves a store in which
// no device is opened or made, and goes on.
func TestMoveInterrupted(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(8)()
	want := values(t, w.Store)
	for _, call := range []string{"commit", "committed"} {
		for at := 1; ; at++ {
			s := keystore.NewMemory()
			calls := 0
			b.stores["new"] = &faulty{s, func(c string) error {
				if c == call {
					if calls++; calls == at {
						return errKilled
					}
				}
				return nil
			}}
			code := b.run(t, "move", "memory:own", "memory:new")
			b.stores["new"] = s
			if calls < at {
				require.Zero(t, code)
				require.Equal(t, 10, at)
				break
			}
			require.Equal(t, 1, code)
			require.Contains(t, b.err.String(), "killed")
			whole := call == "committed" && at == 9
			if begun := call == "committed" || at > 1; begun && !whole {
				unusable(t, b, w, s)
			}
			if !whole {
				b.runs(t, "move", "memory:own", "memory:new")
			}
			require.Equal(t, want, values(t, s), "%s %d", call, at)
			b.runs(t, "verify", "memory:new")
		}
	}
	goesOn(t, w, b.stores["new"])
}

// unusable requires that s is seen to be a copy that is not finished.
func unusable(t testing.TB, b *bench, w *rich.World, s keystore.Store) {
	t.Helper()
	before := testutil.StoreDigest(t, s)
	for _, a := range rich.Own {
		_, err := w.Open(s, a)
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		_, err = session.Create(ctx, s, session.Account{Address: a}, nil)
		require.ErrorIs(t, err, session.ErrExists)
	}
	require.Contains(t, b.runs(t, "inspect", "memory:new"), "This store is a copy that was interrupted")
	require.Equal(t, 1, b.run(t, "verify", "memory:new"))
	require.Contains(t, b.out.String(), "the copy is not finished: give the same move again")
	require.Equal(t, 1, b.run(t, "move", "memory:new", "memory:newer"))
	require.Contains(t, b.err.String(), "the source is itself a copy that was interrupted")
	require.Equal(t, before, testutil.StoreDigest(t, s))
}

// A device that an app made in a copy that is not finished is not deleted by the
// move that goes on.
func TestMoveKeepsADeviceOfTheTarget(t *testing.T) {
	b, _ := newBench(t)
	defer storetool.SetBatch(8)()
	s := keystore.NewMemory()
	calls := 0
	b.stores["new"] = &faulty{s, func(c string) error {
		if calls++; calls > 9 {
			return errKilled
		}
		return nil
	}}
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:new"))
	b.stores["new"] = s
	_, err := session.Create(ctx, s, session.Account{Address: session.Address{User: "new", Device: 1}}, nil)
	require.NoError(t, err)
	before := testutil.StoreDigest(t, s)
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:new"))
	require.Contains(t, b.err.String(), "a device that was made there")
	require.Equal(t, before, testutil.StoreDigest(t, s))
}

// What the source had when the move was interrupted, and has no more, goes from
// the target; what it got comes.
func TestMoveGoesOnFromAnotherState(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(8)()
	s := keystore.NewMemory()
	calls := 0
	b.stores["new"] = &faulty{s, func(c string) error {
		if c != "commit" {
			return nil
		}
		if calls++; calls == 7 {
			return errKilled
		}
		return nil
	}}
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:new"))
	b.stores["new"] = s
	for _, p := range w.Peers[:3] {
		rich.Talk(t, p, w.Own[0])
	}
	for _, r := range testutil.Records(t, w.Store) { // the second device moves out
		if r.Key.Scope == rich.Own[1].String() {
			remove(t, w.Store, r.Key)
		}
	}
	b.runs(t, "move", "memory:own", "memory:new")
	require.Equal(t, values(t, w.Store), values(t, s))
	b.runs(t, "verify", "memory:new")
}

// A target that has something is left alone.
func TestMoveIntoSomething(t *testing.T) {
	b, w := newBench(t)
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:own"))
	require.Contains(t, b.err.String(), "the target has records already")
	s := keystore.NewMemory()
	k := testutil.Key("k", "", "")
	v := testutil.Commit(t, s, testutil.Put(k, 0, "v"))
	b.stores["new"] = s
	before := testutil.StoreDigest(t, s)
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:new"))
	require.Contains(t, b.err.String(), "the target has records already")
	require.Equal(t, before, testutil.StoreDigest(t, s))

	testutil.Commit(t, s, testutil.Delete(k, v)) // one that had something is empty
	b.runs(t, "move", "memory:own", "memory:new")
	require.Equal(t, values(t, w.Store), values(t, s))
}

// An empty store, and one without devices, can be moved, too.
func TestMoveNoDevices(t *testing.T) {
	b, _ := newBench(t)
	s := keystore.NewMemory()
	b.stores["few"] = s
	b.runs(t, "move", "memory:few", "memory:none")
	require.Empty(t, values(t, b.stores["none"]))
	testutil.Commit(t, s, testutil.Put(testutil.Key("k", "", ""), 0, ""), testutil.Put(testutil.Key("self", "other", ""), 0, "v"))
	b.runs(t, "move", "memory:few", "memory:new")
	require.Equal(t, values(t, s), values(t, b.stores["new"]))
}

// Values go into commits of about a megabyte.
func TestMoveLarge(t *testing.T) {
	b, _ := newBench(t)
	s := keystore.NewMemory()
	for i, n := range []int{3 << 20, 600 << 10, 600 << 10, 10, 5 << 20} {
		testutil.Commit(t, s, testutil.Put(testutil.Key("k", "", string(rune('a'+i))), 0, string(make([]byte, n))))
	}
	b.stores["large"] = s
	b.runs(t, "move", "memory:large", "memory:new")
	require.Equal(t, values(t, s), values(t, b.stores["new"]))
	require.GreaterOrEqual(t, testutil.Generation(t, b.stores["new"]), uint64(4+2))
}

// A source that changes while it is copied is not moved.
func TestMoveChangedSource(t *testing.T) {
	b, w := newBench(t)
	changes := 0
	k := testutil.Key("k", "", "")
	for _, call := range []string{"list", "load", "generation"} {
		for at := 1; ; at += step() {
			calls := 0
			b.stores["busy"] = &faulty{w.Store, func(c string) error {
				if c == call {
					if calls++; calls == at {
						changes++
						write(t, w.Store, k, []byte{byte(changes)})
					}
				}
				return nil
			}}
			b.stores["new"] = keystore.NewMemory()
			code := b.run(t, "move", "memory:busy", "memory:new")
			if calls < at {
				break
			}
			if code == 0 { // it changed before anything was read
				require.Equal(t, values(t, w.Store), values(t, b.stores["new"]))
				require.Equal(t, 1, at)
				continue
			}
			require.Contains(t, b.err.String(), "stop every app")
			if _, err := w.Open(b.stores["new"], rich.Own[0]); err == nil {
				require.Contains(t, b.err.String(), "delete the target")
			}
		}
	}
}

// A target that does not keep what it is given is not used.
func TestMoveToALiar(t *testing.T) {
	b, w := newBench(t)
	all := testutil.Records(t, w.Store)
	for i := 0; i < len(all); i += step() {
		key, s := all[i].Key, keystore.NewMemory()
		b.stores["new"] = &faulty{s, func(c string) error {
			if r := testutil.Load(t, s, key); c == "load" && r.Version != 0 && r.Value[0] == 1 {
				write(t, s, key, append(r.Value, 'x'))
			}
			return nil
		}}
		require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:new"), key)
		if key.Kind != "self" {
			_, err := w.Open(s, rich.Own[0])
			require.Error(t, err)
		}
	}
}

// A commit of which the target cannot tell whether it was made is looked for.
func TestMoveUnknownCommit(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(8)()
	for _, call := range []string{"commit", "committed"} {
		for at := 1; at <= 9; at++ {
			s := keystore.NewMemory()
			calls := 0
			b.stores["new"] = &faulty{s, func(c string) error {
				if c == call {
					if calls++; calls == at {
						return keystore.ErrCommitUnknown
					}
				}
				return nil
			}}
			if b.run(t, "move", "memory:own", "memory:new") != 0 {
				require.False(t, call == "committed" && at == 9)
				b.runs(t, "move", "memory:own", "memory:new")
			}
			require.Equal(t, values(t, w.Store), values(t, s))
		}
	}
}

// Whatever call of either store's fails, the move fails and can be done again.
func TestMoveFaults(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(30)()
	for _, side := range []string{"own", "new"} {
		for at := 1; ; at += step() {
			s := keystore.NewMemory()
			b.stores = map[string]keystore.Store{"own": w.Store, "new": s}
			calls := 0
			b.stores[side] = &faulty{b.stores[side], func(c string) error {
				if calls++; c != "committed" && calls == at {
					return errKilled
				}
				return nil
			}}
			code := b.run(t, "move", "memory:own", "memory:new")
			if calls < at {
				require.Zero(t, code)
				break
			}
			if code != 0 {
				require.Equal(t, 1, code)
				if code := b.run(t, "move", "memory:own", "memory:new"); code != 0 {
					require.Contains(t, b.err.String(), "the target has records already") // it was through
				}
			}
			require.Equal(t, values(t, w.Store), values(t, s), "%s %d", side, at)
		}
	}
}
