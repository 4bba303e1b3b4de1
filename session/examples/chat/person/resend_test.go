package person

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process may stop between any two steps of sending again: the message is read.
func TestStopWhileResending(t *testing.T) {
	errStop := errors.New("stop")
	for stop := range 10 {
		r, ani, budi := twoFriends(t)
		require.NoError(t, budi.device.Forget(t.Context(), ani1.User))
		ani.sends(t, "budi", "three")
		budi.receives(t, AskedEvent)

		store := &stopping{Store: ani.store, after: stop, err: errStop}
		ani = newTestPerson(t, ani1, r, store)
		err := ani.receiveSome(t.Context())
		left, _ := ani.Flush(t.Context())
		if err != nil || left > 0 {
			ani = newTestPerson(t, ani1, r, store.Store)
			if len(r.Mail(ani1)) > 0 {
				require.NoError(t, ani.receiveSome(t.Context()))
			}
			left, err = ani.Flush(t.Context())
			require.NoError(t, err)
			require.Zero(t, left)
		}
		budi.hears(t, ReadEvent, "three")
		if store.after > 0 {
			return
		}
	}
	require.Fail(t, "it never ends")
}
