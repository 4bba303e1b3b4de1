package post

import (
	"errors"
	"fmt"
)

// What a request to the relay may fail with. Each is an HTTP status.
var (
	ErrBad     = errors.New("not understood")               // 400
	ErrUnknown = errors.New("nobody has that name")         // 404
	ErrOld     = errors.New("there is a newer one")         // 409
	ErrRemoved = errors.New("its owner removed the device") // 410
	ErrLarge   = errors.New("too large")                    // 413
	ErrFull    = errors.New("the relay has no room")        // 507
)

// What an answer of the relay may say beside ErrUnknown, ErrRemoved and ErrFull.
var (
	// ErrGone is that there was no answer, or none that is one. Try again later.
	ErrGone = errors.New("the relay cannot be reached")
	// ErrNonsense is that what answered is no relay.
	ErrNonsense = fmt.Errorf("%w: its answer makes no sense", ErrGone)
	// ErrRejected is that the relay does not want a request, and never will.
	ErrRejected = errors.New("the relay rejects it")
	// ErrDiffers is that the relay knows more by now.
	ErrDiffers = errors.New("the relay knows other devices")
)

// Status is the HTTP status of a request that failed with err.
func Status(err error) int {
	switch {
	case errors.Is(err, ErrUnknown):
		return 404
	case errors.Is(err, ErrOld):
		return 409
	case errors.Is(err, ErrRemoved):
		return 410
	case errors.Is(err, ErrLarge):
		return 413
	case errors.Is(err, ErrFull):
		return 507
	}
	return 400
}

// Failure is what an answer with an HTTP status says, nil for success.
func Failure(status int) error {
	switch {
	case status < 300:
		return nil
	case status == 404:
		return ErrUnknown
	case status == 409:
		return ErrDiffers
	case status == 410:
		return ErrRemoved
	case status == 507:
		return ErrFull
	case status < 500:
		return fmt.Errorf("%w (%d)", ErrRejected, status)
	}
	return fmt.Errorf("%w (%d)", ErrGone, status)
}
