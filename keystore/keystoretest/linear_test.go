package keystoretest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

var x, y = keystore.Key{Scope: "s", Kind: "x"}, keystore.Key{Scope: "s", Kind: "y"}

// commit is a Commit that was made from one time to another.
func commit(start, end int64, version uint64, changes ...keystore.Change) *keystoretest.Call {
	return keystoretest.Commit(start, end, version, nil, changes...)
}

// write is a Commit of one Put.
func write(start, end int64, version uint64, k keystore.Key, expect uint64) *keystoretest.Call {
	return commit(start, end, version, keystore.Change{Op: keystore.Put, Key: k, Expect: expect})
}

// read is a Load that found these versions of x and y.
func read(start, end int64, vx, vy uint64) *keystoretest.Call {
	return keystoretest.Load(start, end, keystore.Record{Key: x, Version: vx}, keystore.Record{Key: y, Version: vy})
}

func TestHistories(t *testing.T) {
	lost := func(start, end int64, k keystore.Key, expect uint64) *keystoretest.Call {
		return keystoretest.Commit(start, end, 0, []keystore.Key{k}, keystore.Change{Op: keystore.Check, Key: k, Expect: expect})
	}
	for _, c := range []struct {
		name  string
		calls []*keystoretest.Call
		err   string
	}{
		{"nothing", nil, ""},
		{"in turn", []*keystoretest.Call{write(1, 2, 1, x, 0), read(3, 4, 1, 0), write(5, 6, 2, x, 1), read(7, 8, 2, 0)}, ""},
		{"seen before it ended", []*keystoretest.Call{write(1, 6, 1, x, 0), read(2, 3, 0, 0), read(4, 5, 1, 0)}, ""},
		{"at once, in either order", []*keystoretest.Call{write(1, 6, 5, x, 0), write(2, 5, 3, y, 0), read(3, 4, 0, 3)}, ""},
		{"gaps in versions", []*keystoretest.Call{write(1, 2, 10, x, 0), write(3, 4, 20, x, 10), keystoretest.Generation(5, 6, 20)}, ""},
		{"a conflict in between", []*keystoretest.Call{write(1, 2, 1, x, 0), write(3, 8, 2, x, 1), lost(4, 5, x, 1), read(6, 7, 2, 0)}, ""},

		{"late", []*keystoretest.Call{write(1, 2, 1, x, 0), read(3, 4, 0, 0)}, "not so at any moment from version 1 to 1"},
		{"too early", []*keystoretest.Call{read(1, 2, 1, 0), write(3, 4, 1, x, 0)}, "not so at any moment from version 0 to 0"},
		{"back again", []*keystoretest.Call{write(1, 6, 1, x, 0), read(2, 3, 1, 0), read(4, 5, 0, 0)}, "not so at any moment from version 1 to 1"},
		{"torn", []*keystoretest.Call{commit(1, 4, 1, keystore.Change{Op: keystore.Put, Key: x}, keystore.Change{Op: keystore.Put, Key: y}), read(2, 3, 1, 0)}, "not so at any moment from version 0 to 1"},
		{"against the order of versions", []*keystoretest.Call{write(1, 6, 3, x, 0), write(2, 5, 5, y, 0), read(3, 4, 0, 5)}, "not so at any moment"},
		{"a version twice", []*keystoretest.Call{write(1, 4, 1, x, 0), write(2, 3, 1, y, 0)}, "version 1 was given twice"},
		{"versions backwards", []*keystoretest.Call{write(1, 2, 2, x, 0), write(3, 4, 1, y, 0)}, "got version 1, and began after version 2 was seen"},
		{"a lost update", []*keystoretest.Call{write(1, 2, 1, x, 0), write(3, 6, 2, x, 1), write(4, 5, 3, x, 1)}, "what it expects was not so after version 2"},
		{"no conflict", []*keystoretest.Call{write(1, 2, 1, x, 0), lost(3, 4, x, 1)}, "a Commit answered what was not so"},
		{"generation ahead", []*keystoretest.Call{write(1, 2, 1, x, 0), keystoretest.Generation(3, 4, 2)}, "a Generation answered what was not so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := keystoretest.CheckHistory(c.calls...); c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}
