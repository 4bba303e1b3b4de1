package hosting_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

var errCrash = errors.New("the process ended")

// A mortal is a store whose process ends at a call: before it, or after it was done.
type mortal struct {
	keystore.Store
	at    int // 0: never
	after bool
	calls int
	seen  func() // after each commit
}

func (s *mortal) ends(after bool) error {
	if s.calls >= s.at && s.at > 0 && (s.after == after || s.calls > s.at) {
		return errCrash
	}
	return nil
}

func (s *mortal) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	s.calls++
	if err := errors.Join(s.ends(false), s.ends(true)); err != nil {
		return nil, err
	}
	return s.Store.Load(ctx, keys...)
}

func (s *mortal) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	s.calls++
	if err := errors.Join(s.ends(false), s.ends(true)); err != nil {
		return func(yield func(keystore.Record, error) bool) { yield(keystore.Record{}, err) }
	}
	return s.Store.List(ctx, scope, kind, owner)
}

func (s *mortal) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	s.calls++
	if err := s.ends(false); err != nil {
		return 0, err
	}
	v, err := s.Store.Commit(ctx, changes...)
	if err == nil {
		if s.seen != nil {
			s.seen()
		}
		err = s.ends(true)
	}
	return v, err
}

// picture is what a store holds of an account: what is known of its keys, and how
// many records there are of each other kind.
func picture(t testing.TB, s keystore.Store) string {
	t.Helper()
	count, out := map[string]int{}, ""
	for _, r := range testutil.Records(t, s) {
		if count[r.Key.Kind]++; r.Key.Kind == "hosting" || r.Key.Kind == "consent" {
			out += fmt.Sprintf("%s %s %s %x\n", r.Key.Kind, r.Key.Owner, r.Key.Name, r.Value)
		}
	}
	return out + testutil.Counts(count)
}

// An ending is an operation at which a process may end, and what must be so when it
// went through, be it at the second time.
type ending struct {
	name  string
	setup func(t *testing.T) (w *town, s *side, run func(d *session.Device) error, done func(t *testing.T, s *side))
}

