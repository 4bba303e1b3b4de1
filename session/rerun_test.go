package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var notice = keystore.Key{Kind: "draft", Owner: "notice"}

// interrupted opens s again; another device of the account changes the record
// notice just before the first commit, whatever that is.
func interrupted(t *testing.T, s *side, meanwhile func()) *side {
	t.Helper()
	dev, watch := s.spied(t)
	watch.fail = func(call string, _ int) error {
		if call != "commit" {
			return nil
		}
		watch.fail = nil
		meanwhile()
		return nil
	}
	return dev
}

func write(t *testing.T, s *side, k keystore.Key, body string) {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error { return tx.Put(k, []byte(body)) }))
}

func body(t *testing.T, s *side, k keystore.Key) (out string) {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		b, _, err := tx.Get(k)
		out = string(b)
		return err
	}))
	return out
}

// What is encrypted when f runs again is what f says then, though it is in the
// buffer that held something else before.
func TestRerunOfReusedBuffer(t *testing.T) {
	s, others, at := crowd(t, 1)
	write(t, s, notice, "old")
	dev := interrupted(t, s, func() { write(t, s, notice, "new") })
	buffer := make([]byte, 3)
	var m *session.Message
	require.NoError(t, dev.Update(ctx, at, func(tx *session.Tx) error {
		text, _, err := tx.Get(notice)
		require.NoError(t, err)
		require.NoError(t, tx.Check(notice))
		copy(buffer, text)
		m, err = tx.Encrypt(at[0], buffer)
		return err
	}))
	others[0].reads(t, s, m, "new")
}

// A message of the run before is taken over only where the gate would let it
// out now, and what f did to a record before stays done.
func TestRerunAndGate(t *testing.T) {
	consent := keystore.Key{Kind: "paid", Owner: "peer"}
	for _, c := range []struct {
		name      string
		old, new  string
		put       string // by f, when it runs again
		first     string // by f, when it runs first
		want      error
		afterward string
	}{
		{name: "withdrawn by f", old: "yes", put: "no", want: errUnpaid, afterward: "yes"},
		{name: "given by f, and then not", old: "no", first: "yes", want: errUnpaid, afterward: "no"},
		{name: "kept by f", old: "yes", put: "yes", afterward: "yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, at := crowd(t, 1)
			write(t, s, consent, c.old)
			gated := *s.opts
			gated.Gate = toll{t}
			s.opts = &gated
			dev := interrupted(t, s, func() { write(t, s, notice, "new") })
			runs := 0
			err := dev.Update(ctx, at, func(tx *session.Tx) error {
				runs++
				require.NoError(t, tx.Check(notice))
				put := c.put
				if runs == 1 {
					put = c.first
				}
				if put != "" {
					require.NoError(t, tx.Put(consent, []byte(put)))
				}
				_, err := tx.Encrypt(at[0], []byte("text"))
				return err
			})
			require.ErrorIs(t, err, c.want)
			require.Equal(t, 2, runs)
			require.Equal(t, c.afterward, body(t, s, consent))
		})
	}
}

// What a message of another device did to the gate's records of the user is not
// undone by a message that goes out once more.
func TestRerunKeepsGateChanges(t *testing.T) {
	s, others, at := crowd(t, 2)
	gated := *s.opts
	gated.Gate = toll{t}
	s.opts = &gated
	pay(t, s, "peer")
	in := others[0].send(t, s, "arrived")
	dev := interrupted(t, s, func() { write(t, s, notice, "new") })
	runs := 0
	var out *session.Message
	require.NoError(t, dev.Update(ctx, at, func(tx *session.Tx) (err error) {
		runs++
		require.NoError(t, tx.Check(notice))
		if runs == 2 {
			_, err := tx.Decrypt(at[0], in, nil)
			require.NoError(t, err)
		}
		out, err = tx.Encrypt(at[1], []byte("text"))
		return err
	}))
	require.Equal(t, at[0].String(), body(t, s, keystore.Key{Kind: "seen", Owner: "peer"}))
	others[1].reads(t, s, out, "text")
}

// A check that f asks for before a message that goes out once more is made.
func TestRerunKeepsChecks(t *testing.T) {
	s, others, at := crowd(t, 1)
	peer := keystore.Key{Kind: "peer", Owner: "peer"}
	dev, watch := s.spied(t)
	commits := 0
	watch.fail = func(call string, _ int) error {
		if call == "commit" {
			if commits++; commits == 1 {
				write(t, s, notice, "new")
			}
		}
		return nil
	}
	var m *session.Message
	require.NoError(t, dev.Update(ctx, at, func(tx *session.Tx) (err error) {
		require.NoError(t, tx.Check(notice))
		if commits > 0 {
			require.NoError(t, tx.Check(peer))
		}
		m, err = tx.Encrypt(at[0], []byte("text"))
		return err
	}))
	others[0].reads(t, s, m, "text")
	require.Len(t, watch.commits[1], 4, "notice, peer, session and identity")
}

