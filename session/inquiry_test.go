package session_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// heralded are devices that know each other, with a herald at ani's first, and
// a Directory that shows these texts as manifests.
func heralded(t testing.TB, shown map[string]string, devices ...session.Address) (*registry, *side, *herald) {
	t.Helper()
	r := settled(t, session.Options{Content: true}, devices...)
	from := r.of(ani, 1)
	h := from.hears(t)
	r.show(shown)
	return r, from, h
}

func (r *registry) show(texts map[string]string) {
	r.shows = func(_ context.Context, user string) ([]byte, error) { return []byte(texts[user]), nil }
}

// sendsText is a Send of a text.
func (s *side) sendsText(users ...string) (*session.Sending, error) {
	return s.Send(ctx, users, &session.Content{Body: []byte("text")}, nil)
}

// but are the records of a store, without those of some kinds.
func but(t testing.TB, s *side, kinds ...string) []keystore.Record {
	t.Helper()
	return slices.DeleteFunc(testutil.Records(t, s.store), func(r keystore.Record) bool {
		return slices.Contains(kinds, r.Key.Kind)
	})
}

// notices are what the events of a side tell, taken away.
func (s *side) notices(t testing.TB) (out []string) {
	t.Helper()
	var all []session.Event
	for e, err := range s.Events(ctx) {
		require.NoError(t, err)
		all = append(all, e)
		if e.Kind == session.LabelNotice {
			out = append(out, e.Address.User+": "+string(e.Note))
		}
	}
	require.NoError(t, s.AcknowledgeEvents(ctx, all...))
	slices.Sort(out)
	return out
}

// A message asks the gate once whether it wants to see a manifest, and the
// Directory for the one that it wants, before it leaves.
func TestMailingAsksForManifests(t *testing.T) {
	r, from, h := heralded(t, map[string]string{budi: "theirs"}, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 7), at(cici, 3))
	from.shows(t, ani, "mine")
	dev, watch := from.spied(t)
	s, err := dev.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, &session.SendOptions{Group: "team"})
	require.NoError(t, err)
	require.Len(t, s.Results, 4)
	require.Equal(t, map[string]int{budi: 1, cici: 1}, r.signed)
	require.Equal(t, map[string]int{"Wants ani": 1, "Wants budi": 1, "Wants cici": 1, "See budi": 1, "See cici": 1, "Claim ": 1,
		"Send ani": 1, "Send budi": 2, "Send cici": 1}, h.calls)
	require.Len(t, watch.commits, 2, "what was learned, and the message")
	require.Equal(t, []string{"budi: theirs"}, from.notices(t))
	require.Equal(t, "theirs", body(t, from, shownKey(budi)))
	require.Equal(t, string(nobody), body(t, from, shownKey(cici)))

	clear(h.calls)
	watch.reset()
	_, err = dev.sendsText(budi)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"Wants ani": 1, "Wants budi": 1, "Claim budi": 1, "Send ani": 1, "Send budi": 2}, h.calls)
	require.Equal(t, map[string]int{budi: 1, cici: 1}, r.signed, "it is known")
	require.Len(t, watch.commits, 1)

	// For whom there is no message nobody is asked, nor without a Directory.
	require.NoError(t, from.Block(ctx, budi, true))
	from.deletes(t, shownKey(budi), shownKey(cici))
	clear(h.calls)
	_, err = dev.Send(ctx, []string{budi}, &session.Content{Body: []byte("text")}, &session.SendOptions{NoOwnDevices: true})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"Claim budi": 1}, h.calls)
	none := r.reopen(t, from, func(o *session.Options) { o.Directory = nil })
	_, err = none.Send(ctx, []string{cici}, &session.Content{Body: []byte("text")}, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]int{budi: 1, cici: 1}, r.signed)
}

