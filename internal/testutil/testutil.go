// Package testutil holds what tests of several packages share. Only tests and
// programs import it.
package testutil

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Hex is bytes that stand in JSON as a string of hexadecimal digits. Absent
// and null leave nil; "" gives an empty slice.
type Hex []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(Hex{}, text)
	return err
}

// MarshalText implements [encoding.TextMarshaler].
func (h Hex) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, h), nil
}

// ReadJSON decodes the file name of the module's testdata directory, such as
// "wire/wire-core-vectors.json", into v.
func ReadJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(t), "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("testutil: %s: %v", name, err)
	}
}

// Root returns the directory of the main module, from within it or one of its
// nested modules.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "testdata", "README.md")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("testutil: no module root above the working directory")
		}
		dir = parent
	}
}
