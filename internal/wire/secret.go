package wire

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret, embedded in a struct, keeps it from being compared and makes it
// print as "redacted" under every verb of fmt, in slog and in encoding/json,
// which otherwise look through unexported fields.
type Secret struct{ _ [0]func() }

// Format answers every verb with "redacted".
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "redacted") }

// LogValue answers slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("redacted") }

// MarshalJSON answers encoding/json.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"redacted"`), nil }
