package keystore_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// bothWays runs a test on stores that do not blind names, and on such that do.
func bothWays(t *testing.T, test func(*testing.T, *keystore.EncryptedOptions)) {
	t.Run("plain names", func(t *testing.T) { test(t, nil) })
	t.Run("blind names", func(t *testing.T) { test(t, blind) })
}

// twenty puts 20 records into a store, and returns their values, and under which
// keys they are stored.
func twenty(t testing.TB, s *keystore.Encrypted, inner keystore.Store) (values map[keystore.Key]string, at map[keystore.Key]keystore.Key) {
	t.Helper()
	values, at = map[keystore.Key]string{}, map[keystore.Key]keystore.Key{}
	for i := range 20 {
		k := keystore.Key{Scope: fmt.Sprint("scope", i%2), Kind: fmt.Sprint("kind", i%3), Owner: fmt.Sprint("owner", i%5), Name: fmt.Sprint("name", i)}
		values[k] = strings.Repeat("v", i)
		v := testutil.Commit(t, s, testutil.Put(k, 0, values[k]))
		for stored, r := range testutil.All(t, inner, "", "", "") {
			if r.Version == v {
				at[k] = stored
			}
		}
	}
	return values, at
}

// requireDamaged requires that records are damaged, when they are loaded and
// listed, and that all others have their values.
func requireDamaged(t testing.TB, s *keystore.Encrypted, values map[keystore.Key]string, damaged ...keystore.Key) {
	t.Helper()
	keys := slices.Collect(maps.Keys(values))
	recs, err := s.Load(ctx, keys...)
	requireNames(t, err, damaged)
	for i, r := range recs {
		require.Equal(t, keys[i], r.Key)
		require.NotZero(t, r.Version)
		if slices.Contains(damaged, r.Key) {
			require.Nil(t, r.Value)
		} else {
			require.Equal(t, values[r.Key], string(r.Value))
		}
	}
	good, bad := map[keystore.Key]string{}, 0
	for r, err := range s.List(ctx, "", "", "") {
		require.NotZero(t, r.Version)
		if err == nil {
			good[r.Key] = string(r.Value)
			continue
		}
		requireNames(t, err, []keystore.Key{r.Key})
		require.Nil(t, r.Value)
		require.True(t, r.Key.Valid())
		bad++
	}
	want := maps.Clone(values)
	maps.DeleteFunc(want, func(k keystore.Key, _ string) bool { return slices.Contains(damaged, k) })
	require.Equal(t, want, good)
	require.Equal(t, len(damaged), bad)
}

// requireNames requires a CorruptError that names these keys, nil for none.
func requireNames(t testing.TB, err error, keys []keystore.Key) {
	t.Helper()
	if len(keys) == 0 {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, keystore.ErrCorrupt)
	damaged, ok := errors.AsType[*keystore.CorruptError](err)
	require.True(t, ok)
	require.ElementsMatch(t, keys, damaged.Keys)
}

// overwrite writes a value into the store beneath.
func overwrite(t testing.TB, inner keystore.Store, k keystore.Key, value []byte) {
	t.Helper()
	testutil.Commit(t, inner, testutil.Put(k, testutil.Load(t, inner, k).Version, string(value)))
}

func TestSTO_07_FlippedBytes(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		s := openEncrypted(t, inner, unlock, o)
		values, at := twenty(t, s, inner)
		for k, stored := range at {
			good := testutil.Load(t, inner, stored).Value
			for i := range good {
				bad := slices.Clone(good)
				bad[i] ^= 1 << (i % 8)
				overwrite(t, inner, stored, bad)
				requireDamaged(t, s, values, k)
			}
			for _, bad := range [][]byte{nil, good[:1], good[:28], good[:29], good[:44], good[:len(good)-1], append(slices.Clone(good), 0)} {
				overwrite(t, inner, stored, bad)
				requireDamaged(t, s, values, k)
			}
			overwrite(t, inner, stored, good)
		}
		requireDamaged(t, s, values)
	})
}

func TestSTO_07_SwappedRecords(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		s := openEncrypted(t, inner, unlock, o)
		values, at := twenty(t, s, inner)
		for a, storedA := range at {
			for b, storedB := range at {
				if a == b {
					continue
				}
				ra, rb := testutil.Load(t, inner, storedA), testutil.Load(t, inner, storedB)
				testutil.Commit(t, inner, testutil.Put(storedA, ra.Version, string(rb.Value)), testutil.Put(storedB, rb.Version, string(ra.Value)))
				requireDamaged(t, s, values, a, b)
				overwrite(t, inner, storedA, ra.Value)
				requireDamaged(t, s, values, b)
				overwrite(t, inner, storedB, rb.Value)
			}
		}
		requireDamaged(t, s, values)
	})
}