// A refused message changes nothing but what was learned, is nobody's, and goes
// through once it may, as the same call; Reconcile and Resend, too.
func TestRefusedForWhatWasLearned(t *testing.T) {
	r, from, _ := heralded(t, map[string]string{budi: "hosted"}, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 7), at(cici, 3))
	sent := r.sends(t, r.of(ani, 2), "early", budi) // without a gate, and not asked
	require.Len(t, sent.Results, 3)
	for _, c := range []*chorus{nil, new(chorus)} {
		send := func() (*session.Sending, error) {
			if c == nil {
				return from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, &session.SendOptions{Group: "team"})
			}
			return from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, c.options())
		}
		from.deletes(t, shownKey(budi), shownKey(cici), agreedKey(budi))
		before := but(t, from, "shown", "event")
		s, err := send()
		require.Nil(t, s)
		require.ErrorIs(t, err, errDisagreed)
		require.Equal(t, before, but(t, from, "shown", "event"))
		require.Equal(t, []string{"budi: hosted"}, from.notices(t))
		require.Equal(t, "hosted", body(t, from, shownKey(budi)))
		require.Equal(t, string(nobody), body(t, from, shownKey(cici)))
		all := testutil.StoreDigest(t, from.store)
		_, err = send()
		require.ErrorIs(t, err, errDisagreed)
		require.Equal(t, all, testutil.StoreDigest(t, from.store), "there is nothing new")
		write(t, from, agreedKey(budi), "yes")
		s, err = send()
		require.NoError(t, err)
		for _, res := range s.Results {
			require.NoError(t, res.Err)
			require.NotNil(t, res.Message)
		}
	}
}

// What Reconcile is to encrypt for waits for the gate, too.
func TestReconcileRefusedAndThenNot(t *testing.T) {
	r, from, h := heralded(t, map[string]string{budi: "theirs"}, at(ani, 1), at(budi, 1))
	s := r.sends(t, from, "text", budi)
	r.add(t, at(budi, 2))
	from.shows(t, budi, "hosted")
	missing := session.Difference{User: budi, Missing: []uint32{2}}
	r.bundle = func(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
		b, err := r.sides[peer].Bundle(ctx)
		b.Manifest = []byte("hosted again")
		return b, err
	}
	before, was := but(t, from, "shown", "event"), slices.Clone(s.Results)
	require.ErrorIs(t, from.Reconcile(ctx, s, missing), errDisagreed)
	require.Equal(t, before, but(t, from, "shown", "event"))
	require.Equal(t, was, s.Results)
	require.Equal(t, "hosted again", body(t, from, shownKey(budi)), "it came with the bundle")
	write(t, from, agreedKey(budi), "yes")
	clear(h.calls)
	require.NoError(t, from.Reconcile(ctx, s, missing))
	require.Zero(t, h.calls["Claim budi"], "it says what it said")
	for _, res := range s.Results {
		got, err := r.sides[res.To].Decrypt(ctx, at(ani, 1), res.Message, nil)
		require.NoError(t, err)
		require.Equal(t, contextOf(at(ani, 1), budi, "", "theirs"), said(t, got.Plaintext).Hosting)
	}
}

// strict is a herald that lets nothing out to those of whom it knows nothing.
type strict struct{ *herald }

func (s strict) Send(now time.Time, records []keystore.Record, to session.Address, identity keys.IdentityKey) error {
	if _, shown, _ := s.read(records, to.User); shown == nil {
		return errDisagreed
	}
	return s.herald.Send(now, records, to, identity)
}

