package crash

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// songs is a record that counts messages to all devices alike, as a chain does.
var songs = keystore.Key{Kind: "counted", Owner: "-", Name: "songs"}

// sing has a message go to all devices of users alike: no two have one count.
func (a *actor) sing(c *command, r *reply) error {
	o := &session.SendOptions{Group: "choir", NoOwnDevices: true, Beside: []keystore.Key{songs}}
	o.Shared = func(tx *session.Tx, _ []session.Result, plaintext []byte) (*session.Message, error) {
		body, _, err := tx.Get(songs)
		if err != nil {
			return nil, err
		}
		n := uint64(1)
		if len(body) == 8 {
			n += binary.BigEndian.Uint64(body)
		}
		body = binary.BigEndian.AppendUint64(nil, n)
		return &session.Message{Type: session.TypeSenderKey, Bytes: append(body, plaintext...)}, tx.Put(songs, body)
	}
	s, err := a.d.Send(ctx, c.Users, &session.Content{Body: []byte(c.Text)}, o)
	if err == nil {
		r.sent(s)
	}
	return err
}

// sing has the Device send one message to all devices of users that it knows.
func (w *world) sing() {
	w.ready()
	c := command{Op: "sing", Text: fmt.Sprint("to all alike ", w.sends)}
	for _, user := range w.users() {
		if w.known[user] && !w.blocked[user] && slices.ContainsFunc(w.of(user), func(p *peer) bool { return !p.gone }) {
			c.Users = append(c.Users, user)
		}
	}
	if len(c.Users) == 0 {
		w.sendMany()
		return
	}
	r, made := w.do(c)
	w.sends += made // copies, if not old ones that went
	if r == nil {
		return
	}
	require.Empty(w.t, r.Err, r.Detail)
	require.Positive(w.t, made)
	require.False(w.t, w.stamps[r.SentAt.UnixMilli()], "a time of sending twice")
	w.stamps[r.SentAt.UnixMilli()] = true
	var song []byte
	for _, one := range r.Results {
		at := slices.IndexFunc(w.peers, func(p *peer) bool { return p.a == one.To })
		require.GreaterOrEqual(w.t, at, 0)
		if p := w.peers[at]; p.seen {
			require.Equal(w.t, "untrusted", one.Err)
			require.Empty(w.t, one.Bytes)
			continue
		}
		require.Empty(w.t, one.Err)
		require.Equal(w.t, byte(session.TypeSenderKey), one.Type)
		require.True(w.t, song == nil || string(song) == string(one.Bytes), "not alike")
		song = one.Bytes
	}
	if song == nil {
		return
	}
	n := binary.BigEndian.Uint64(song)
	require.Greater(w.t, n, w.song, "a count twice")
	w.song = n
	require.Equal(w.t, c.Text, string(song[8:]))
	w.count["sung"]++
}
