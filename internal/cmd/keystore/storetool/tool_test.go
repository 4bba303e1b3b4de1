package storetool_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/keystore"
)

func TestUsage(t *testing.T) {
	b, _ := newBench(t)
	for _, args := range [][]string{
		{"fly"}, {"inspect"}, {"inspect", "memory:own", "memory:own"}, {"inspect", "-fast", "memory:own"}, {"inspect", "own"},
		{"inspect", "memory:"}, {"inspect", "oracle:own"}, {"verify", "-to-key", "f", "memory:own"},
		{"inspect", "-key", "a", "-passphrase", "b", "memory:own"}, {"move", "-to-blind", "memory:own", "memory:new"}, {"move", "-to-key", "f", "memory:own"},
		{"move", "memory:own"}, {"move", "-addresses", "memory:own", "memory:new"},
	} {
		require.Equal(t, 2, b.run(t, args...), args)
		require.Empty(t, b.out.String())
		require.Contains(t, b.err.String(), "Run keystore help")
	}
	for _, args := range [][]string{nil, {"help"}, {"-h"}, {"move", "-h"}} {
		require.Contains(t, b.runs(t, args...), "memory:CONNECTION or bolt:FILE")
	}
}

// A store that is to be read is not made, and what cannot be opened is told.
func TestNoSuchStore(t *testing.T) {
	b, _ := newBench(t)
	missing := "bolt:" + filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{{"inspect", missing}, {"verify", missing}, {"move", missing, "memory:new"}, {"inspect", "bolt:" + t.TempDir()},
		{"inspect", "memory:broken"}, {"move", "memory:own", "memory:broken"}} {
		require.Equal(t, 1, b.run(t, args...), args)
		require.NotEmpty(t, b.err.String())
	}
	require.Len(t, b.stores, 1)
}

var (
	spaces = regexp.MustCompile(` +`)
	sizes  = regexp.MustCompile(`(?m)^(\S+ [\d,]+) [\d,]+ [\d,]+ (\S+ \S+ [\d ]+)$`)
)

// plain is a table without sizes, which depend on coins, and alignment.
func plain(s string) string {
	return sizes.ReplaceAllString(spaces.ReplaceAllString(s, " "), "$1 $2")
}

func TestInspect(t *testing.T) {
	b, w := newBench(t)
	before := testutil.StoreDigest(t, w.Store)
	out := b.runs(t, "inspect", "memory:own")
	require.Regexp(t, `^generation  36\nrecords     51, \d+,\d+ bytes of values\n\n`, out)
	_, tables, _ := strings.Cut(out, "\n\n")
	require.Equal(t, `KIND RECORDS BYTES LARGEST OLDEST NEWEST FORMATS
archive 2 6d 6d 1
basekey 2 - - 1
body 1 - - 1
draft 1 - - 1
event 1 1h 1h 1
group 1 1h 1h 1
identity 4 6d 1h 1
kem 3 6d 6d 1
lastresort 2 6d 6d 1
link 1 - - 1
mark 7 7d 4h 1
nextid 2 - - 1
peer 3 1h 1h 1
prekey 3 6d 6d 1
retry 1 - - 1
self 2 - - 1
senderkey 3 1h 1h 1
sent 1 1h 1h 1
session 4 - - 1
signed 2 6d 6d 1
staged 3 1h 1h 1
upkeep 2 6d 6d 1

DEVICE SESSIONS ARCHIVED PREKEYS LEFT KEM LEFT UNPUBLISHED SIGNED LAST RESORT UNACKNOWLEDGED OLDEST EVENTS
1 1 0 2 2 6 6d 6d 0 - 0
2 3 2 1 1 0 6d 6d 3 1h 1

`, plain(tables))
	require.Contains(t, b.runs(t, "inspect", "-addresses", "memory:own"), "\n"+rich.Own[0].String()+" ")
	require.Equal(t, before, testutil.StoreDigest(t, w.Store))
}

// Of records that nobody can read, what can be counted is.
func TestInspectOddities(t *testing.T) {
	s := keystore.NewMemory()
	k := testutil.Key("prekey", "-", "1")
	testutil.Commit(t, s, testutil.Put(k, 0, ""), testutil.Put(testutil.Key("staged", "u", "n"), 0, "\x01\xff\xff"),
		testutil.Put(testutil.Key("prekey", "-", "2"), 0, "\x02new"), testutil.Put(testutil.Key("prekey", "-", "3"), 0, "\x01"),
		testutil.Put(testutil.Key("odd kind\n", "-", "3"), 0, "value"))
	b := &bench{stores: map[string]keystore.Store{"odd": s, "empty": keystore.NewMemory()}, now: time.Now()}
	out := b.runs(t, "inspect", "memory:odd")
	require.Regexp(t, `(?m)^prekey +3 +5 +4 +- +- +none 1 2$`, out)
	require.Regexp(t, `(?m)^odd kind\\n +1 +5 +5 +- +- +other$`, out)
	require.Regexp(t, `(?m)^1 +0 +0 +1 +0 +1 +- +- +1 +- +0$`, out)
	require.Equal(t, "generation  0\nrecords     0, 0 bytes of values\n\n", b.runs(t, "inspect", "memory:empty"))

	b.stores["odd"] = &damaged{Store: s, key: k}
	out = b.runs(t, "inspect", "memory:odd")
	require.Contains(t, out, "The store cannot read 1 of its records: see verify.")
}
