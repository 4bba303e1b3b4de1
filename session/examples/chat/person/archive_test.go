package person

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
)

// An archive has what the device knows and what was said, and nothing that has
// disappeared.
func TestExport(t *testing.T) {
	_, ani, budi := twoFriends(t)
	require.NoError(t, budi.Last(t.Context(), "ani", time.Minute))
	budi.drained()
	budi.sends(t, "ani", "three")
	require.NoError(t, ani.receiveSome(t.Context()))
	gone := &note{ID: newID(), At: time.Now(), Peer: "budi", Text: "gone", Gone: time.Now().Add(-time.Second)}
	require.NoError(t, ani.notes.save(t.Context(), kindHistory, gone))
	require.NoError(t, ani.Write(t.Context(), "budi", "waits"))

	var file bytes.Buffer
	var steps [][2]int64
	text, err := ani.Export(t.Context(), &file, func(done, total int64) { steps = append(steps, [2]int64{done, total}) })
	require.NoError(t, err)
	last := steps[len(steps)-1]
	require.Equal(t, last[0], last[1])
	for i, s := range steps {
		require.LessOrEqual(t, s[0], s[1])
		require.True(t, i == 0 || s[0] >= steps[i-1][0])
	}
	key, err := hosting.ParseArchiveKey(text)
	require.NoError(t, err)
	counts, err := hosting.VerifyArchive(bytes.NewReader(file.Bytes()), key, nil)
	require.NoError(t, err)
	require.EqualValues(t, 5, counts["app"])
	require.NotZero(t, counts["identity"])
	require.NotZero(t, counts["label"])
	require.Zero(t, counts["account"])
	var texts []string
	for r, err := range hosting.ReadArchive(&file, key, nil) {
		require.NoError(t, err)
		if r.Type != "app" {
			continue
		}
		var e exported
		require.NoError(t, json.Unmarshal(r.Data, &e))
		require.Equal(t, "budi", e.Conversation)
		require.True(t, strings.HasPrefix(r.Name, e.Kind+"/"))
		require.Equal(t, e.At, r.Time.UnixMilli())
		texts = append(texts, e.Text)
	}
	require.ElementsMatch(t, []string{"one", "two", "three", "waits", "what is written with budi disappears 60 s after it was read"}, texts)
}
