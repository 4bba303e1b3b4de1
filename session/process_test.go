//go:build !wasm

package session_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/session"
)

func openBolt(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// The same over the embedded store, where commits share flushes.
func TestSTO_06_ConcurrentUseBolt(t *testing.T) {
	for _, devices := range []int{1, 2} {
		t.Run(fmt.Sprint("devices ", devices), func(t *testing.T) {
			busy(t, openBolt(t, filepath.Join(t.TempDir(), "store")), devices)
		})
	}
}

// An operation whose context ends leaves nothing running, whoever waits with it
// for a lock or a flush, and the store and the device go on.
func TestNothingRunsOn(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := openBolt(t, filepath.Join(t.TempDir(), "store"))
	p := friends(t)
	bob := &side{store: s, opts: p.bob.opts, identity: p.bob.identity}
	copyTo(t, s, p.bob.store)
	var err error
	bob.Device, err = session.Open(ctx, s, bobAddress, p.bob.opts)
	require.NoError(t, err)
	goleak.VerifyNone(t, before)
	m := p.alice.send(t, p.bob, "text")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		ended, cancel := context.WithCancel(ctx)
		wait := time.Duration(rng.IntN(3000)) * time.Microsecond
		var all sync.WaitGroup
		for i, f := range []func() error{
			func() error { _, err := bob.Encrypt(ended, aliceAddress, nil); return err },
			func() error { _, err := bob.Encrypt(ended, aliceAddress, nil); return err },
			func() error { _, err := bob.Decrypt(ended, aliceAddress, m, nil); return err },
			func() error { _, err := bob.Bundle(ended); return err },
			func() error { return bob.Acknowledge(ended, &session.Received{From: aliceAddress}) },
			func() error {
				return bob.Update(ended, []session.Address{aliceAddress}, func(tx *session.Tx) error { return tx.Put(draft, nil) })
			},
			func() error {
				for _, err := range bob.Unacknowledged(ended) {
					return err
				}
				return nil
			},
		} {
			all.Go(func() {
				if err := f(); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(i, err)
				}
			})
		}
		time.Sleep(wait)
		cancel()
		all.Wait()
		goleak.VerifyNone(t, before)
	}
	p.bob = bob
	p.goesOn(t)
}

// copyTo copies the records of a store into another.
func copyTo(t testing.TB, to, from keystore.Store) {
	t.Helper()
	for r, err := range from.List(ctx, "", "", "") {
		require.NoError(t, err)
		_, err = to.Commit(ctx, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
		require.NoError(t, err)
	}
}

// childPath names the store of a child process, which is this test again.
const childPath = "SESSION_CHILD_STORE"

// A child is another process with a device of its own.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	says *bufio.Scanner
}

func startChild(t *testing.T, path string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0], "-test.run=^TestSTO_05_TwoDevicesInTwoProcesses$")}
	c.cmd.Env = append(os.Environ(), childPath+"="+path)
	c.cmd.Stderr = os.Stderr
	var err error
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	c.says = bufio.NewScanner(out)
	t.Cleanup(func() { c.kill() })
	return c
}

// asks has the child do something, and returns what it says.
func (c *child) asks(order ...string) string {
	c.t.Helper()
	_, err := fmt.Fprintln(c.in, strings.Join(order, " "))
	require.NoError(c.t, err)
	return c.hears()
}

func (c *child) hears() string {
	c.t.Helper()
	require.True(c.t, c.says.Scan(), "the process ended")
	return c.says.Text()
}

// kill ends the process as a crash would, and returns what it said meanwhile.
func (c *child) kill() (said []string) {
	c.cmd.Process.Kill()
	for c.says.Scan() {
		said = append(said, c.says.Text())
	}
	c.cmd.Wait()
	return said
}

// beChild opens bob's device, says so, and does as it is told.
func beChild(path string) error {
	s, err := boltstore.Open(path, nil)
	if errors.Is(err, keystore.ErrLocked) {
		fmt.Println("locked")
		return nil
	}
	if err != nil {
		return err
	}
	bob, err := session.Open(ctx, s, bobAddress, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		order, rest, _ := strings.Cut(orders.Text(), " ")
		switch order {
		case "read":
			raw, _ := hex.DecodeString(rest)
			r, err := bob.Decrypt(ctx, aliceAddress, &session.Message{Type: session.TypeSignal, Bytes: raw}, nil)
			if err != nil {
				return err
			}
			fmt.Println(string(r.Plaintext), r.Redelivered)
		case "send":
			for n := 0; n == 0 || rest == "on"; n++ {
				m, err := bob.Encrypt(ctx, aliceAddress, []byte("sent"))
				if err != nil {
					return err
				}
				fmt.Println(hex.EncodeToString(m.Bytes))
			}
		}
	}
	return nil
}

