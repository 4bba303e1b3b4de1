package session_test

import (
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// What tests know of the records of design, Section 5.

func (s *side) key(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: s.Address().String(), Kind: kind, Owner: owner, Name: name}
}

func (s *side) load(t testing.TB, k keystore.Key) keystore.Record {
	t.Helper()
	recs, err := s.store.Load(ctx, k)
	require.NoError(t, err)
	return recs[0]
}

func (s *side) has(t testing.TB, kind, owner, name string) bool {
	t.Helper()
	return s.load(t, s.key(kind, owner, name)).Version != 0
}

// hasPreKey reports whether a prekey of a kind is there.
func (s *side) hasPreKey(t testing.TB, kind string, id uint32) bool {
	t.Helper()
	return s.has(t, kind, "-", strconv.FormatUint(uint64(id), 10))
}

// put writes a record, format byte in front, whatever is there.
func (s *side) put(t testing.TB, k keystore.Key, body []byte) {
	t.Helper()
	s.write(t, k, append([]byte{1}, body...))
}

func (s *side) write(t testing.TB, k keystore.Key, value []byte) {
	t.Helper()
	_, err := s.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Expect: s.load(t, k).Version, Value: value})
	require.NoError(t, err)
}

func (s *side) list(t testing.TB, kind, owner string) (out []keystore.Record) {
	t.Helper()
	for r, err := range s.store.List(ctx, s.Address().String(), kind, owner) {
		require.NoError(t, err)
		out = append(out, r)
	}
	return out
}

func (s *side) remove(t testing.TB, kind, owner string) {
	t.Helper()
	for _, r := range s.list(t, kind, owner) {
		_, err := s.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: r.Key, Expect: r.Version})
		require.NoError(t, err)
	}
}

func (s *side) removeKey(t testing.TB, kind string, id uint32) {
	t.Helper()
	r := s.load(t, s.idKey(kind, id))
	require.NotZero(t, r.Version)
	_, err := s.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: r.Key, Expect: r.Version})
	require.NoError(t, err)
}

// forget deletes all sessions with a user.
func (s *side) forget(t testing.TB, user string) {
	t.Helper()
	s.remove(t, "session", user)
	s.remove(t, "archive", user)
}

func sessionKey(s *side, peer session.Address) keystore.Key {
	return s.key("session", peer.User, strconv.FormatUint(uint64(peer.Device), 10))
}

// index reads the record "session" of a peer, and requires that it is sound:
// each archived session once, within limits, each with its record and no
// record besides, none of them the current one.
func (s *side) index(t testing.TB, peer session.Address) wire.SessionIndex {
	t.Helper()
	rec := s.load(t, sessionKey(s, peer))
	if rec.Version == 0 {
		return wire.SessionIndex{}
	}
	require.Equal(t, byte(1), rec.Value[0])
	idx, err := wire.ParseSessionIndex(rec.Value[1:])
	require.NoError(t, err)
	require.LessOrEqual(t, len(idx.Archived), 40)
	names := map[string]bool{}
	for i := range idx.Archived {
		name := archiveName(peer, &idx.Archived[i])
		require.False(t, names[name], "archived twice")
		names[name] = true
	}
	for _, r := range s.list(t, "archive", peer.User) {
		if !strings.HasPrefix(r.Key.Name, decimal(peer.Device)+",") {
			continue
		}
		require.True(t, names[r.Key.Name], "a record of no session")
		delete(names, r.Key.Name)
		if cur := baseKey(idx.Current); cur != nil {
			require.NotEqual(t, cur, baseKey(r.Value[1:]), "current and archived")
		}
	}
	require.Empty(t, names, "a session without record")
	return idx
}

func archiveName(peer session.Address, n *wire.ArchivedNote) string {
	return strconv.FormatUint(uint64(peer.Device), 10) + "," + hex.EncodeToString(n.Name)
}

func baseKey(raw []byte) []byte {
	if raw == nil {
		return nil
	}
	s, err := wire.ParseSession(raw)
	if err != nil {
		return nil
	}
	return s.BaseKey
}

func decimal(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func parseBundle(t testing.TB, b *wire.Bundle) *x3dh.Bundle {
	t.Helper()
	out, err := x3dh.ParseBundle(wire.AppendBundle(nil, b))
	require.NoError(t, err)
	return out
}