var endings = []ending{
	{"message with a manifest", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, k := met(t)
		k.publishes(t, w, follow(t, nil, hosted(1, awan())))
		m, err := k.encrypts(b, "halo")
		require.NoError(t, err)
		return w, b, func(d *session.Device) error {
				_, err := d.Decrypt(ctx, at(toko, 1), m, nil)
				return err
			}, func(t *testing.T, s *side) {
				for r, err := range s.Unacknowledged(ctx) {
					require.NoError(t, err)
					require.Len(t, s.notices(t, r), 1)
					require.True(t, s.receipt(t, r).Listed)
				}
				require.Equal(t, hosting.State("PENDING"), s.label(t, toko).State)
			}
	}},
	{"bundle with a manifest", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, k := met(t)
		bundle, err := w.Bundle(ctx, k.Address())
		require.NoError(t, err)
		bundle.Manifest = follow(t, nil, hosted(1, awan())).Bytes()
		return w, b, func(d *session.Device) error { return d.Begin(ctx, at(toko, 1), bundle) }, func(t *testing.T, s *side) {
			require.Equal(t, hosting.State("PENDING"), s.label(t, toko).State)
		}
	}},
	{"refresh", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, k := met(t)
		k.publishes(t, w, follow(t, nil, hosted(1, awan())))
		return w, b, func(d *session.Device) error { return d.Refresh(ctx, toko) }, func(t *testing.T, s *side) {
			require.Len(t, s.told(t), 1)
			require.True(t, s.label(t, toko).Hosted())
		}
	}},
	{"refused send", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, k := met(t)
		k.publishes(t, w, follow(t, nil, hosted(1, awan())))
		return w, b, func(d *session.Device) error {
				_, err := d.Send(ctx, []string{toko}, &session.Content{}, nil)
				var e *hosting.ConsentRequiredError
				if errors.As(err, &e) && e.State == "PENDING" {
					return nil
				}
				return errors.Join(err, errCrash)
			}, func(t *testing.T, s *side) {
				require.Len(t, s.told(t), 1)
				require.NotContains(t, picture(t, s.store), " sent\n")
			}
	}},
	{"send to the first manifest", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, k := met(t)
		k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
		return w, b, func(d *session.Device) error {
			_, err := d.Send(ctx, []string{toko}, &session.Content{}, nil)
			return err
		}, func(t *testing.T, s *side) { require.Equal(t, hosting.State("CURRENT"), s.label(t, toko).State) }
	}},
	{"consent", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, k := met(t)
		k.publishes(t, w, follow(t, nil, hosted(1, awan())))
		require.NoError(t, b.Refresh(ctx, toko))
		token := b.wants(t, toko).Token
		return w, b, func(d *session.Device) error {
				err := b.gate.Consent(ctx, d, toko, token, hosting.Yes)
				if errors.Is(err, hosting.ErrLabelStale) { // it was done
					return nil
				}
				return err
			}, func(t *testing.T, s *side) {
				require.Equal(t, hosting.State("CURRENT"), s.label(t, toko).State)
				require.Len(t, s.consents(t), 2)
			}
	}},
	{"publish", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, _, k := met(t)
		m := follow(t, nil, own(1, hosting.OwnerServer))
		return w, k, func(d *session.Device) error { return k.gate.Publish(ctx, d, m.Bytes()) }, func(t *testing.T, s *side) {
			got, err := s.gate.Manifest(ctx, s.Device, toko)
			require.NoError(t, err)
			require.Equal(t, m.Hash(), got.Hash())
		}
	}},
	{"forget", func(t *testing.T) (*town, *side, func(*session.Device) error, func(*testing.T, *side)) {
		w, b, _, _ := believing(t)
		return w, b, func(d *session.Device) error { return d.Forget(ctx, toko) }, func(t *testing.T, s *side) {
			require.Equal(t, hosting.State("UNATTESTED"), s.label(t, toko).State)
			require.Empty(t, s.consents(t))
		}
	}},
}

// What is known of who has the keys is of one piece with sessions and messages:
// wherever a process ends, the store is as before a commit of the operation or as
// after it, and the operation can be done again.
func TestLBL_13_CrashMatrix(t *testing.T) {
	for _, c := range endings {
		t.Run(c.name, func(t *testing.T) {
			_, s, run, done := c.setup(t)
			whole := &mortal{Store: s.copied(t)}
			pictures := []string{picture(t, whole.Store)}
			whole.seen = func() { pictures = append(pictures, picture(t, whole.Store)) }
			require.NoError(t, run(s.over(t, whole).Device))
			require.Greater(t, len(pictures), 1)
			calls := whole.calls
			done(t, s.over(t, whole.Store))
			step := 1
			if testing.Short() {
				step = 3
			}
			for n := calls; n >= 2; n -= step { // the first is that of Open
				for _, after := range []bool{false, true} {
					store := &mortal{Store: s.copied(t), at: n, after: after}
					require.Error(t, run(s.over(t, store).Device), "%d of %d, %t", n, calls, after)
					require.Contains(t, pictures, picture(t, store.Store), "%d %t", n, after)
					again := s.over(t, store.Store)
					require.NoError(t, run(again.Device))
					done(t, again)
				}
			}
		})
	}
}

// copied is a copy of the store of s, and over is s on another one.
func (s *side) copied(t testing.TB) keystore.Store {
	t.Helper()
	var changes []keystore.Change
	for _, r := range testutil.Records(t, s.store) {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	out := keystore.NewMemory()
	testutil.Commit(t, out, changes...)
	return out
}

func (s *side) over(t testing.TB, store keystore.Store) *side {
	t.Helper()
	out := *s
	out.store = store
	out.reopen(t)
	return &out
}
