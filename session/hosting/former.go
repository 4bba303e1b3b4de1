package hosting

import (
	"crypto/sha256"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Formers are keys of manifests that are not held any more, and who had them. They
// are the last ones, oldest first, of each 32 bytes:
//
//	SHA-256(identity key), the first 16 ‖ SHA-256(controller ‖ provider key ‖ domain), the first 16
//
// Keys do not move, however many manifests are in between.
type formers string

// formerSize is that of one.
const formerSize = 32

// former is the one of e.
func (e *Endpoint) former() string {
	who := []byte{byte(e.Controller)}
	if e.Provider != nil {
		who = append(e.Provider.Key.Append(who), e.Provider.Domain...)
	}
	key, holder := sha256.Sum256(e.Identity.Bytes()), sha256.Sum256(who)
	return string(key[:formerSize/2]) + string(holder[:formerSize/2])
}

// with returns fs and the keys of manifests, nil ones left out.
func (fs formers) with(ms ...*Manifest) formers {
	for _, m := range ms {
		for i := 0; m != nil && i < len(m.Endpoints); i++ {
			if f := m.Endpoints[i].former(); !fs.any(func(g string) bool { return g == f }) {
				fs += formers(f)
			}
		}
	}
	return fs[max(0, len(fs)-formerSize*wire.MaxFormerKeys):]
}

// had reports whether somebody else had a key of m.
func (fs formers) had(m *Manifest) bool {
	for i := range m.Endpoints {
		now := m.Endpoints[i].former()
		if fs.any(func(f string) bool { return f != now && strings.HasPrefix(f, now[:formerSize/2]) }) {
			return true
		}
	}
	return false
}

func (fs formers) any(is func(f string) bool) bool {
	for ; len(fs) >= formerSize; fs = fs[formerSize:] {
		if is(string(fs[:formerSize])) {
			return true
		}
	}
	return false
}
