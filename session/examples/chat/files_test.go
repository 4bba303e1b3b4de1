package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// A file comes as it was, or not at all; the relay sees the size of its bucket.
func TestFile(t *testing.T) {
	r, ani, budi := twoFriends(t)
	dir := t.TempDir()
	picture, err := drawPicture()
	require.NoError(t, err)
	sent, saved := filepath.Join(dir, "sunrise.png"), filepath.Join(dir, "saved")
	require.NoError(t, os.WriteFile(sent, picture, 0o600))
	require.ErrorContains(t, budi.saveFile(t.Context(), "ani", saved), "no file came")

	require.NoError(t, ani.sendFile(t.Context(), "budi", sent))
	_, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	ani.next(t, sentEvent)
	budi.hears(t, readEvent, fileText("sunrise.png", int64(len(picture))))
	size, err := attachment.EncryptedSize(int64(len(picture)))
	require.NoError(t, err)
	var id string
	for name, blob := range r.blobs.kept {
		id = name
		require.EqualValues(t, size, len(blob))
		require.False(t, bytes.Contains(blob, picture[:16]))
	}
	good := r.blobs.kept[id]
	require.NoError(t, r.leave(t.Context(), id, []byte("another")), "taken before")

	for name, bad := range map[string][]byte{
		"changed": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), "short": good[:len(good)-16], "empty": nil,
	} {
		r.blobs.kept[id] = bad
		require.Error(t, budi.saveFile(t.Context(), "ani", saved), name)
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		require.Equal(t, []string{sent}, left, name)
	}
	r.blobs.kept[id] = good
	require.NoError(t, budi.saveFile(t.Context(), "ani", saved))
	budi.next(t, noticeEvent)
	got, err := os.ReadFile(saved)
	require.NoError(t, err)
	require.Equal(t, picture, got)
	require.ErrorIs(t, budi.saveFile(t.Context(), "ani", sent), os.ErrExist)
	delete(r.blobs.kept, id)
	require.ErrorIs(t, budi.saveFile(t.Context(), "ani", saved+"2"), errUnknown)

	require.Error(t, ani.sendFile(t.Context(), "budi", saved+"3"))
	require.NoError(t, os.Truncate(sent, maxFile+1))
	require.ErrorContains(t, ani.sendFile(t.Context(), "budi", sent), "not sent")
}

func TestBlobBounds(t *testing.T) {
	r := newTestRelay(t)
	require.ErrorIs(t, r.leave(t.Context(), "a", make([]byte, maxBlob+1)), errRejected)
	require.ErrorIs(t, r.leave(t.Context(), "a", nil), errRejected)
	require.ErrorIs(t, r.leave(t.Context(), "A", []byte("x")), errRejected)
	for range maxBlobs {
		require.NoError(t, r.leave(t.Context(), newID(), []byte("x")))
	}
	require.ErrorIs(t, r.leave(t.Context(), "a", []byte("x")), errFull)
	size, err := attachment.EncryptedSize(maxFile)
	require.NoError(t, err)
	require.LessOrEqual(t, size, int64(maxBlob))
}
