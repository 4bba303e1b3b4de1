package session

import (
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// A Content is what a plaintext is with Options.Content (gembok, Section 3). It
// prints as redacted. The zero value is an empty message.
type Content struct {
	wire.Secret

	Body         []byte
	SentAt       time.Time
	Timer        time.Duration
	TimerVersion uint32
	SyncTo       string
}