// moodyGate names other records each time, which it must not.
type moodyGate struct {
	toll
	calls *int
}

func (g moodyGate) Keys(users []string) []keystore.Key {
	*g.calls++
	return []keystore.Key{{Kind: "paid", Owner: users[0], Name: decimal(uint32(*g.calls))}}
}

func (moodyGate) Send(time.Time, []keystore.Record, session.Address, keys.IdentityKey) error {
	return nil
}

func TestMoodyGate(t *testing.T) {
	s, others, at := crowd(t, 1)
	moody := *s.opts
	moody.Gate = moodyGate{calls: new(int)}
	s.opts = &moody
	dev := interrupted(t, s, func() { write(t, s, notice, "new") })
	var m *session.Message
	require.NoError(t, dev.Update(ctx, at, func(tx *session.Tx) (err error) {
		require.NoError(t, tx.Check(notice))
		m, err = tx.Encrypt(at[0], []byte("text"))
		return err
	}))
	others[0].reads(t, s, m, "text")
}

// f that decrypts and answers, in another order each time, with the same text
// twice: every ciphertext that leaves has a counter of its own.
func TestRerunInAnotherOrder(t *testing.T) {
	s, others, at := crowd(t, 2)
	in := others[0].send(t, s, "arrived")
	dev, watch := s.spied(t)
	commits := 0
	watch.fail = func(call string, _ int) error {
		if call == "commit" && commits < 3 {
			commits++
			write(t, s, notice, decimal(uint32(commits)))
		}
		return nil
	}
	order := [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}}
	var sent [2][]*session.Message
	var r *session.Received
	require.NoError(t, dev.Update(ctx, at, func(tx *session.Tx) error {
		require.NoError(t, tx.Check(notice))
		sent = [2][]*session.Message{}
		for _, step := range order[commits] {
			if step == 3 {
				var err error
				r, err = tx.Decrypt(at[0], in, nil)
				require.NoError(t, err)
				continue
			}
			m, err := tx.Encrypt(at[step/2], []byte("same"))
			require.NoError(t, err)
			sent[step/2] = append(sent[step/2], m)
		}
		return nil
	}))
	require.Equal(t, 3, commits)
	require.Equal(t, "arrived", string(r.Plaintext))
	for i, ms := range sent {
		more := s.send(t, others[i], "more")
		others[i].reads(t, s, more, "more")
		seen := map[string]bool{}
		for _, m := range append(ms, more) {
			in := inner(t, m)
			id := string(in.RatchetKey) + decimal(in.Counter)
			require.False(t, seen[id])
			seen[id] = true
		}
		for _, m := range ms {
			others[i].reads(t, s, m, "same")
		}
	}
}

// Two processes count in one record, and the store cannot vouch for the commit
// of one: it did not happen, but what the other wrote looks just the same.
func TestUpdateCountsOnce(t *testing.T) {
	s, others, at := crowd(t, 1)
	add := func(tx *session.Tx) error {
		n, _, err := tx.Get(notice)
		require.NoError(t, err)
		return tx.Put(notice, append(n, '|'))
	}
	dev, watch := s.spied(t)
	watch.fail = func(call string, _ int) error {
		if call != "commit" {
			return nil
		}
		watch.fail = nil
		require.NoError(t, s.Update(ctx, nil, add))
		return keystore.ErrCommitUnknown
	}
	require.ErrorIs(t, dev.Update(ctx, nil, add), keystore.ErrCommitUnknown)
	require.Equal(t, "|", body(t, s, notice))

	// It did happen: it is not done a second time, and what it made does not
	// leave.
	dev, watch = s.spied(t)
	watch.fail = func(call string, _ int) error {
		if call != "committed" {
			return nil
		}
		watch.fail = nil
		return keystore.ErrCommitUnknown
	}
	runs := 0
	require.ErrorIs(t, dev.Update(ctx, at, func(tx *session.Tx) error {
		runs++
		_, err := tx.Encrypt(at[0], []byte("dropped"))
		require.NoError(t, err)
		return add(tx)
	}), keystore.ErrCommitUnknown)
	require.Equal(t, 1, runs)
	require.Equal(t, "||", body(t, s, notice))

	// It did not, and nobody else did anything: it runs again.
	dev, watch = s.spied(t)
	watch.fail = func(call string, _ int) error {
		if call != "commit" {
			return nil
		}
		watch.fail = nil
		return keystore.ErrCommitUnknown
	}
	var ms []*session.Message
	require.NoError(t, dev.Update(ctx, at, func(tx *session.Tx) error {
		m, err := tx.Encrypt(at[0], []byte("sent"))
		ms = append(ms, m)
		return errors.Join(err, add(tx))
	}))
	require.Equal(t, "|||", body(t, s, notice))
	require.Len(t, ms, 2)
	require.Same(t, ms[0], ms[1])
	others[0].reads(t, s, ms[1], "sent")
}

