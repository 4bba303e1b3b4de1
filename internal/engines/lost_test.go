package engines_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

func key(name string) keystore.Key { return testutil.Key("k", "o", name) }

// patience is more than anything here takes; what takes longer hangs.
const patience = 30 * time.Second

// throughProxy opens a store whose connections all pass a proxy.
func throughProxy(t testing.TB) (keystore.Store, *proxy) {
	server := engine.ForTest(t)
	dsn, err := server.Fresh(ctx)
	require.NoError(t, err)
	p := newProxy(t, server)
	s, err := engine.Open(ctx, "postgres", server.Through(dsn, p.listener.Addr().String()))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s, p
}

// A connection that breaks in a Commit, wherever that is: the answer is true,
// nothing hangs, and the store works on.
func TestConnectionLostInCommit(t *testing.T) {
	for how, name := range map[cut]string{cutBefore: "before the request", cutAfter: "before the answer", cutWithin: "within the answer"} {
		t.Run(name, func(t *testing.T) {
			s, p := throughProxy(t)
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			outcomes := map[string]int{}
			for at := 0; ; at++ {
				before := testutil.Load(t, s, key("n"))
				rest := testutil.Load(t, s, key("rest"))
				value := fmt.Sprint(at)
				p.arm(how, at)
				v, err := s.Commit(limited, testutil.Put(key("n"), before.Version, value), testutil.Put(key("rest"), rest.Version, value))
				sprung := p.sprung()
				now := testutil.Load(t, s, key("n")) // works on
				made := now.Version != before.Version
				require.Equal(t, made, string(now.Value) == value)
				require.Equal(t, made, string(testutil.Load(t, s, key("rest")).Value) == value)
				switch {
				case err == nil:
					require.True(t, made)
					require.Equal(t, now.Version, v)
					outcomes["made"]++
				case errors.Is(err, keystore.ErrCommitUnknown):
					outcomes[fmt.Sprint("unknown, made: ", made)]++
				default:
					require.False(t, made, "%v", err)
					require.NoError(t, limited.Err())
					outcomes["not made"]++
				}
				require.Equal(t, now.Version, testutil.Generation(t, s))
				if !sprung {
					require.NoError(t, err)
					require.Positive(t, at)
					break
				}
			}
			t.Log(outcomes)
		})
	}
}

// One that breaks while something is read is an error, or none because it was
// read again.
func TestConnectionLostInReads(t *testing.T) {
	for how, name := range map[cut]string{cutBefore: "before the request", cutAfter: "before the answer", cutWithin: "within the answer"} {
		t.Run(name, func(t *testing.T) {
			s, p := throughProxy(t)
			value := string(make([]byte, 100_000))
			v := testutil.Commit(t, s, testutil.Put(key("a"), 0, value), testutil.Put(key("b"), 0, value))
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			reads := map[string]func() error{
				"Load": func() error {
					r, err := s.Load(limited, key("a"), key("b"))
					if err == nil {
						require.Equal(t, []uint64{v, v}, []uint64{r[0].Version, r[1].Version})
						require.Equal(t, value, string(r[1].Value))
					}
					return err
				},
				"List": func() (err error) {
					n := 0
					for _, err = range s.List(limited, "", "", "") {
						if err == nil {
							n++
						}
					}
					if err == nil {
						require.Equal(t, 2, n)
					}
					return err
				},
				"Generation": func() error {
					g, err := s.Generation(limited)
					if err == nil {
						require.Equal(t, v, g)
					}
					return err
				},
			}
			for method, read := range reads {
				for at := 0; ; at++ {
					p.arm(how, at)
					err := read()
					sprung := p.sprung()
					require.NoError(t, limited.Err(), "%s hangs", method)
					require.NotErrorIs(t, err, keystore.ErrCommitUnknown)
					require.NoError(t, read(), method)
					if !sprung {
						require.NoError(t, err)
						require.Positive(t, at)
						break
					}
				}
			}
		})
	}
}