// A record that was removed is not there, as the documentation says, and one
// that was put elsewhere as well is damaged there.
func TestSTO_07_DeletedAndDuplicated(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		s := openEncrypted(t, inner, unlock, o)
		values, at := twenty(t, s, inner)
		for k, stored := range at {
			r := testutil.Load(t, inner, stored)
			testutil.Commit(t, inner, testutil.Delete(stored, r.Version))
			require.Zero(t, testutil.Load(t, s, k).Version)
			rest := maps.Clone(values)
			delete(rest, k)
			requireDamaged(t, s, rest)
			testutil.Commit(t, inner, testutil.Put(stored, 0, string(r.Value)))
		}
		for k, stored := range at {
			value := testutil.Load(t, inner, stored).Value
			for part := range 4 {
				other, otherStored := k, stored
				*partOf(&other, part) += "-"
				*partOf(&otherStored, part) += "-"
				testutil.Commit(t, inner, testutil.Put(otherStored, 0, string(value)))
				if o == nil { // else it is a name that nobody has
					recs, err := s.Load(ctx, other, k)
					requireNames(t, err, []keystore.Key{other})
					require.Equal(t, values[k], string(recs[1].Value))
				}
				n := 0
				for _, err := range s.List(ctx, "", "", "") {
					if err != nil {
						require.ErrorIs(t, err, keystore.ErrCorrupt)
						n++
					}
				}
				require.Equal(t, 1, n)
				testutil.Commit(t, inner, testutil.Delete(otherStored, testutil.Load(t, inner, otherStored).Version))
			}
		}
		requireDamaged(t, s, values)
	})
}

func partOf(k *keystore.Key, part int) *string {
	return []*string{&k.Scope, &k.Kind, &k.Owner, &k.Name}[part]
}

// What the store beneath says to be damaged is so, and its other faults end a
// Load and a List.
func TestDamagedBeneath(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		values, at := twenty(t, openEncrypted(t, inner, unlock, o), inner)
		tells := &telling{Store: inner, damaged: map[keystore.Key]bool{}}
		s := openEncrypted(t, tells, unlock, nil)
		var bad []keystore.Key
		for k, stored := range at {
			tells.damaged[stored] = true
			bad = append(bad, k)
			requireDamaged(t, s, values, bad...)
		}
		tells.damaged[keystore.HeadKey] = true
		_, err := keystore.OpenEncrypted(ctx, tells, unlock, nil)
		require.ErrorIs(t, err, keystore.ErrCorrupt)
	})
}

// Of a damaged record with a blinded name nothing is listed that looks like one.
func TestDamagedBeneathAndBlind(t *testing.T) {
	inner := newLasting()
	_, at := twenty(t, openEncrypted(t, inner, unlock, blind), inner)
	tells := &telling{Store: inner, damaged: map[keystore.Key]bool{}}
	s := openEncrypted(t, tells, unlock, nil)
	for _, stored := range at {
		tells.damaged[stored] = true
	}
	n := 0
	for r, err := range s.List(ctx, "", "", "") {
		n++
		require.Empty(t, r.Key.Owner+r.Key.Name)
		require.True(t, r.Key.Valid())
		requireNames(t, err, []keystore.Key{r.Key})
	}
	require.Equal(t, len(at), n)
}

// A mistaken store returns another record than it was asked for.
type mistaken struct {
	keystore.Store
	instead map[keystore.Key]keystore.Key
}

func (s *mistaken) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	keys = slices.Clone(keys)
	for i, k := range keys {
		if other, ok := s.instead[k]; ok {
			keys[i] = other
		}
	}
	return s.Store.Load(ctx, keys...)
}

// A record that is returned in the place of another is damaged, even if it says
// which one it is.
func TestMistakenBeneath(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := newLasting()
		values, at := twenty(t, openEncrypted(t, inner, unlock, o), inner)
		m := &mistaken{inner, map[keystore.Key]keystore.Key{}}
		s := openEncrypted(t, m, unlock, nil)
		for wanted := range values {
			for other := range values {
				m.instead[at[wanted]] = at[other]
				recs, err := s.Load(ctx, wanted)
				if wanted == other {
					require.NoError(t, err)
					continue
				}
				requireNames(t, err, []keystore.Key{wanted})
				require.Equal(t, wanted, recs[0].Key)
				require.Nil(t, recs[0].Value)
			}
			delete(m.instead, at[wanted])
		}
	})
}

