package person

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What is answered is what was looked at, and nothing that came meanwhile.
func TestAnswer(t *testing.T) {
	_, ani, awan, _ := customers(t)
	require.Empty(t, ani.with(t, "toko").Question)
	require.NoError(t, awan.Write(t.Context(), "ani", "we have moved"))
	require.NoError(t, ani.receiveSome(t.Context()))
	seen := ani.with(t, "toko")
	require.NotEmpty(t, seen.Question)

	ani.mu.Lock()
	q := ani.questions["toko"]
	newer := *q.ConsentRequiredError
	newer.Token[0]++
	ani.questions["toko"] = question{&newer, false}
	ani.mu.Unlock()
	for _, yes := range []bool{true, false} {
		err := ani.Answer(t.Context(), "toko", seen.Question, yes)
		code, _ := ani.Plain(err)
		require.Equal(t, "other", code)
	}
	c := ani.with(t, "toko")
	require.Equal(t, seen, c, "nothing was answered")

	require.NoError(t, ani.Answer(t.Context(), "toko", c.Question, false))
	c = ani.with(t, "toko")
	require.True(t, c.Declined)
	require.Equal(t, seen.Question, c.Question, "it can be answered otherwise")
	require.NoError(t, ani.Answer(t.Context(), "toko", c.Question, true))
	c = ani.with(t, "toko")
	require.Equal(t, "CURRENT", c.Label.State)
	require.Empty(t, c.Question)
	require.ErrorContains(t, ani.Answer(t.Context(), "toko", seen.Question, true), "no question")
}

// A question about another member of a group is another question.
func TestAnswerInGroup(t *testing.T) {
	_, ani, _, _ := customers(t)
	require.NoError(t, ani.Gather(t.Context(), "market", []string{"budi", "toko"}))
	ani.awaits(t, AsksEvent)
	seen := ani.with(t, "ani/market")
	ani.mu.Lock()
	of := *ani.questions["toko"].ConsentRequiredError
	of.Account = budi1.User
	ani.questions["budi"] = question{&of, false}
	ani.mu.Unlock()
	require.Error(t, ani.Answer(t.Context(), "ani/market", seen.Question, true))
	require.Equal(t, "PENDING", ani.with(t, "toko").Label.State)
}

// The key that is accepted is the one that was shown.
func TestAcceptKey(t *testing.T) {
	_, ani, _ := twoFriends(t)
	before, err := ani.Peer(t.Context(), "budi")
	require.NoError(t, err)
	shown, newer := keys.GenerateIdentityKeyPair().Public(), keys.GenerateIdentityKeyPair().Public()
	require.NoError(t, ani.noteChange(t.Context(), budi1, shown, time.Now()))
	seen := ani.with(t, "budi").Key
	require.NoError(t, ani.noteChange(t.Context(), budi1, newer, time.Now()))
	require.Error(t, ani.AcceptKey(t.Context(), "budi", seen))
	id, err := ani.Peer(t.Context(), "budi")
	require.NoError(t, err)
	require.Equal(t, before, id)
	require.NoError(t, ani.AcceptKey(t.Context(), "budi", ani.with(t, "budi").Key))
	id, err = ani.Peer(t.Context(), "budi")
	require.NoError(t, err)
	require.True(t, id.Accepted.Equal(newer))
}

// A no to another account key, which no state of a label tells of, is one after a
// reload, whoever asks first.
func TestDeclinedStranger(t *testing.T) {
	r, ani, _ := twoFriends(t)
	budi := newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")
	require.NoError(t, ani.receiveSome(t.Context()))
	require.NoError(t, ani.device.AcceptIdentity(t.Context(), budi1, budi.device.Identity())) // and the process stops
	ani = ani.reloaded(t)
	seen := ani.with(t, "budi")
	require.NotNil(t, seen.Asks)
	require.NoError(t, ani.Answer(t.Context(), "budi", seen.Question, false))
	ani = ani.reloaded(t)
	require.NoError(t, ani.Write(t.Context(), "budi", "three"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	require.True(t, ani.until(t, HeldEvent).Declined)
	c, err := ani.Conversation(t.Context(), "budi")
	require.NoError(t, err)
	require.True(t, c.Declined)
	require.Nil(t, c.Asks)
}