// TestSTO_05_TwoDevicesInTwoProcesses has two processes open one device in one
// file: the second is refused as long as the first lives, however that ends,
// and then goes on where the first was.
func TestSTO_05_TwoDevicesInTwoProcesses(t *testing.T) {
	if path := os.Getenv(childPath); path != "" {
		require.NoError(t, beChild(path))
		return
	}
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	path := filepath.Join(t.TempDir(), "store")
	s := openBolt(t, path)
	copyTo(t, s, p.bob.store)
	require.Equal(t, "locked", startChild(t, path).hears())
	require.NoError(t, s.Close())
	used := map[string]bool{}
	gets := func(line string) {
		raw, err := hex.DecodeString(line)
		require.NoError(t, err)
		m := &session.Message{Type: session.TypeSignal, Bytes: raw}
		id := fmt.Sprintf("%x %d", inner(t, m).RatchetKey, inner(t, m).Counter)
		require.False(t, used[id], "a counter twice")
		used[id] = true
		p.alice.saves(t, p.bob, m, "sent")
	}
	for range 3 {
		m := p.alice.send(t, p.bob, "text")
		first := startChild(t, path)
		require.Equal(t, "open", first.hears())
		require.Equal(t, "text false", first.asks("read", hex.EncodeToString(m.Bytes)))
		_, err := boltstore.Open(path, nil)
		require.ErrorIs(t, err, keystore.ErrLocked)
		require.Equal(t, "locked", startChild(t, path).hears())
		gets(first.asks("send"))
		gets(first.asks("send", "on"))
		for _, line := range first.kill() {
			gets(line)
		}

		s = openBolt(t, path)
		bob := &side{store: s, opts: p.bob.opts, identity: p.bob.identity}
		bob.Device, err = session.Open(ctx, s, bobAddress, p.bob.opts)
		require.NoError(t, err)
		got := bob.waiting(t)
		require.Len(t, got, 1)
		sameResult(t, bob.reads(t, p.alice, m, "text"), got[0])
		bob.acknowledges(t, got...)
		refused(t, bob.decrypt(p.alice, m), session.ErrDuplicate)
		gets(hex.EncodeToString(bob.send(t, p.alice, "sent").Bytes))
		require.NoError(t, s.Close())
	}
}

// A device in a file that may not grow any more loses nothing, and goes on when
// there is room.
func TestFullStore(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	path := filepath.Join(t.TempDir(), "store")
	s := openBolt(t, path)
	copyTo(t, s, p.bob.store)
	require.NoError(t, s.Close())
	open := func(size int64) (*side, *boltstore.Store) {
		s, err := boltstore.Open(path, &boltstore.Options{MaxSize: size})
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		bob := &side{store: s, opts: p.bob.opts, identity: p.bob.identity}
		bob.Device, err = session.Open(ctx, s, bobAddress, p.bob.opts)
		require.NoError(t, err)
		return bob, s
	}
	bob, s := open(256 << 10)
	read := map[string]bool{}
	var m *session.Message
	for err := error(nil); err == nil; {
		m = p.alice.send(t, p.bob, strings.Repeat("x", 20000))
		var r *session.Received
		if r, err = bob.Decrypt(ctx, aliceAddress, m, nil); err == nil {
			read[string(r.ID[:])] = true
			continue
		}
		refused(t, err, keystore.ErrFull)
	}
	require.NotEmpty(t, read)
	require.Len(t, bob.waiting(t), len(read))
	require.NoError(t, s.Close())
	_, err := bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, keystore.ErrClosed)

	bob, _ = open(0)
	require.False(t, bob.reads(t, p.alice, m, strings.Repeat("x", 20000)).Redelivered)
	require.Len(t, bob.waiting(t), len(read)+1)
	bob.acknowledges(t, bob.waiting(t)...)
	require.Empty(t, bob.list(t, "body", ""))
}
