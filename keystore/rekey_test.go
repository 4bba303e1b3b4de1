package keystore_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// many is more records than are sealed anew in two commits.
const many = 150

// fill puts many records, and returns their values.
func fill(t testing.TB, s keystore.Store) map[keystore.Key]string {
	t.Helper()
	values := map[keystore.Key]string{}
	var changes []keystore.Change
	for i := range many {
		k := testutil.Key(fmt.Sprint("kind", i%3), fmt.Sprint("owner", i%7), fmt.Sprint(i))
		values[k] = fmt.Sprint("value", i)
		changes = append(changes, testutil.Put(k, 0, values[k]))
	}
	testutil.Commit(t, s, changes...)
	return values
}

// requireHas requires these records and no others.
func requireHas(t testing.TB, s keystore.Store, values map[keystore.Key]string) {
	t.Helper()
	got := map[keystore.Key]string{}
	for k, r := range testutil.All(t, s, "", "", "") {
		got[k] = string(r.Value)
		require.Equal(t, r, testutil.Load(t, s, k))
	}
	require.Equal(t, values, got)
}

// requireOneKey requires that all records are sealed under a key, which is the
// only one.
func requireOneKey(t testing.TB, s *keystore.Encrypted, inner keystore.Store, number uint32) {
	t.Helper()
	require.Equal(t, []uint32{number}, s.Keys())
	for k, r := range testutil.All(t, inner, "", "", "") {
		require.True(t, k == keystore.HeadKey || keystore.SealedUnder(r.Value) == number)
	}
}

func TestRekey(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		s := openEncrypted(t, inner, unlock, o)
		values := fill(t, s)
		for number := uint32(2); number < 5; number++ {
			require.NoError(t, s.Rekey(ctx))
			requireOneKey(t, s, inner, number)
			requireHas(t, s, values)
			requireHas(t, openEncrypted(t, inner, unlock, nil), values)
		}
	})
}

// What is large is sealed anew in commits of its own.
func TestRekeyOfLargeRecords(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, unlock, nil)
	for i := range 5 {
		testutil.Commit(t, s, testutil.Put(testutil.Key("k", "o", fmt.Sprint(i)), 0, strings.Repeat("x", 900_000)))
	}
	before := testutil.Generation(t, s)
	require.NoError(t, s.Rekey(ctx))
	require.Equal(t, before+2+3, testutil.Generation(t, s)) // two headers
}

func TestRelock(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, phrase("first"), cheap)
	values := fill(t, s)
	last := phrase("first")
	for _, next := range []keystore.Unlock{phrase("second"), unlock, {Key: &[32]byte{9}}, phrase("third"), phrase("third")} {
		require.NoError(t, s.Relock(ctx, next, cheap))
		if last != next {
			requireClosed(t, inner, last, nil, keystore.ErrPassphrase)
		}
		requireHas(t, openEncrypted(t, inner, next, nil), values)
		requireHas(t, s, values)
		last = next
	}
	before := testutil.StoreDigest(t, inner)
	for _, u := range []keystore.Unlock{{}, {Key: &[32]byte{}, Passphrase: "p"}} {
		require.ErrorIs(t, s.Relock(ctx, u, nil), keystore.ErrInvalid)
	}
	require.ErrorIs(t, s.Relock(ctx, phrase("p"), &keystore.EncryptedOptions{Time: 65}), keystore.ErrInvalid)
	require.Equal(t, before, testutil.StoreDigest(t, inner))

	require.NoError(t, s.Relock(ctx, phrase("p"), &keystore.EncryptedOptions{Time: 1, Memory: 16, Threads: 2, Blind: true}))
	requireHas(t, openEncrypted(t, inner, phrase("p"), nil), values)
}

// A header that is used before it counts would seal what nobody can open.
func TestNoKeyChangesInATransaction(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, unlock, nil)
	before := testutil.StoreDigest(t, inner)
	in := new(keystore.Pending).In(ctx)
	require.ErrorIs(t, s.Rekey(in), keystore.ErrInvalid)
	require.ErrorIs(t, s.Relock(in, phrase("p"), cheap), keystore.ErrInvalid)
	require.Equal(t, before, testutil.StoreDigest(t, inner))
}

