package wire

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "redacted"

// redact is embedded in every struct that holds a secret, so that fmt, slog
// and encoding/json do not print it.
type redact struct{}

// Format answers every verb with "redacted".
func (redact) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue answers "redacted".
func (redact) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON answers "redacted".
func (redact) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
