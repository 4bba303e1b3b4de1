package engines_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

func init() {
	jobs["hold"] = holdLock
	jobs["count"] = countUntilKilled
}

func openSQLite(t testing.TB, path string) keystore.Store {
	t.Helper()
	s, err := engine.Open(ctx, "sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// holdLock takes the lock for writing, and keeps it as long as it is told to,
// with something written that it does not commit.
func holdLock(_, path string, orders *json.Decoder, answers *json.Encoder) error {
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"BEGIN IMMEDIATE", "CREATE TABLE other (x)", "INSERT INTO other VALUES (zeroblob(10000000))"} {
		if _, err := db.Exec(statement); err != nil {
			return err
		}
	}
	if err := answers.Encode("held"); err != nil {
		return err
	}
	var wait time.Duration
	if err := orders.Decode(&wait); err != nil {
		return err
	}
	time.Sleep(wait)
	if _, err := db.Exec("ROLLBACK"); err != nil {
		return err
	}
	return db.Close()
}

// While another process writes, reads go on, and a Commit waits for its turn,
// or for the end of its context, which leaves all as it was.
func TestSQLiteBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := openSQLite(t, path)
	v := testutil.Commit(t, s, testutil.Put(key("a"), 0, "1"))
	p := start(t, "hold", "sqlite", path)
	var held string
	p.answer(&held)
	before := testutil.StoreDigest(t, s)
	limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := s.Commit(limited, testutil.Put(key("a"), v, "2"))
	require.Error(t, err)
	require.NotErrorIs(t, err, keystore.ErrCommitUnknown)
	require.True(t, errors.Is(err, keystore.ErrLocked) || errors.Is(err, context.DeadlineExceeded), "%v", err)
	require.Equal(t, before, testutil.StoreDigest(t, s))

	p.order(500 * time.Millisecond)
	testutil.Commit(t, s, testutil.Put(key("a"), v, "2"))
	p.end()
}

// A process that is killed in the midst of a transaction takes it along.
func TestSQLiteHolderKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := openSQLite(t, path)
	v := testutil.Commit(t, s, testutil.Put(key("a"), 0, "1"))
	for range 3 {
		p := start(t, "hold", "sqlite", path)
		var held string
		p.answer(&held)
		before := testutil.StoreDigest(t, s)
		p.kill()
		require.Equal(t, before, testutil.StoreDigest(t, s))
		v = testutil.Commit(t, s, testutil.Put(key("a"), v, "1"))
	}
}

// countUntilKilled counts in a record, and says what is durable.
func countUntilKilled(name, place string, _ *json.Decoder, answers *json.Encoder) error {
	s, err := engine.Open(ctx, name, place)
	if err != nil {
		return err
	}
	k := key(fmt.Sprint(os.Getpid()))
	var v uint64
	for n := 1; ; n++ {
		if v, err = s.Commit(ctx, testutil.Put(k, v, fmt.Sprint(n, strings.Repeat("x", n%20*1000)))); err != nil {
			return err
		}
		if err := answers.Encode([]int{os.Getpid(), n}); err != nil {
			return err
		}
	}
}

// Processes are killed while they commit, and others go on all the time.
func TestKilledWhileCommitting(t *testing.T) {
	bases(t, killedWhileCommitting)
}

func killedWhileCommitting(t *testing.T, b base) {
	name, place := b.engine, b.place()
	s, err := engine.Open(ctx, name, place)
	require.NoError(t, err)
	defer s.Close()
	c := count(s, key("survivor"))
	for round := range 10 {
		p := start(t, "count", name, place)
		var said []int
		p.answer(&said)
		time.Sleep(time.Duration(round) * 3 * time.Millisecond)
		require.NoError(t, p.cmd.Process.Kill())
		for p.answers.Decode(&said) == nil {
		}
		p.kill()
		n := number(testutil.Load(t, s, key(fmt.Sprint(said[0]))).Value)
		require.Contains(t, []int{said[1], said[1] + 1}, int(n))
	}
	c.end(t, s)
}

// What was deleted or replaced is in none of SQLite's files once those who had
// the store open have closed it.
func TestSTO_15_SQLiteDeletion(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, filepath.Join(dir, "store"))
	secret := func(n int) string { return fmt.Sprintf("secret %d of the test for deletion ", n) }
	v := map[int]uint64{}
	name := func(n int) keystore.Key { return key(fmt.Sprint("name of the secret ", n)) }
	for i := range 40 {
		v[i] = testutil.Commit(t, s, testutil.Put(name(i), 0, strings.Repeat(secret(i), 1+i*i*3)))
	}
	for i := range 40 {
		if i%2 == 0 {
			v[i] = testutil.Commit(t, s, testutil.Put(name(i), v[i], "replaced"))
		}
		testutil.Commit(t, s, testutil.Delete(name(i), v[i]))
	}
	testutil.Commit(t, s, testutil.Put(key("kept"), 0, "what is kept"))
	require.NoError(t, s.Close())
	all := strings.Join(contents(t, dir), "")
	require.Contains(t, all, "what is kept")
	require.False(t, strings.Contains(all, "of the test for deletion"))
	require.False(t, strings.Contains(all, "name of the secret"))
}

// contents returns what is in each file of a directory.
func contents(t testing.TB, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		all = append(all, string(b))
	}
	return all
}

// A COMMIT that is made, and then fails, was made. What tells is drawn anew for
// each, and may be any bytes.
func TestSQLiteLostAnswer(t *testing.T) {
	h := sqliteHarness(t)
	lost := errors.New("lost")
	steps := func(fail int) (seen int) { // of the hook in a Commit
		v := testutil.Load(t, h.Store, key("a")).Version
		h.Fault(func() error {
			if seen++; seen == fail {
				return lost
			}
			return nil
		})
		defer h.Fault(nil)
		testutil.Commit(t, h.Store, testutil.Put(key("a"), v, "v"))
		return seen
	}
	last := steps(0)
	for i := range 150 {
		require.Greater(t, steps(last), last)
		require.EqualValues(t, i+2, testutil.Generation(t, h.Store))
	}
}