// crashes runs f on a store that is opened by u, and calls check with a copy of
// the store beneath from before and after each commit that f makes.
func crashes(t *testing.T, m *keystore.Memory, u keystore.Unlock, f func(*keystore.Encrypted), check func(found *keystore.Memory)) (commits int) {
	t.Helper()
	at := &meddled{Store: lasting{m}}
	s := openEncrypted(t, at, u, nil)
	at.before = func(method string) {
		if method == "Commit" {
			commits++
			check(m.Clone())
		}
	}
	f(s)
	check(m.Clone())
	return commits
}

// opensBy requires that one of several things opens a store, and no other does,
// and returns it.
func opensBy(t *testing.T, found *keystore.Memory, all ...keystore.Unlock) (by keystore.Unlock) {
	t.Helper()
	n := 0
	for _, u := range all {
		if _, err := keystore.OpenEncrypted(ctx, lasting{found}, u, nil); err == nil {
			n++
			by = u
		} else {
			require.ErrorIs(t, err, keystore.ErrPassphrase)
		}
	}
	require.Equal(t, 1, n)
	return by
}

// Wherever a crash falls into a change of the key, the store is open to the
// passphrase, has all records, and is finished when it is called again.
func TestSTO_09_CrashInRekey(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		m := keystore.NewMemory()
		values := fill(t, openEncrypted(t, lasting{m}, unlock, o))
		rekey := func(s *keystore.Encrypted) { require.NoError(t, s.Rekey(ctx)) }
		resumed := func(found *keystore.Memory) {
			s := openEncrypted(t, lasting{found}, unlock, nil)
			requireHas(t, s, values)
			rekey(s)
			requireOneKey(t, s, found, s.Keys()[0])
			requireHas(t, s, values)
		}
		commits := crashes(t, m, unlock, rekey, func(found *keystore.Memory) {
			requireHas(t, openEncrypted(t, lasting{found}, unlock, nil), values)
			crashes(t, found.Clone(), unlock, rekey, resumed) // and again
			k := testutil.Key("k", "", "new")
			s := openEncrypted(t, lasting{found}, unlock, nil)
			testutil.Commit(t, s, testutil.Put(k, 0, "new"))
			rekey(s)
			require.Equal(t, "new", string(testutil.Load(t, s, k).Value))
		})
		require.Equal(t, 1+3+1, commits)
	})
}

// Wherever a crash falls into a change of what opens the store, one does, the
// old or the new, and all records are there.
func TestSTO_09_CrashInRelock(t *testing.T) {
	old, next := phrase("old"), phrase("new")
	m := keystore.NewMemory()
	values := fill(t, openEncrypted(t, lasting{m}, old, cheap))
	relock := func(s *keystore.Encrypted) { require.NoError(t, s.Relock(ctx, next, cheap)) }
	var by []keystore.Unlock
	look := func(found *keystore.Memory) {
		u := opensBy(t, found, old, next)
		by = append(by, u)
		s := openEncrypted(t, lasting{found}, u, nil)
		requireHas(t, s, values)
		relock(s)
		require.NoError(t, s.Rekey(ctx))
		requireHas(t, openEncrypted(t, lasting{found}, next, nil), values)
	}
	require.Equal(t, 1, crashes(t, m.Clone(), old, relock, look))
	require.Equal(t, []keystore.Unlock{old, next}, by)

	// In the midst of a change of the key, too.
	crashes(t, m, old, func(s *keystore.Encrypted) { require.NoError(t, s.Rekey(ctx)) }, func(found *keystore.Memory) {
		crashes(t, found, old, relock, look)
	})
}

// Whatever fails, a change is made when it is called again, and no record
// suffers.
func TestKeyChangesFail(t *testing.T) {
	for name, change := range map[string]func(*keystore.Encrypted) error{
		"rekey":  func(s *keystore.Encrypted) error { return s.Rekey(ctx) },
		"relock": func(s *keystore.Encrypted) error { return s.Relock(ctx, unlock, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for at := 0; ; at += 1 + at/10 {
				b := &beneath{Memory: keystore.NewMemory()}
				s := openEncrypted(t, b, unlock, nil)
				values := fill(t, s)
				n := b.failAt(at)
				err := change(s)
				b.hook.Store(nil)
				requireHas(t, s, values)
				requireHas(t, openEncrypted(t, b, unlock, nil), values)
				if *n <= at {
					require.NoError(t, err)
					return
				}
				if err != nil { // what was made is found out, though
					require.ErrorIs(t, err, errFault)
				}
				require.NoError(t, change(s))
				requireHas(t, s, values)
			}
		})
	}
}