// Blinded names are in no key and no value of the store beneath; plain ones are
// in its keys.
func TestBlindNames(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, unlock, blind)
	k := keystore.Key{Scope: "the scope", Kind: "the kind", Owner: "the owner", Name: "the name"}
	none := keystore.Key{Scope: "the scope", Kind: "the kind"}
	testutil.Commit(t, s, testutil.Put(k, 0, "the value"), testutil.Put(none, 0, ""))
	for _, r := range testutil.Records(t, inner) {
		if r.Key == keystore.HeadKey {
			continue
		}
		require.Equal(t, "the scope", r.Key.Scope)
		require.Equal(t, "the kind", r.Key.Kind)
		require.Len(t, r.Key.Owner, sha256.Size)
		require.Len(t, r.Key.Name, sha256.Size)
		for _, secret := range []string{"owner", "name", "value"} {
			require.NotContains(t, r.Key.Owner+r.Key.Name+string(r.Value), secret)
		}
	}
	got := testutil.All(t, s, "the scope", "", "the owner")
	require.Len(t, got, 1)
	require.Equal(t, "the value", string(got[k].Value))
	require.Len(t, testutil.All(t, s, "", "", ""), 2)

	// An owner is the same one everywhere, a name is not.
	a, b := keystore.Blinded(k), keystore.Blinded(keystore.Key{Scope: "other", Kind: "other", Owner: k.Owner, Name: k.Name})
	require.Equal(t, a.Owner, b.Owner)
	require.NotEqual(t, a.Name, b.Name)
	other := newLasting()
	testutil.Commit(t, openEncrypted(t, other, unlock, blind), testutil.Put(k, 0, "the value"))
	require.Empty(t, testutil.All(t, other, "", "", testutil.Records(t, inner)[1].Key.Owner))
}

// Blinding is HMAC-SHA-256, of parts of any length.
func TestBlindIsHMAC(t *testing.T) {
	for _, n := range []int{0, 1, 20, 63, 64, 127, 128, 200, 1000, 20_000} {
		k := keystore.Key{Scope: strings.Repeat("s", n), Kind: "k", Owner: strings.Repeat("o", n), Name: strings.Repeat("n", 2*n)}
		want := func(parts ...string) string {
			mac := hmac.New(sha256.New, make([]byte, 32))
			for _, p := range parts {
				mac.Write(append(binary.AppendUvarint(nil, uint64(len(p))), p...))
			}
			return string(mac.Sum(nil))
		}
		got := keystore.Blinded(k)
		require.Equal(t, want("owner", k.Owner), got.Owner)
		require.Equal(t, want("name", k.Scope, k.Kind, k.Owner, k.Name), got.Name)
		require.Equal(t, k.Scope+k.Kind, got.Scope+got.Kind)
	}
}

// A length that a platform's int does not hold is longer than what is there.
func TestOVF_03_PartLengths(t *testing.T) {
	for _, n := range []uint64{4, 127, 128, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 3, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		_, _, ok := keystore.CutPart(append(binary.AppendUvarint(nil, n), "abc"...))
		require.False(t, ok, n)
	}
	for _, bad := range []string{"", "\x80", strings.Repeat("\x80", 9), strings.Repeat("\xff", 12)} {
		_, _, ok := keystore.CutPart([]byte(bad))
		require.False(t, ok, bad)
	}
	part, rest, ok := keystore.CutPart([]byte("\x02abc"))
	require.True(t, ok)
	require.Equal(t, "ab c", part+" "+string(rest))
}

// No two records are sealed alike, be they the same or not.
func TestNoncesAreFresh(t *testing.T) {
	inner, k := newLasting(), testutil.Key("k", "o", "n")
	s := openEncrypted(t, inner, unlock, nil)
	seen, v := map[string]bool{}, uint64(0)
	for range 1000 {
		v = testutil.Commit(t, s, testutil.Put(k, v, "same"))
		nonce := string(testutil.Load(t, inner, k).Value[5:29])
		require.False(t, seen[nonce])
		seen[nonce] = true
	}
	c := []keystore.Change{testutil.Put(k, v, "same"), testutil.Put(testutil.Key("k", "o", "m"), 0, "same")}
	testutil.Commit(t, s, c...)
	a, b := testutil.Load(t, inner, c[0].Key).Value, testutil.Load(t, inner, c[1].Key).Value
	require.False(t, bytes.Equal(a[5:29], b[5:29]))
	require.Equal(t, "same", string(c[0].Value)) // the caller's is left alone
}
