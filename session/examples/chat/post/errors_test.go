package post

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a request fails with comes out at the other end as what it means there.
func TestStatus(t *testing.T) {
	require.NoError(t, Failure(200))
	for err, want := range map[error]error{
		ErrBad: ErrRejected, ErrUnknown: ErrUnknown, ErrOld: ErrDiffers, ErrRemoved: ErrRemoved, ErrLarge: ErrRejected, ErrFull: ErrFull,
		errors.New("another"): ErrRejected,
	} {
		require.ErrorIs(t, Failure(Status(fmt.Errorf("%w: more", err))), want)
	}
	require.ErrorIs(t, Failure(500), ErrGone)
}