// Another process, which has the store open, writes before and after each step
// of a change of the key.
func TestRekeyWhileAnotherWrites(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		at := &meddled{Store: inner}
		s := openEncrypted(t, at, unlock, o)
		values := fill(t, s)
		other := openEncrypted(t, inner, unlock, nil)
		rng, steps := rand.New(rand.NewPCG(1, 2)), 0
		write := func(string) {
			steps++
			for k := range values {
				if rng.IntN(10) > 0 {
					continue
				}
				r := testutil.Load(t, other, k)
				require.Equal(t, values[k], string(r.Value))
				if rng.IntN(3) == 0 {
					testutil.Commit(t, other, testutil.Delete(k, r.Version))
					delete(values, k)
				} else {
					values[k] += "!"
					testutil.Commit(t, other, testutil.Put(k, r.Version, values[k]))
				}
			}
			k := testutil.Key("new", "o", fmt.Sprint(steps))
			values[k] = "new"
			testutil.Commit(t, other, testutil.Put(k, 0, "new"))
		}
		at.before, at.after = write, write
		require.NoError(t, s.Rekey(ctx))
		require.Greater(t, steps, 10)
		at.before, at.after = nil, nil
		requireOneKey(t, s, inner, 2)
		requireHas(t, other, values)
		requireHas(t, s, values)
	})
}