// A Directory that does not say what the manifest is stops nobody but whom the
// gate would not let out, and is a reason beside that. So is a manifest that is
// not believed.
func TestManifestNotSaid(t *testing.T) {
	bad := errors.New("server on fire")
	for name, c := range map[string]struct {
		shows func(context.Context, string) ([]byte, error)
		want  error
	}{
		"error":  {func(context.Context, string) ([]byte, error) { return []byte("ignored"), bad }, bad},
		"panic":  {func(context.Context, string) ([]byte, error) { panic("a bug in the app") }, nil},
		"goexit": {func(context.Context, string) ([]byte, error) { runtime.Goexit(); return nil, nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, from, h := heralded(t, nil, at(ani, 1), at(budi, 1), at(cici, 1))
			r.shows = func(ctx context.Context, user string) ([]byte, error) {
				if user == budi {
					return c.shows(ctx, user)
				}
				return nil, nil
			}
			s, err := from.sendsText(budi, cici)
			require.NoError(t, err)
			r.reading(t, from, s)
			require.Zero(t, h.calls["See budi"])
			from.Device = r.reopen(t, from, func(o *session.Options) { o.Gate = strict{h} })
			before := testutil.StoreDigest(t, from.store)
			_, err = from.sendsText(budi, cici)
			require.ErrorIs(t, err, errDisagreed)
			var failed *session.DirectoryError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, budi, failed.User)
			require.Zero(t, failed.Device)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.Equal(t, before, testutil.StoreDigest(t, from.store))
			_, err = from.sendsText(cici)
			require.NoError(t, err)
		})
	}
	r, from, h := heralded(t, map[string]string{budi: "bad"}, at(ani, 1), at(budi, 1))
	s, err := from.sendsText(budi)
	require.NoError(t, err)
	r.reading(t, from, s)
	require.Equal(t, []string{"budi: bad"}, from.notices(t))
	from.Device = r.reopen(t, from, func(o *session.Options) { o.Gate = strict{h} })
	_, err = from.sendsText(budi)
	require.ErrorIs(t, err, errDisagreed)
	require.ErrorIs(t, err, errDoubted)
	require.Equal(t, []string{"budi: bad"}, from.notices(t))
}

// reading requires that each result is a message that is read.
func (r *registry) reading(t testing.TB, from *side, s *session.Sending) {
	t.Helper()
	for _, res := range s.Results {
		require.NoError(t, res.Err)
		got, err := r.sides[res.To].Decrypt(ctx, from.Address(), res.Message, nil)
		require.NoError(t, err)
		require.Equal(t, "text", string(got.Content.Body))
	}
}

// What bundles bring the gate sees; of one that brings none, the Directory is
// asked, once for all devices of a user.
func TestManifestsOfBundles(t *testing.T) {
	for name, c := range map[string]struct {
		inBundle, shown string
		sees            int
		want            string
	}{
		"in the bundle":          {"theirs", "old", 2, "theirs"}, // two bundles
		"in the Directory alone": {"", "theirs", 1, "theirs"},
		"nowhere":                {"", "", 1, string(nobody)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t)
			r.opts.Content = true
			from := r.add(t, at(ani, 1))
			r.add(t, at(budi, 1))
			r.add(t, at(budi, 2))
			h := from.hears(t)
			from.shows(t, budi, "before")
			r.show(map[string]string{budi: c.shown})
			r.bundle = func(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
				b, err := r.sides[peer].Bundle(ctx)
				b.Manifest = []byte(c.inBundle)
				return b, err
			}
			s, err := from.sendsText(budi)
			require.NoError(t, err)
			r.reading(t, from, s)
			require.Equal(t, c.sees, h.calls["See budi"])
			require.Equal(t, 1, h.calls["Wants budi"])
			if c.want == string(nobody) {
				require.Equal(t, "before", body(t, from, shownKey(budi)), "what was shown once does not go")
				require.Equal(t, []string{"budi: "}, from.notices(t))
				return
			}
			require.Equal(t, c.want, body(t, from, shownKey(budi)))
			require.Equal(t, []string{"budi: theirs"}, from.notices(t))
		})
	}
}

