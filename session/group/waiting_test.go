package group_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A device or user that cannot be reached holds up the group until the app excludes
// him by name, for one message or for good; that he has no key then is another one's
// to begin with.
func TestUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		make func(w *town, a *resident)
		who  session.Address
		err  func(error) bool
	}{
		"no bundle": {func(w *town, a *resident) { w.deaf[at(dewi, 2)] = true }, at(dewi, 2),
			func(err error) bool { return is[*session.DirectoryError](err) }},
		"another identity": {func(w *town, a *resident) {
			known, err := w.of[at(dewi, 2)].Bundle(ctx)
			require.NoError(w.t, err)
			require.NoError(w.t, a.Begin(ctx, at(dewi, 2), known))
			w.identity[dewi] = nil
			other := w.add(at(dewi, 2))
			bundle, err := a.Bundle(ctx)
			require.NoError(w.t, err)
			require.NoError(w.t, other.Begin(ctx, at(ani, 1), bundle))
			m, err := other.Encrypt(ctx, at(ani, 1), new(session.Content).Bytes())
			require.NoError(w.t, err)
			require.NoError(w.t, a.hears(other, m))
		}, at(dewi, 2), func(err error) bool { return is[*session.UntrustedIdentityError](err) }},
		"blocked":    {func(w *town, a *resident) { require.NoError(w.t, a.Block(ctx, dewi, true)) }, at(dewi, 0), isErr(session.ErrBlocked)},
		"no devices": {func(w *town, a *resident) { w.hidden[at(dewi, 1)], w.hidden[at(dewi, 2)] = true, true }, at(dewi, 0), isErr(session.ErrNoDevice)},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := three(t)
			w.add(at(dewi, 1))
			w.add(at(dewi, 2))
			c.make(w, a)
			a.set(budi, cici, dewi)
			s, err := a.groups.Distribute(ctx, club, nil)
			require.NoError(t, err)
			got := []session.Address{}
			for i := range s.Results {
				r := &s.Results[i]
				if r.To == c.who {
					require.True(t, c.err(r.Err), "%v", r.Err)
					require.Nil(t, r.Message)
					continue
				}
				require.NoError(t, w.of[r.To].hears(a, r.Message))
				got = append(got, r.To)
			}
			require.Len(t, got, len(s.Results)-1)
			require.NoError(t, a.groups.Accept(ctx, s))
			w.stuck(a, c.who, c.err)

			// For one message.
			old := a.chain()
			s, err = a.groups.Send(ctx, club, &session.Content{Body: []byte("without")}, &session.SendOptions{Exclude: []session.Address{c.who}})
			require.NoError(t, err)
			require.Equal(t, append(everybody[:3:3], got...), where(s.Results))
			w.deliver(a, s)
			require.Equal(t, old, a.chain())
			w.stuck(a, c.who, c.err)

			// For good.
			require.NoError(t, a.groups.Set(ctx, club, []string{budi, cici, dewi}, []session.Address{c.who}))
			require.Empty(t, a.says("for good"))
			w.heard(at(budi, 1), "without", "for good")
		})
	}
}