// Several processes give the store new keys, again and again, while others write
// and read: no update is lost, and no record is ever damaged.
func TestRekeyAtOnce(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, unlock, blind)
	fill(t, s)
	var all sync.WaitGroup
	work := func(do func(s *keystore.Encrypted, i int) error) {
		own := openEncrypted(t, inner, unlock, nil)
		all.Go(func() {
			for i := range 30 {
				if err := do(own, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		work(func(s *keystore.Encrypted, i int) error { return s.Rekey(ctx) })
		work(func(s *keystore.Encrypted, i int) error { return s.Relock(ctx, unlock, nil) })
		work(func(s *keystore.Encrypted, i int) error {
			for _, err := range s.List(ctx, "", "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	count := testutil.Key("count", "", "")
	for range 4 {
		work(func(s *keystore.Encrypted, i int) error { return increment(s, count) })
	}
	all.Wait()
	require.Equal(t, strings.Repeat("+", 4*30), string(testutil.Load(t, s, count).Value))
	require.Len(t, testutil.Records(t, s), many+1)
	require.NoError(t, s.Rekey(ctx))
	requireOneKey(t, s, inner, s.Keys()[0])
}

func increment(s keystore.Store, k keystore.Key) error {
	for {
		recs, err := s.Load(ctx, k)
		if err != nil {
			return err
		}
		_, err = s.Commit(ctx, testutil.Put(k, recs[0].Version, string(recs[0].Value)+"+"))
		if _, lost := err.(*keystore.ConflictError); !lost {
			return err
		}
	}
}

// What was read before the key changed, twice even, is read again.
func TestReadsWhileTheKeyChanges(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		for times := range 4 {
			inner := newLasting()
			at := &meddled{Store: inner}
			s := openEncrypted(t, at, unlock, o)
			values := fill(t, s)
			other := openEncrypted(t, inner, unlock, nil)
			require.NoError(t, other.Rekey(ctx)) // S has not noticed
			at.after = func(method string) {
				at.after = nil
				for range times {
					require.NoError(t, other.Rekey(ctx))
				}
			}
			k := testutil.Key("kind0", "owner0", "0")
			require.Equal(t, values[k], string(testutil.Load(t, s, k).Value))

			n := 0
			for r, err := range s.List(ctx, "", "", "") {
				require.NoError(t, err)
				require.Equal(t, values[r.Key], string(r.Value))
				if n++; n%40 == 0 {
					for range times {
						require.NoError(t, other.Rekey(ctx))
					}
				}
			}
			require.Equal(t, many, n)
		}
	})
}

// Reads that find a new key fail as the store beneath does, and only so.
func TestReloadFails(t *testing.T) {
	k := testutil.Key("k", "o", "n")
	for name, use := range map[string]func(*keystore.Encrypted) error{
		"Load": func(s *keystore.Encrypted) error { _, err := s.Load(ctx, k); return err },
		"Commit": func(s *keystore.Encrypted) error {
			_, err := s.Commit(ctx, testutil.Put(testutil.Key("k", "o", "other"), 0, ""))
			return err
		},
		"List": func(s *keystore.Encrypted) (err error) {
			for _, err = range s.List(ctx, "", "", "") {
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 0; ; at++ {
				b := &beneath{Memory: keystore.NewMemory()}
				s := openEncrypted(t, b, unlock, nil)
				testutil.Commit(t, s, testutil.Put(k, 0, "value"))
				require.NoError(t, openEncrypted(t, lasting{b.Memory}, unlock, nil).Rekey(ctx))
				n := b.failAt(at)
				err := use(s)
				b.hook.Store(nil)
				require.Equal(t, "value", string(testutil.Load(t, s, k).Value))
				if *n <= at {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, errFault)
			}
		})
	}
}

// Whoever has the store open goes on after another changed the passphrase, until
// the key changes too, and does not change the passphrase back.
func TestRelockedByAnother(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, phrase("old"), cheap)
	values := fill(t, s)
	other := openEncrypted(t, inner, phrase("old"), nil)
	require.NoError(t, other.Relock(ctx, phrase("new"), cheap))
	k := testutil.Key("k", "o", "n")
	values[k] = "by s"
	v := testutil.Commit(t, s, testutil.Put(k, 0, "by s"))
	requireHas(t, s, values)
	requireHas(t, other, values)
	before := testutil.StoreDigest(t, inner)
	require.ErrorIs(t, s.Relock(ctx, phrase("mine"), cheap), keystore.ErrPassphrase)
	require.ErrorIs(t, s.Rekey(ctx), keystore.ErrPassphrase)
	require.Equal(t, before, testutil.StoreDigest(t, inner))

	require.NoError(t, other.Rekey(ctx))
	_, err := s.Load(ctx, k)
	require.ErrorIs(t, err, keystore.ErrPassphrase)
	_, err = s.Commit(ctx, testutil.Put(k, v, "new"))
	require.Error(t, err)
	_, err = s.Commit(ctx, testutil.Put(testutil.Key("k", "o", "new"), 0, "new"))
	require.ErrorIs(t, err, keystore.ErrPassphrase)
	for _, err := range s.List(ctx, "", "", "") {
		require.ErrorIs(t, err, keystore.ErrPassphrase)
	}
	requireHas(t, other, values)
	requireHas(t, openEncrypted(t, inner, phrase("new"), nil), values)
}

// Damaged records do not keep others from being sealed anew; the old key stays
// until they are gone.
func TestRekeyOfDamagedRecords(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		s := openEncrypted(t, inner, unlock, o)
		values, at := twenty(t, s, inner)
		var bad, stored []keystore.Key
		for k := range values {
			if len(bad) < 3 {
				bad, stored = append(bad, k), append(stored, at[k])
			}
		}
		good := testutil.Load(t, inner, stored[0])
		for i, k := range stored {
			value := testutil.Load(t, inner, k).Value
			value[[]int{40, 4, 0}[i]] ^= 0x80 // the value, the number, the format
			overwrite(t, inner, k, value)
		}
		for range 2 {
			requireNames(t, s.Rekey(ctx), stored)
			require.Equal(t, []uint32{1, 2}, s.Keys())
			requireDamaged(t, s, values, bad...)
		}
		overwrite(t, inner, stored[0], good.Value) // from a copy
		for _, k := range stored[1:] {
			testutil.Commit(t, inner, testutil.Delete(k, testutil.Load(t, inner, k).Version))
		}
		for _, k := range bad[1:] {
			delete(values, k)
		}
		require.NoError(t, s.Rekey(ctx))
		requireOneKey(t, s, inner, 2)
		requireHas(t, s, values)
	})
}
