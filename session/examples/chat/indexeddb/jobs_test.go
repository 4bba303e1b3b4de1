//go:build js && wasm

package indexeddb_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/examples/chat/indexeddb"
)

// jobs are what a page is told to do, by GEMBOK_JOB, instead of the tests: what
// takes more pages than one, or a browser that does something to the page. Each
// writes lines to the console.
var jobs = map[string]func() error{
	"open":    openJob,
	"commit":  commitJob,
	"fill":    fillJob,
	"clear":   clearJob,
	"measure": measureJob,
}

const jobDatabase = "job"

func TestMain(m *testing.M) {
	job := os.Getenv("GEMBOK_JOB")
	if job == "" {
		os.Exit(m.Run())
	}
	if err := jobs[job](); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// openJob opens the store and keeps it open.
func openJob() error {
	_, err := indexeddb.Open(ctx, jobDatabase)
	for _, said := range []error{keystore.ErrLocked, keystore.ErrNewerFormat, keystore.ErrCorrupt, keystore.ErrFull, indexeddb.ErrUnavailable} {
		if errors.Is(err, said) {
			fmt.Println("refused:", err)
			return nil
		}
	}
	if err != nil {
		return err
	}
	fmt.Println("open")
	select {}
}

// batch is what is committed together: a few records, whose sizes differ by n.
func batch(n uint64) (keys []keystore.Key, values [][]byte) {
	for i := range 5 {
		keys = append(keys, key(fmt.Sprint("of the batch ", i)))
		values = append(values, bytes.Repeat([]byte(fmt.Sprint(n, " ")), int(n)%7*i*i*200+1))
	}
	return keys, values
}

// commitJob looks at what an earlier one has left, and commits batches until the
// page ends. It says of each that it is made.
func commitJob() error {
	s, err := indexeddb.Open(ctx, jobDatabase) // whose lock the page before may not have given back yet
	refusals := 0
	for ; errors.Is(err, keystore.ErrLocked) && refusals < 1000; refusals++ {
		time.Sleep(time.Millisecond)
		s, err = indexeddb.Open(ctx, jobDatabase)
	}
	if err != nil {
		return err
	}
	n, err := s.Generation(ctx)
	if err != nil {
		return err
	}
	if err := whole(s, n); err != nil {
		return err
	}
	fmt.Println("found", n, "after", refusals, "refusals")
	for {
		var changes []keystore.Change
		keys, values := batch(n + 1)
		for i, k := range keys {
			changes = append(changes, keystore.Change{Op: keystore.Put, Key: k, Expect: n, Value: values[i]})
		}
		if n, err = s.Commit(ctx, changes...); err != nil {
			return err
		}
		fmt.Println("made", n)
	}
}

// whole requires that the batch of a version is there, all of it, or nothing
// before the first.
func whole(s keystore.Store, n uint64) error {
	keys, values := batch(n)
	records, err := s.Load(ctx, keys...)
	if err != nil {
		return err
	}
	for i, r := range records {
		if r.Version != n || n != 0 && !bytes.Equal(r.Value, values[i]) {
			return fmt.Errorf("record %d has version %d and %d bytes, want %d and %d", i, r.Version, len(r.Value), n, len(values[i]))
		}
	}
	return nil
}

// clearJob commits until the browser takes the database away, after which the
// store that was open has nothing to give, and the next is a new one.
func clearJob() error {
	s, err := indexeddb.Open(ctx, jobDatabase)
	if err != nil {
		return err
	}
	var v uint64
	for v, err = s.Commit(ctx, put(key("a"), v, "v")); err == nil; v, err = s.Commit(ctx, put(key("a"), v, "v")) {
		fmt.Println("made", v)
	}
	fmt.Println("told:", err)
	for !errors.Is(err, indexeddb.ErrUnavailable) { // soon
		if _, err = s.Load(ctx, key("a")); err == nil {
			return errors.New("there is something")
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = indexeddb.Open(ctx, jobDatabase); err != nil {
		return err
	}
	g, err := s.Generation(ctx)
	fmt.Println("generation", g)
	return err
}

// fillJob commits until there is no room. What did not fit has changed nothing,
// and what was there is; once something is deleted, there is room again.
func fillJob() error {
	s, err := indexeddb.Open(ctx, jobDatabase)
	if err != nil {
		return err
	}
	var versions []uint64
	large := make([]byte, 1<<20)
	for i := range large { // that do not compress
		large[i] = byte(i * i >> 7 * 31)
	}
	for {
		k, beside := key(fmt.Sprint(len(versions))), key("beside")
		r, err := s.Load(ctx, beside)
		if err != nil {
			return err
		}
		v, err := s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Value: large}, put(beside, r[0].Version, k.Name))
		if err != nil {
			fmt.Println("after", len(versions), "MiB:", err)
			if err := full(s, err, versions); err != nil {
				return err
			}
			break
		}
		if versions = append(versions, v); len(versions) > 200 {
			return errors.New("there is no end")
		}
	}
	for i, v := range versions {
		if _, err := s.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: key(fmt.Sprint(i)), Expect: v}); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	fmt.Println("deleted")
	return nil
}

// full requires that a Commit failed for want of room, after those of versions.
func full(s keystore.Store, err error, versions []uint64) error {
	if !errors.Is(err, keystore.ErrFull) {
		return err
	}
	newest, err := s.Generation(ctx)
	if err != nil {
		return err
	}
	n := 0
	for r, err := range s.List(ctx, "", "", "") {
		if err != nil {
			return err
		}
		if n++; r.Key.Name == "beside" && string(r.Value) != fmt.Sprint(len(versions)-1) {
			return errors.New("a Commit that failed has changed a record")
		}
	}
	if newest != versions[len(versions)-1] || n != len(versions)+1 {
		return fmt.Errorf("generation %d and %d records after %d commits", newest, n, len(versions))
	}
	return nil
}