// Begin and Resend show the gate the manifest of the bundle.
func TestBeginAndResendShowManifests(t *testing.T) {
	r, from, h := heralded(t, nil, at(ani, 1), at(budi, 1))
	dev, watch := from.spied(t)
	bundle := func(manifest string) *x3dh.Bundle {
		b := bundleOf(t, r.of(budi, 1))
		b.Manifest = []byte(manifest)
		return b
	}
	for _, c := range []struct{ manifest, want, told string }{{"theirs", "theirs", "theirs"}, {"bad", "theirs", "bad"}} {
		watch.reset()
		require.NoError(t, dev.Begin(ctx, at(budi, 1), bundle(c.manifest)))
		require.Len(t, watch.commits, 1)
		require.Equal(t, c.want, body(t, from, shownKey(budi)))
		require.Equal(t, []string{"budi: " + c.told}, from.notices(t))
	}
	seen := h.calls["See budi"]
	require.NoError(t, dev.Begin(ctx, at(budi, 1), bundle("")))
	require.Equal(t, seen, h.calls["See budi"])

	r, from, _ = heralded(t, map[string]string{budi: "theirs"}, at(ani, 1), at(budi, 1))
	sent := r.sends(t, from, "text", budi)
	require.Equal(t, []string{"budi: theirs"}, from.notices(t))
	r.of(budi, 1).forgetSessions(t)
	request := r.asks(t, from, sent, at(budi, 1))
	r.bundle = func(context.Context, session.Address) (*x3dh.Bundle, error) { return bundle("hosted"), nil }
	before := but(t, from, "shown", "event")
	_, err := from.Resend(ctx, at(budi, 1), request)
	require.ErrorIs(t, err, errDisagreed)
	require.Equal(t, before, but(t, from, "shown", "event"))
	require.Equal(t, []string{"budi: hosted"}, from.notices(t))
	write(t, from, agreedKey(budi), "yes")
	again, err := from.Resend(ctx, at(budi, 1), request)
	require.NoError(t, err)
	got, err := r.of(budi, 1).Decrypt(ctx, at(ani, 1), again.Results[0].Message, nil)
	require.NoError(t, err)
	require.Equal(t, contextOf(at(ani, 1), budi, "", "theirs"), said(t, got.Plaintext).Hosting, "as when it was sent")
}

// Refresh asks for lists and manifests, and says of whom there was none, or one
// that is not believed; the others' counts.
func TestRefreshShowsManifests(t *testing.T) {
	r, from, h := heralded(t, map[string]string{budi: "theirs", cici: "bad"}, at(ani, 1), at(budi, 1), at(cici, 1))
	dev, watch := from.spied(t)
	require.ErrorIs(t, dev.Refresh(ctx, budi, cici), errDoubted)
	require.Len(t, watch.commits, 1)
	require.Equal(t, map[string]int{"See budi": 1, "See cici": 1}, h.calls)
	require.Equal(t, []string{"budi: theirs", "cici: bad"}, from.notices(t))
	require.Equal(t, "theirs", body(t, from, shownKey(budi)))

	r.add(t, at(cici, 2))
	r.shows = func(_ context.Context, user string) ([]byte, error) {
		if user == cici {
			return nil, errInjected
		}
		return nil, nil // stripped
	}
	err := dev.Refresh(ctx, budi, cici)
	require.ErrorIs(t, err, errDoubted)
	require.ErrorIs(t, err, errInjected)
	var failed *session.DirectoryError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, cici, failed.User)
	p, err := from.Peer(ctx, cici)
	require.NoError(t, err)
	require.Len(t, p.Devices, 2, "the list counts all the same")
	r.show(map[string]string{budi: "theirs", cici: "new"})
	from.write(t, from.key("shown", cici, ""), []byte{0xFF})
	require.ErrorIs(t, dev.Refresh(ctx, budi, cici), keystore.ErrNewerFormat)
	require.Equal(t, "theirs", body(t, from, shownKey(budi)))
	none := r.reopen(t, from, func(o *session.Options) { o.Directory = nil })
	require.Len(t, none.Refresh(ctx, budi).(interface{ Unwrap() []error }).Unwrap(), 1, "no list, and that is all")
}