// Where a server falls silent, the end of the context ends the call, with an
// answer that is true.
func TestServerFallsSilent(t *testing.T) {
	s, p := throughProxy(t)
	for at := 0; ; at++ {
		before := testutil.Load(t, s, key("n"))
		limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		p.arm(silence, at)
		_, err := s.Commit(limited, testutil.Put(key("n"), before.Version, fmt.Sprint(at)))
		sprung := p.sprung()
		cancel()
		p.sever()
		now := settled(t, s, before)
		switch {
		case err == nil:
			require.NotEqual(t, before.Version, now.Version)
		case !errors.Is(err, keystore.ErrCommitUnknown):
			require.Equal(t, before.Version, now.Version)
		}
		if !sprung {
			break
		}
		require.Error(t, err)
	}
}

// settled returns a record once nobody changes it any more: what a server was
// told before the connection broke it may still be about to do.
func settled(t testing.TB, s keystore.Store, r keystore.Record) keystore.Record {
	t.Helper()
	k := key("settled")
	for { // commits are one after another
		now, err := s.Load(ctx, k)
		if err != nil {
			continue // on a connection that was broken
		}
		if _, err := s.Commit(ctx, testutil.Put(k, now[0].Version, "")); err == nil {
			return testutil.Load(t, s, r.Key)
		}
	}
}

// The server ends the connections, or itself, in the midst of everything.
func TestServerRestarts(t *testing.T) {
	server := engine.ForTest(t)
	dsn, err := server.Fresh(ctx)
	require.NoError(t, err)
	s, err := engine.Open(ctx, "postgres", dsn)
	require.NoError(t, err)
	defer s.Close()
	for round, disturb := range []func() error{
		func() error {
			return server.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL")
		},
		server.Crash,
	} {
		counter := key(fmt.Sprint(round))
		c := count(s, counter)
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, disturb())
		time.Sleep(50 * time.Millisecond)
		c.end(t, s)
		testutil.Commit(t, s, testutil.Put(key("after"), testutil.Load(t, s, key("after")).Version, ""))
	}
}

// A counting is a goroutine that counts in a record.
type counting struct {
	key       keystore.Key
	stop      chan struct{}
	done      chan error
	confirmed uint64 // the highest number that was said to be durable
	unknown   int
}

func count(s keystore.Store, k keystore.Key) *counting {
	c := &counting{key: k, stop: make(chan struct{}), done: make(chan error, 1)}
	go func() { c.done <- c.run(s) }()
	return c
}

func (c *counting) run(s keystore.Store) error {
	for {
		select {
		case <-c.stop:
			return nil
		default:
		}
		r, err := s.Load(ctx, c.key)
		if err != nil {
			continue // while the server is away
		}
		n := number(r[0].Value)
		if n < c.confirmed {
			return fmt.Errorf("%d after %d was durable", n, c.confirmed)
		}
		_, err = s.Commit(ctx, testutil.Put(c.key, r[0].Version, fmt.Sprint(n+1)))
		switch {
		case err == nil:
			c.confirmed = n + 1
		case errors.Is(err, keystore.ErrCommitUnknown):
			c.unknown++
		default: // nothing was changed
			again, err2 := s.Load(ctx, c.key)
			if err2 == nil && again[0].Version != r[0].Version {
				return fmt.Errorf("a Commit was made, and failed by %w", err)
			}
		}
	}
}

func number(value []byte) (n uint64) {
	_, _ = fmt.Sscan(string(value), &n)
	return n
}

func (c *counting) end(t testing.TB, s keystore.Store) {
	t.Helper()
	close(c.stop)
	require.NoError(t, <-c.done)
	n := number(testutil.Load(t, s, c.key).Value)
	require.GreaterOrEqual(t, n, c.confirmed)
	require.LessOrEqual(t, n, c.confirmed+uint64(c.unknown))
	require.Positive(t, c.confirmed)
	t.Logf("counted to %d; %d commits unknown", n, c.unknown)
}

// A Commit that was given up is not made later, also where its sender knew more
// than the server that took over.
func TestGivenUpBehindFailover(t *testing.T) {
	a := postgresTenant(t)
	for _, base := range []int{0, 100, 1000} {
		var version int
		require.NoError(t, a.db.QueryRow(`SELECT version FROM gembok_outcome($1, '\x0102030405060708')`, base).Scan(&version))
		require.Zero(t, version)
		var refused bool
		require.NoError(t, a.db.QueryRow(`SELECT version IS NULL
			FROM gembok_commit(1, $1, '\x0102030405060708', '', '{}', 0, 0, '{}', '{}', '{}', '')`, base).Scan(&refused))
		require.True(t, refused, base)
	}
}