// stuck requires that a message has to wait for one device alone, and why.
func (w *town) stuck(a *resident, who session.Address, why func(error) bool) {
	w.t.Helper()
	waiting := a.waits(nil, who)
	if waiting.Errs[0] != nil { // Send itself asks for no bundle
		require.True(w.t, why(waiting.Errs[0]), "%v", waiting.Errs[0])
		require.True(w.t, why(waiting))
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isErr(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// TestGRP_06_BlockedOrExcluded: whoever has the key and is blocked, or excluded from
// one message alone, reads nothing that comes after.
func TestGRP_06_BlockedOrExcluded(t *testing.T) {
	w, a := three(t)
	require.NoError(t, a.Block(ctx, cici, true))
	waiting := a.waits(nil, at(budi, 1), at(budi, 2), at(cici, 0))
	require.Equal(t, []error{nil, nil, session.ErrBlocked}, waiting.Errs)
	require.ErrorIs(t, waiting, session.ErrBlocked)
	not := &session.SendOptions{Exclude: []session.Address{at(cici, 0), at(cici, 0), at(budi, 2)}}
	a.waits(not, at(budi, 1))
	s, err := a.groups.Distribute(ctx, club, not)
	require.NoError(t, err)
	require.Equal(t, everybody[:1], where(s.Results))
	w.deliver(a, s)
	require.NoError(t, a.groups.Accept(ctx, s))
	s, err = a.groups.Send(ctx, club, &session.Content{Body: []byte("secret")}, not)
	require.NoError(t, err)
	require.Equal(t, everybody[:1], where(s.Results), "GRP-13: who can read it")
	require.Equal(t, everybody[:1], a.club().Has)
	for _, d := range everybody[1:] {
		require.ErrorIs(t, w.of[d].hears(a, s.Results[0].Message), group.ErrNoSenderKey)
	}
	w.deliver(a, s)
	require.NoError(t, a.Block(ctx, cici, false))
	require.Equal(t, everybody[1:], a.says("for all"))
}

// TestGRP_06_IdentityInQuestion: while it is not known whose a device with the key is,
// nothing is sent to it, nor to the others without saying so.
func TestGRP_06_IdentityInQuestion(t *testing.T) {
	w, a := three(t)
	w.identity[cici] = nil
	other := w.add(at(cici, 1))
	bundle, err := a.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, other.Begin(ctx, at(ani, 1), bundle))
	m, err := other.Encrypt(ctx, at(ani, 1), new(session.Content).Bytes())
	require.NoError(t, err)
	require.NoError(t, a.hears(other, m))
	waiting := a.waits(nil, at(cici, 1))
	require.True(t, is[*session.UntrustedIdentityError](waiting.Errs[0]))
	require.NoError(t, a.AcceptIdentity(ctx, at(cici, 1), other.Identity()))
	require.Equal(t, everybody, a.says("trusted"))
	w.heard(at(cici, 1), "trusted")
}

// TestGRP_13_WhoCouldRead: the Results of a message name all who can read it, and
// Get all who could read the next one.
func TestGRP_13_WhoCouldRead(t *testing.T) {
	w, a := three(t)
	w.add(at(dewi, 1))
	stranger := w.add(at("eka", 1))
	a.set(budi, cici, dewi)
	s, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	g := a.club()
	require.Equal(t, everybody, g.Has)
	require.Equal(t, []session.Address{at(dewi, 1)}, g.Unsure, "it left, and nobody said that it was taken")
	a.waits(nil, at(dewi, 1))
	require.NoError(t, a.groups.Accept(ctx, s))
	w.deliver(a, s)
	g = a.club()
	require.Equal(t, append(everybody[:3:3], at(dewi, 1)), g.Has)
	require.Empty(t, g.Unsure)
	s = a.sends("who reads this?")
	require.Equal(t, g.Has, where(s.Results))
	require.ErrorIs(t, stranger.hears(a, s.Results[0].Message), group.ErrNoSenderKey)
	w.deliver(a, s)
	a.set(budi)
	require.Equal(t, append(everybody[:3:3], at(dewi, 1)), a.club().Has, "until there is another key")
	require.Equal(t, everybody[:2], a.gives())
	require.Equal(t, everybody[:2], a.club().Has)
}

// Without anybody who has a device, a message goes to the own devices alone.
func TestGroupOfOne(t *testing.T) {
	w := newTown(t, at(ani, 1), at(ani, 2))
	a := w.of[at(ani, 1)]
	a.set(ani)
	require.Nil(t, a.says("note"))
	w.heard(at(ani, 2), "note")
	a.set()
	s, err := a.groups.Send(ctx, club, new(session.Content), &session.SendOptions{NoOwnDevices: true})
	require.NoError(t, err)
	require.Empty(t, s.Results)
}

// Bad input changes nothing.
func TestGroupBadInput(t *testing.T) {
	w, a := three(t)
	before := testutil.StoreDigest(t, a.store)
	long := strings.Repeat("x", 1025)
	for _, name := range []string{"", long, "\xff"} {
		refused(t, a.groups.Set(ctx, name, nil, nil), session.ErrMalformed)
		refused(t, a.groups.Forget(ctx, name), session.ErrMalformed)
		g, err := a.groups.Get(ctx, name)
		require.Nil(t, g)
		refused(t, err, session.ErrMalformed)
		refused(t, second(a.groups.Send(ctx, name, new(session.Content), nil)), session.ErrMalformed)
		refused(t, second(a.groups.Distribute(ctx, name, nil)), session.ErrMalformed)
		if name != "" {
			refused(t, a.groups.Set(ctx, club, []string{budi, name}, nil), session.ErrMalformed)
		}
		refused(t, a.groups.Set(ctx, club, []string{budi}, []session.Address{at(name, 1)}), session.ErrMalformed)
	}
	refused(t, a.groups.Set(ctx, club, []string{budi, ""}, nil), session.ErrMalformed)
	refused(t, a.groups.Set(ctx, club, nil, []session.Address{at(budi, 128)}), session.ErrMalformed)
	refused(t, a.groups.Set(ctx, club, make([]string, 1001), nil), session.ErrMalformed)
	refused(t, a.groups.Set(ctx, club, nil, make([]session.Address, 1001)), session.ErrMalformed)
	refused(t, second(a.groups.Get(ctx, "nowhere")), group.ErrNoGroup)
	refused(t, second(a.groups.Send(ctx, "nowhere", new(session.Content), nil)), group.ErrNoGroup)
	refused(t, second(a.groups.Distribute(ctx, "nowhere", nil)), group.ErrNoGroup)
	require.NoError(t, a.groups.Forget(ctx, "nowhere"))
	refused(t, second(a.groups.Send(ctx, club, nil, nil)), session.ErrMalformed)
	refused(t, second(a.groups.Send(ctx, club, &session.Content{SyncTo: budi}, nil)), session.ErrMalformed)
	refused(t, second(a.groups.Send(ctx, club, new(session.Content), &session.SendOptions{Exclude: []session.Address{at(budi, 128)}})), session.ErrMalformed)
	refused(t, a.groups.Accept(ctx, nil), session.ErrMalformed)
	refused(t, a.groups.Accept(ctx, new(session.Sending)), session.ErrMalformed)
	refused(t, a.groups.Reconcile(ctx, nil), session.ErrMalformed)
	refused(t, second(a.groups.Resend(ctx, at(budi, 1), nil)), session.ErrMalformed)
	refused(t, second(a.groups.Resend(ctx, at(budi, 1), &session.Message{Type: session.TypeSenderKey})), session.ErrMalformed)
	require.NoError(t, a.groups.Set(ctx, club, []string{budi, cici, ani, budi}, nil))
	require.Equal(t, before, testutil.StoreDigest(t, a.store))
	require.Nil(t, a.says("and on"))
	w.heard(at(cici, 1), "and on")
}

func second[T any](_ T, err error) error { return err }

// Members are known by one spelling.
func TestGroupSpelling(t *testing.T) {
	const id = "9d0652a3-dcc3-4d11-975f-74d61598733f"
	w := newTown(t, at(ani, 1), at(id, 1), at(id, 2))
	a := w.of[at(ani, 1)]
	require.NoError(t, a.groups.Set(ctx, club, []string{strings.ToUpper(id), id}, []session.Address{at(strings.ToUpper(id), 2), at(id, 2)}))
	require.Equal(t, []string{id}, a.club().Members)
	require.Equal(t, []session.Address{at(id, 2)}, a.club().Exclude)
	require.Equal(t, []session.Address{at(id, 1)}, a.says("hello"))
}

// Without Content there is no group.
func TestGroupNeedsContent(t *testing.T) {
	w := newTown(t, at(budi, 1))
	o := w.options()
	o.Content = false
	store := keystore.NewMemory()
	d, err := session.Create(ctx, store, session.Account{Address: at(ani, 1)}, o)
	require.NoError(t, err)
	g := group.New(d, nil)
	require.NoError(t, g.Set(ctx, club, []string{budi}, nil))
	before := testutil.StoreDigest(t, store)
	refused(t, second(g.Distribute(ctx, club, nil)), session.ErrMalformed)
	refused(t, second(g.Send(ctx, club, &session.Content{Body: []byte("x")}, nil)), session.ErrMalformed)
	require.Equal(t, before, testutil.StoreDigest(t, store))
}

// A record of a group that is damaged is said to be; Set begins anew with it. One of
// a newer format is left alone.
func TestGroupRecordDamaged(t *testing.T) {
	w, a := three(t)
	k := keystore.Key{Scope: a.Address().String(), Kind: "group", Owner: club}
	id := a.club().ID
	for _, value := range [][]byte{{1, 0xFF}, {1}, {}} {
		a.puts(k, value)
		before := testutil.StoreDigest(t, a.store)
		refused(t, second(a.groups.Get(ctx, club)), session.ErrCorrupt)
		refused(t, second(a.groups.Distribute(ctx, club, nil)), session.ErrCorrupt)
		refused(t, second(a.groups.Send(ctx, club, new(session.Content), nil)), session.ErrCorrupt)
		require.Equal(t, before, testutil.StoreDigest(t, a.store))
		a.set(budi)
		require.NotEqual(t, id, a.club().ID)
		require.Equal(t, everybody[:2], a.says("anew"))
	}
	a.puts(k, []byte{2, 1})
	before := testutil.StoreDigest(t, a.store)
	refused(t, a.groups.Set(ctx, club, nil, nil), keystore.ErrNewerFormat)
	refused(t, a.groups.Forget(ctx, club), keystore.ErrNewerFormat)
	refused(t, second(a.groups.Send(ctx, club, new(session.Content), nil)), keystore.ErrNewerFormat)
	require.Equal(t, before, testutil.StoreDigest(t, a.store))
	a.puts(k, []byte{1, 0xFF})
	require.NoError(t, a.groups.Forget(ctx, club))
	refused(t, second(a.groups.Get(ctx, club)), group.ErrNoGroup)
	w.heard(at(cici, 1))
}

// What is forgotten is gone, with the own key.
func TestGroupForget(t *testing.T) {
	w, a := three(t)
	k, id := a.key(), a.club().ID
	require.NoError(t, a.groups.Forget(ctx, club))
	refused(t, second(a.groups.Get(ctx, club)), group.ErrNoGroup)
	recs, err := a.store.Load(ctx, k)
	require.NoError(t, err)
	require.Zero(t, recs[0].Version)
	a.set(budi)
	require.NotEqual(t, id, a.club().ID)
	require.Equal(t, everybody[:2], a.says("anew"))
	w.heard(at(budi, 1), "anew")
}
