package storetool

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/keystore"
)

// placeOf says what the place of an engine's stores is.
func placeOf(engine string) string {
	if isFile(engine) {
		return "FILE"
	}
	return "CONNECTION"
}

func isFile(engine string) bool { return engine == "bolt" || engine == "sqlite" }

// open opens the store that an argument names. One that is to be read must be
// there: to open it would make it.
func (t *Tool) open(ctx context.Context, name string, read bool) (keystore.Store, error) {
	engine, place, _ := strings.Cut(name, ":")
	if !slices.Contains(t.Engines, engine) || place == "" {
		return nil, fmt.Errorf("%w: a store is named as engine and place, with one of the engines %s", errUsage, strings.Join(t.Engines, ", "))
	}
	if read && isFile(engine) {
		if info, err := os.Stat(place); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: not a file", place)
		}
	}
	return t.Open(ctx, engine, place)
}