// The Directory has no more than 8 questions at once.
func TestManifestsAtOnce(t *testing.T) {
	r := newRegistry(t)
	r.opts.Content = true
	from := r.add(t, at(ani, 1))
	var users []string
	for i := range 30 {
		users = append(users, "user"+decimal(uint32(i)))
		r.add(t, at(users[i], 1))
	}
	from.hears(t)
	dir := &crowded{registry: r}
	from.Device = r.reopen(t, from, func(o *session.Options) { o.Directory = dir })
	s, err := from.sendsText(users...)
	require.NoError(t, err)
	require.Len(t, s.Results, 30)
	require.LessOrEqual(t, dir.most.Load(), int64(8))
	require.Equal(t, int64(30), dir.all.Load())
}

// crowded is a Directory that counts how many ask for manifests at once.
type crowded struct {
	*registry
	now, most, all atomic.Int64
}

func (c *crowded) Manifest(context.Context, string) ([]byte, error) {
	defer c.now.Add(-1)
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	c.all.Add(1)
	runtime.Gosched()
	return nil, nil
}

// A new device of the own account gets the identity only if the gate lets out
// messages to it.
func TestLinkAtAGate(t *testing.T) {
	l := newLinking(t, noManifest)
	o := *l.bob.opts
	asked := 0
	o.Gate = &bouncer{send: func(to session.Address, identity keys.IdentityKey) error {
		asked++
		require.Equal(t, bobsSecond, to)
		require.Zero(t, identity) // it has none yet
		return errInjected
	}}
	l.bob.opts = &o
	l.bob = l.bob.reopen(t)
	l.refuses(t, l.link.Code(), l.link.PublicKey(), errInjected)
	require.Equal(t, 1, asked)
}

// Whatever a store does at whichever call of a message that something is learned
// for first: what was learned is whole or not at all, the message is sent or
// nothing else changed, and the same call goes through after that.
func TestFaultsOfLearning(t *testing.T) {
	p := friends(t)
	p.guided(t, 4711)
	p.knows(t)
	p.bob.opts.Directory.(*guide).manifest = []byte("theirs")
	p.bob.hears(t)
	good := try(t, p.bob, sendingText)
	var calls []string
	good.watch.fail = func(call string, _ int) error { calls = append(calls, call); return nil }
	before := but(t, good.side)
	require.NoError(t, good.do())
	require.Len(t, good.watch.commits, 2)
	for n, call := range calls {
		for _, fault := range []error{errInjected, keystore.ErrCommitUnknown, &keystore.ConflictError{}} {
			if call == "load" && fault != errInjected {
				continue
			}
			tr := try(t, p.bob, sendingText)
			tr.watch.fail = func(_ string, i int) error {
				if i == n+1 {
					return fault
				}
				return nil
			}
			err := tr.do()
			learned := len(tr.list(t, "shown", "")) > 0
			require.Equal(t, learned, len(tr.list(t, "event", "")) > 0, "half of it")
			switch {
			case err == nil:
				require.NotErrorIs(t, fault, errInjected)
				require.True(t, learned)
			case call != "committed":
				require.Equal(t, before, but(t, tr.side, "shown", "event"))
			}
			tr.watch.fail = nil
			require.NoError(t, tr.do())
			require.Equal(t, "theirs", body(t, tr.side, shownKey(aliceAddress.User)))
			require.Len(t, tr.list(t, "event", ""), 1, "told once")
		}
	}
}

// In a transaction of the app's what is learned goes with that, and the message
// comes out when it is committed.
func TestLearningInATransaction(t *testing.T) {
	r, from, h := heralded(t, map[string]string{budi: "theirs"}, at(ani, 1), at(budi, 1))
	var pending keystore.Pending
	s, err := from.Send(pending.In(ctx), []string{budi}, &session.Content{Body: []byte("text")}, nil)
	require.NoError(t, err)
	require.Empty(t, s.Results)
	require.Equal(t, 1, h.calls["See budi"])
	pending.Committed()
	r.reading(t, from, s)
	require.Equal(t, []string{"budi: theirs"}, from.notices(t))
}
