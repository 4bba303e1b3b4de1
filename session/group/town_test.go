package group_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	ani  = "ani"
	budi = "budi"
	cici = "cici"
	dewi = "dewi"
	club = "club"
)

func at(user string, device uint32) session.Address {
	return session.Address{User: user, Device: device}
}

// A town is devices of several users, and the server that knows them all.
type town struct {
	t        testing.TB
	now      time.Time // what all clocks show
	of       map[session.Address]*resident
	hidden   map[session.Address]bool // not listed, but there
	deaf     map[session.Address]bool // listed, but there is no bundle
	identity map[string]*keys.IdentityKeyPair
	given    uint32 // registration ids
	policy   group.Options
}

// A resident is a device, and all that a test may know of it.
type resident struct {
	*session.Device
	groups *group.Groups
	store  keystore.Store
	town   *town
	heard  []string
}

func newTown(t testing.TB, devices ...session.Address) *town {
	w := &town{t: t, now: time.Unix(1_700_000_000, 0), of: map[session.Address]*resident{}, hidden: map[session.Address]bool{},
		deaf: map[session.Address]bool{}, identity: map[string]*keys.IdentityKeyPair{}}
	for _, a := range devices {
		w.add(a)
	}
	return w
}

// add makes a device, in place of one of that address; those of one user share an
// identity key.
func (w *town) add(a session.Address) *resident {
	if w.identity[a.User] == nil {
		w.identity[a.User] = keys.GenerateIdentityKeyPair()
	}
	w.given++
	r := &resident{store: keystore.NewMemory(), town: w}
	d, err := session.Create(ctx, r.store, session.Account{Address: a, Identity: w.identity[a.User], RegistrationID: w.given}, w.options())
	require.NoError(w.t, err)
	r.Device, r.groups, w.of[a] = d, group.New(d, &w.policy), r
	return r
}

func (w *town) options() *session.Options {
	return &session.Options{Now: func() time.Time { return w.now }, Content: true, Directory: w}
}

// restarted is a device taken up again, over its store or another one.
func (r *resident) restarted(store keystore.Store) *resident {
	d, err := session.Open(ctx, store, r.Address(), r.town.options())
	require.NoError(r.town.t, err)
	return &resident{Device: d, groups: group.New(d, &r.town.policy), store: r.store, town: r.town}
}

func (w *town) Devices(_ context.Context, user string) (out []session.PeerDevice, _ error) {
	for a, r := range w.of {
		if a.User == user && !w.hidden[a] {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: r.RegistrationID()})
		}
	}
	return out, nil
}

var errDeaf = errors.New("no bundle")

func (w *town) Bundle(_ context.Context, a session.Address) (*x3dh.Bundle, error) {
	if w.deaf[a] {
		return nil, errDeaf
	}
	return w.of[a].Bundle(ctx)
}

func (w *town) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// differs is what the server says of a Sending to users.
func (w *town) differs(from *resident, s *session.Sending, users ...string) (out []session.Difference) {
	for _, user := range users {
		diff := session.Difference{User: user}
		for a, r := range w.of {
			if a.User != user || w.hidden[a] || a == from.Address() {
				continue
			}
			i := slices.IndexFunc(s.Results, func(res session.Result) bool { return res.To == a })
			switch {
			case i < 0 || s.Results[i].Message == nil:
				diff.Missing = append(diff.Missing, a.Device)
			case s.Results[i].RegistrationID != r.RegistrationID():
				diff.Stale = append(diff.Stale, a.Device)
			}
		}
		for _, res := range s.Results {
			if a := res.To; a.User == user && res.Message != nil && (w.of[a] == nil || w.hidden[a]) {
				diff.Extra = append(diff.Extra, a.Device)
			}
		}
		if len(diff.Missing)+len(diff.Stale)+len(diff.Extra) > 0 {
			out = append(out, diff)
		}
	}
	return out
}

// set says who is in the club.
func (r *resident) set(members ...string) {
	r.town.t.Helper()
	require.NoError(r.town.t, r.groups.Set(ctx, club, members, nil))
}

// club is what a device knows of it.
func (r *resident) club() *group.Group {
	r.town.t.Helper()
	g, err := r.groups.Get(ctx, club)
	require.NoError(r.town.t, err)
	return g
}

// gives has the key handed to who lacks it, and returns who that was.
func (r *resident) gives() []session.Address {
	r.town.t.Helper()
	s, err := r.groups.Distribute(ctx, club, nil)
	require.NoError(r.town.t, err)
	if s == nil {
		return nil
	}
	r.town.deliver(r, s)
	require.NoError(r.town.t, r.groups.Accept(ctx, s))
	return where(s.Results)
}

func where(results []session.Result) (out []session.Address) {
	for _, r := range results {
		out = append(out, r.To)
	}
	return out
}

// deliver brings a Sending where it is to be, and requires that it is read, and
// without trouble.
func (w *town) deliver(from *resident, s *session.Sending) {
	w.t.Helper()
	for i := range s.Results {
		require.NoError(w.t, s.Results[i].Err, s.Results[i].To)
		require.NoError(w.t, w.of[s.Results[i].To].hears(from, s.Results[i].Message), s.Results[i].To)
	}
}

// hears takes a message, and notes what it says.
func (r *resident) hears(from *resident, m *session.Message) error {
	got, err := r.groups.Decrypt(ctx, from.Address(), m, nil)
	if err != nil {
		return err
	}
	if len(got.Content.Body) > 0 {
		r.heard = append(r.heard, string(got.Content.Body))
	}
	return r.Acknowledge(ctx, got)
}

// sends sends a text to the club, whose devices have the key.
func (r *resident) sends(text string) *session.Sending {
	r.town.t.Helper()
	s, err := r.groups.Send(ctx, club, &session.Content{Body: []byte(text)}, nil)
	require.NoError(r.town.t, err)
	return s
}

// says does all that it takes to have the club hear a text, and returns who got the
// key before.
func (r *resident) says(text string) (got []session.Address) {
	r.town.t.Helper()
	got = r.gives()
	s := r.sends(text)
	r.town.deliver(r, s)
	require.NoError(r.town.t, r.groups.Accept(ctx, s))
	return got
}

// waits requires that a message to the club has to wait for devices, and that
// nothing changed.
func (r *resident) waits(o *session.SendOptions, devices ...session.Address) *group.WaitingError {
	r.town.t.Helper()
	before := testutil.StoreDigest(r.town.t, r.store)
	s, err := r.groups.Send(ctx, club, &session.Content{Body: []byte("too early")}, o)
	require.Nil(r.town.t, s)
	waiting, ok := errors.AsType[*group.WaitingError](err)
	require.True(r.town.t, ok, "%v", err)
	require.Equal(r.town.t, devices, waiting.Devices)
	require.Len(r.town.t, waiting.Errs, len(devices))
	require.Equal(r.town.t, before, testutil.StoreDigest(r.town.t, r.store))
	return waiting
}

// heard requires what a device heard, and forgets it.
func (w *town) heard(a session.Address, texts ...string) {
	w.t.Helper()
	require.Equal(w.t, texts, w.of[a].heard, a)
	w.of[a].heard = nil
}

// refused requires an error of a class, with a short text that has no name in it.
func refused(t testing.TB, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	require.Less(t, len(err.Error()), 120)
	for _, name := range []string{ani, budi, cici, dewi, club} {
		require.NotContains(t, err.Error(), name)
	}
}
