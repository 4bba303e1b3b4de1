package testutil

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
)

// StoreDigest returns SHA-256 over a store's generation and all its records,
// versions included, in the order of their keys. Two digests are equal if and
// only if nothing was committed in between.
func StoreDigest(t testing.TB, s keystore.Store) [sha256.Size]byte {
	t.Helper()
	newest, err := s.Generation(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint64(nil, newest)
	for _, r := range Records(t, s) {
		for _, part := range []string{r.Key.Scope, r.Key.Kind, r.Key.Owner, r.Key.Name, string(r.Value)} {
			b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
			b = append(b, part...)
		}
		b = binary.BigEndian.AppendUint64(b, r.Version)
	}
	return sha256.Sum256(b)
}

// Records returns all records of a store, in the order of their keys.
func Records(t testing.TB, s keystore.Store) (all []keystore.Record) {
	t.Helper()
	for r, err := range s.List(context.Background(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b keystore.Record) int { return compareKeys(a.Key, b.Key) })
	return all
}

func compareKeys(a, b keystore.Key) int {
	return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Name, b.Name))
}