// Two processes encrypt different texts from one state, which leads to equal
// records. Whoever cannot know whether its own was stored takes another counter.
func TestEqualRecordsOfDifferentTexts(t *testing.T) {
	for _, update := range []bool{false, true} {
		s, others, at := crowd(t, 1)
		dev, watch := s.spied(t)
		var theirs *session.Message
		watch.fail = func(call string, _ int) error {
			if call != "commit" {
				return nil
			}
			watch.fail = nil
			withCoins(1, func() { theirs = s.send(t, others[0], "theirs") })
			return keystore.ErrCommitUnknown
		}
		var ours *session.Message
		var err error
		withCoins(1, func() {
			if !update {
				ours, err = dev.Encrypt(ctx, at[0], []byte("ours"))
				return
			}
			err = dev.Update(ctx, at, func(tx *session.Tx) (err error) {
				ours, err = tx.Encrypt(at[0], []byte("ours"))
				return err
			})
		})
		others[0].reads(t, s, theirs, "theirs")
		if update {
			require.ErrorIs(t, err, keystore.ErrCommitUnknown)
			continue
		}
		require.NoError(t, err)
		require.NotEqual(t, inner(t, theirs).Counter, inner(t, ours).Counter)
		others[0].reads(t, s, ours, "ours")
	}
}

// Another process reads a message on an archived session, which then is the
// current one, between the Load of the index and that of the archive: the next
// message on that session is read as well.
func TestArchivedMeanwhile(t *testing.T) {
	for _, within := range []bool{false, true} {
		p, ends := many(t, 5)
		first, second := says(t, ends[1], "first"), says(t, ends[1], "second")
		bob, watch := p.bob.spied(t)
		watch.fail = func(call string, n int) error {
			if call == "load" && n == 2 {
				p.bob.reads(t, p.alice, first, "first")
			}
			return nil
		}
		if !within {
			bob.reads(t, p.alice, second, "second")
			continue
		}
		var r *session.Received // though f does not mind
		require.NoError(t, bob.Update(ctx, []session.Address{aliceAddress}, func(tx *session.Tx) error {
			r, _ = tx.Decrypt(aliceAddress, second, nil)
			return nil
		}))
		require.NotNil(t, r)
		require.Equal(t, "second", string(r.Plaintext))
	}
}

// The same with a one-time prekey that another process uses up, after an Update
// has loaded the session that there was not.
func TestPreKeyUsedMeanwhile(t *testing.T) {
	p := met(t)
	first, second := p.alice.send(t, p.bob, "first"), p.alice.send(t, p.bob, "second")
	bob, watch := p.bob.spied(t)
	watch.fail = func(call string, n int) error {
		if call == "load" && n == 2 {
			p.bob.reads(t, p.alice, first, "first")
		}
		return nil
	}
	var r *session.Received
	require.NoError(t, bob.Update(ctx, []session.Address{aliceAddress}, func(tx *session.Tx) (err error) {
		require.NoError(t, tx.Load(notice))
		r, err = tx.Decrypt(aliceAddress, second, nil)
		return err
	}))
	require.Equal(t, "second", string(r.Plaintext))
}

// Whoever changes a session all the time makes an operation fail as one that
// lost, and not as if the message were bad.
func TestArchivedAgainAndAgain(t *testing.T) {
	p, ends := many(t, 5)
	m := says(t, ends[1], "late")
	bob, watch := p.bob.spied(t)
	loads := 0
	watch.fail = func(call string, n int) error {
		if loads++; loads%2 == 0 {
			p.goesOnWith(t, "more")
		}
		return nil
	}
	_, err := bob.Decrypt(ctx, aliceAddress, m, nil)
	require.True(t, conflict(err), "%v", err)
	watch.fail = nil
	bob.reads(t, p.alice, m, "late")
}
