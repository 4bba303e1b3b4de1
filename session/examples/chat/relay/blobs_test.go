package relay

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

func TestBlobBounds(t *testing.T) {
	r := newTestRelay(t)
	require.ErrorIs(t, r.put(t.Context(), make([]byte, post.MaxBlob+1), "file", "a"), post.ErrRejected)
	require.ErrorIs(t, r.put(t.Context(), nil, "file", "a"), post.ErrRejected)
	require.ErrorIs(t, r.put(t.Context(), []byte("x"), "file", "A"), post.ErrRejected)
	for i := range maxBlobs {
		require.NoError(t, r.put(t.Context(), []byte("x"), "file", fmt.Sprint("id-", i)))
	}
	require.ErrorIs(t, r.put(t.Context(), []byte("x"), "file", "a"), post.ErrFull)
}
