package storetool_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A lock is what encrypts a store, in a file of its own.
type lock struct {
	keystore.Unlock
	file, secret string
}

func newKey(t testing.TB, seed byte) *lock {
	t.Helper()
	key := [32]byte{seed, 31: 0xa5}
	for i := range key {
		key[i] += byte(7 * i)
	}
	secret := hex.EncodeToString(key[:])
	return &lock{keystore.Unlock{Key: &key}, fileOf(t, secret+"\n"), secret}
}

func fileOf(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// plain returns what is in an encrypted store.
func (l *lock) opens(t testing.TB, s keystore.Store) keystore.Store {
	t.Helper()
	e, err := keystore.OpenEncrypted(ctx, unclosed{s}, l.Unlock, nil)
	require.NoError(t, err)
	return e
}

// Plain to encrypted, under another key, by a passphrase, and back.
func TestMoveEncrypted(t *testing.T) {
	b, w := newBench(t)
	first, second := newKey(t, 1), newKey(t, 2)
	const passphrase = "kunci gembok yang panjang"
	phrase := fileOf(t, passphrase+"\r\nanother line")
	want := values(t, w.Store)
	var shown strings.Builder
	run := func(args ...string) {
		b.runs(t, args...)
		shown.WriteString(b.out.String() + b.err.String())
	}
	run("move", "-to-key", first.file, "memory:own", "memory:first")
	require.Equal(t, want, values(t, first.opens(t, b.stores["first"])))
	run("verify", "-key", first.file, "memory:first")
	run("inspect", "-key", first.file, "memory:first")
	run("move", "-key", first.file, "-to-key", second.file, "-to-blind", "memory:first", "memory:second")
	require.Equal(t, want, values(t, second.opens(t, b.stores["second"])))
	for k := range values(t, b.stores["second"]) {
		require.NotContains(t, []string{rich.Peers[0].User, "-"}, k.Owner)
	}
	b.in = second.secret + "\n" + passphrase + "\n"
	run("move", "-key", "-", "-to-passphrase", "-", "memory:second", "memory:third")
	b.in = ""
	run("move", "-passphrase", phrase, "memory:third", "memory:back")
	require.Equal(t, want, values(t, b.stores["back"]))
	for _, secret := range []string{first.secret, second.secret, passphrase, passphrase[4:12], first.secret[:12], second.secret[20:32]} {
		require.NotContains(t, shown.String(), secret)
	}
	goesOn(t, w, b.stores["back"])
}

// What cannot be opened stays as it is.
func TestSTO_09_WrongPassphrase(t *testing.T) {
	b, w := newBench(t)
	key := newKey(t, 1)
	b.runs(t, "move", "-to-key", key.file, "memory:own", "memory:locked")
	s := b.stores["locked"]
	before, plain := testutil.StoreDigest(t, s), testutil.StoreDigest(t, w.Store)
	for _, c := range []struct{ want, flag, file, store string }{
		{"wrong key or passphrase", "-key", newKey(t, 2).file, "locked"},
		{"wrong key or passphrase", "-passphrase", fileOf(t, "wrong"), "locked"},
		{"wrong key or passphrase", "-passphrase", key.file, "locked"},
		{"the passphrase is empty", "-passphrase", fileOf(t, "\nsecond line"), "locked"},
		{"64 hexadecimal digits", "-key", fileOf(t, key.secret[:62]), "locked"},
		{"64 hexadecimal digits", "-key", fileOf(t, key.secret[:63]), "locked"},
		{"64 hexadecimal digits", "-key", fileOf(t, key.secret+"00"), "locked"},
		{"64 hexadecimal digits", "-key", fileOf(t, strings.Repeat("x", 64)), "locked"},
		{"64 hexadecimal digits", "-key", fileOf(t, ""), "locked"},
		{"no such file", "-key", filepath.Join(t.TempDir(), "missing"), "locked"},
		{"the store is encrypted", "-addresses", "", "locked"},
		{"the store is not encrypted", "-key", key.file, "own"},
		{"the store is not encrypted", "-key", key.file, "empty"},
	} {
		for _, command := range []string{"inspect", "verify"} {
			args := []string{command, c.flag, c.file, "memory:" + c.store}
			if c.file == "" {
				args = []string{command, c.flag, "memory:" + c.store}
			}
			require.Equal(t, 1, b.run(t, args...), args)
			require.Contains(t, b.err.String(), c.want)
			require.NotContains(t, b.err.String(), key.secret[:12])
		}
	}
	require.Equal(t, 1, b.run(t, "move", "-to-key", key.file, "memory:locked", "memory:new"))
	require.Contains(t, b.err.String(), "the store is encrypted")
	require.Equal(t, 1, b.run(t, "move", "-to-key", newKey(t, 3).file, "memory:own", "memory:locked"))
	require.Equal(t, 1, b.run(t, "move", "-to-key", key.file, "memory:own", "memory:locked"))
	require.Equal(t, 1, b.run(t, "move", "memory:own", "memory:locked"))
	require.Equal(t, before, testutil.StoreDigest(t, s))
	require.Equal(t, plain, testutil.StoreDigest(t, w.Store))
	require.Zero(t, testutil.Generation(t, b.stores["empty"]))
}

// Every change of a value of an encrypted store is seen.
func TestSTO_07_VerifyEncrypted(t *testing.T) {
	b, w := newBench(t)
	key := newKey(t, 1)
	b.runs(t, "move", "-to-key", key.file, "memory:own", "memory:locked")
	s := b.stores["locked"]
	all := testutil.Records(t, s)
	for i := 0; i < len(all); i += step() {
		r := all[i]
		if r.Key.Scope == "encryption" {
			continue
		}
		flipped := append([]byte(nil), r.Value...)
		flipped[len(flipped)*i/len(all)] ^= 1 << (i % 8)
		write(t, s, r.Key, flipped)
		require.Equal(t, 1, b.run(t, "verify", "-key", key.file, "memory:locked"))
		require.Equal(t, []string{r.Key.Kind + " the store cannot read it 1"}, found(b.out.String()))
		write(t, s, r.Key, r.Value)
	}
	b.runs(t, "verify", "-key", key.file, "memory:locked")
	require.Len(t, all, len(values(t, w.Store))+1)
}

// An encrypted store is copied as it is by who cannot read it. What opens it
// comes last.
func TestMoveAsItIs(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(20)()
	key := newKey(t, 1)
	for _, blind := range []string{"-to-blind=false", "-to-blind"} {
		b.runs(t, "move", "-to-key", key.file, blind, "memory:own", "memory:locked"+blind)
		from := b.stores["locked"+blind]
		for at := 2; ; at++ {
			s := keystore.NewMemory()
			b.stores["new"] = killedAt(s, at)
			if b.run(t, "move", "memory:locked"+blind, "memory:new") == 0 {
				require.GreaterOrEqual(t, at, 5)
				break
			}
			before := testutil.StoreDigest(t, s)
			_, err := keystore.OpenEncrypted(ctx, s, key.Unlock, nil)
			require.ErrorIs(t, err, keystore.ErrNewerFormat)
			require.Equal(t, before, testutil.StoreDigest(t, s))
			b.stores["new"] = s
			require.Equal(t, 1, b.run(t, "verify", "-key", key.file, "memory:new"))
			b.runs(t, "move", "memory:locked"+blind, "memory:new")
			require.Equal(t, values(t, from), values(t, s))
			require.Equal(t, values(t, w.Store), values(t, key.opens(t, s)))
		}
	}
}

// killedAt is a store that fails from a Commit on.
func killedAt(s keystore.Store, at int) keystore.Store {
	calls := 0
	return &faulty{s, func(c string) error {
		if c == "commit" {
			if calls++; calls >= at {
				return errKilled
			}
		}
		return nil
	}}
}

// An interrupted copy that is encrypted is seen to be one, and goes on.
func TestMoveEncryptedInterrupted(t *testing.T) {
	b, w := newBench(t)
	defer storetool.SetBatch(20)()
	key := newKey(t, 1)
	for at := 1; ; at++ {
		s := keystore.NewMemory()
		b.stores["new"] = killedAt(s, at)
		code := b.run(t, "move", "-to-key", key.file, "memory:own", "memory:new")
		b.stores["new"] = s
		if code == 0 {
			require.GreaterOrEqual(t, at, 5)
			break
		}
		if at > 2 { // the header, and the first of the copy
			_, err := w.Open(key.opens(t, s), rich.Own[0])
			require.ErrorIs(t, err, keystore.ErrNewerFormat)
			require.Equal(t, 1, b.run(t, "verify", "-key", key.file, "memory:new"))
			require.Contains(t, b.out.String(), "the copy is not finished")
		}
		b.runs(t, "move", "-to-key", key.file, "memory:own", "memory:new")
		require.Equal(t, values(t, w.Store), values(t, key.opens(t, s)))
	}
}
