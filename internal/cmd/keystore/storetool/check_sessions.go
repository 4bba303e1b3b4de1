package storetool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func checkSession(k keystore.Key, body []byte) verdict {
	if !isUser(k.Owner) || !isDevice(k.Name) {
		return bad(badKey)
	}
	s, err := wire.ParseSessionIndex(body)
	if err != nil {
		return bad(badBytes)
	}
	var current *wire.Session
	if s.Current != nil {
		if current, err = wire.ParseSession(s.Current); err != nil {
			return bad("its current session does not decode")
		}
		if problem := checkState(current); problem != "" {
			return bad("its current session: " + problem)
		}
	}
	need := []keystore.Key{selfKey(k.Scope), beside(k, "identity", k.Owner, k.Name)}
	for i := range s.Archived {
		need = append(need, archiveKey(k, s.Archived[i].Name))
	}
	if len(s.Archived) > wire.MaxArchived || repeats(need) {
		return bad("its index of archived sessions is wrong")
	}
	return with(func(o []other) string {
		if problem := checkParties(current, o[0], o[1]); problem != "" {
			return problem
		}
		return checkIndex(s.Archived, o[2:])
	}, need...)
}

// archiveKey names an archived session of the peer device whose record
// "session" is k.
func archiveKey(k keystore.Key, name []byte) keystore.Key {
	return beside(k, "archive", k.Owner, k.Name+","+hex.EncodeToString(name))
}

func repeats(keys []keystore.Key) bool {
	seen := map[keystore.Key]bool{}
	for _, k := range keys {
		seen[k] = true
	}
	return len(seen) < len(keys)
}

// checkParties tells whether the current session is one between this device and
// the identity accepted for the peer.
func checkParties(current *wire.Session, self, identity other) string {
	if current == nil {
		return ""
	}
	if self.sound {
		if pair, _ := identityOf(self.Key, self.body); !bytes.Equal(pair.Public().Bytes(), current.LocalIdentity) {
			return "its current session is another device's"
		}
	}
	if !identity.sound {
		return missing(identity, "there is no accepted identity for its current session")
	}
	if id, _ := wire.ParseIdentity(identity.body); !bytes.Equal(id.Accepted, current.RemoteIdentity) {
		return "its current session is not with the accepted identity"
	}
	return ""
}

// checkIndex compares what a record "session" says of archived sessions with
// them.
func checkIndex(notes []wire.ArchivedNote, archived []other) string {
	for i := range notes {
		if problem := missing(archived[i], "an archived session is missing"); problem != "" {
			return problem
		}
		s, err := wire.ParseSession(archived[i].body)
		if !archived[i].sound || err != nil {
			continue
		}
		if !bytes.Equal(hintsOf(s), notes[i].Hints) {
			return "its index of archived sessions is wrong"
		}
	}
	return ""
}

func hintsOf(s *wire.Session) (out []byte) {
	for i := range s.Receivers {
		h := sha256.Sum256(s.Receivers[i].PublicKey)
		out = append(out, h[:wire.HintSize]...)
	}
	return out
}

func checkArchive(k keystore.Key, body []byte) verdict {
	device, name, ok := strings.Cut(k.Name, ",")
	if !ok || !isUser(k.Owner) || !isDevice(device) || !isHex(name, 32) {
		return bad(badKey)
	}
	s, err := wire.ParseSession(body)
	switch {
	case err != nil && name != hashName(body): // one that was imported so blocks nothing
		return bad(badBytes)
	case err == nil && len(s.BaseKey) > 0 && name != hashName(s.BaseKey):
		return bad("its name is not that of its base key")
	case err == nil:
		if problem := checkState(s); problem != "" {
			return bad(problem)
		}
	}
	return with(func(o []other) string {
		const nameless = "no session record names it"
		if !o[0].sound {
			return missing(o[0], nameless)
		}
		index, _ := wire.ParseSessionIndex(o[0].body)
		for i := range index.Archived {
			if hex.EncodeToString(index.Archived[i].Name) == name {
				return ""
			}
		}
		return nameless
	}, beside(k, "session", k.Owner, device))
}

func hashName(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// checkState checks the parts of a session of version 4 or 3; older ones, which
// are imported and only lie there, need none of them.
func checkState(s *wire.Session) string {
	if s.Version != wire.Version && s.Version != 3 {
		return ""
	}
	_, errPQ := spqr.Parse(s.PQRatchet)
	switch {
	case !isIdentity(s.LocalIdentity), !isIdentity(s.RemoteIdentity):
		return "it lacks an identity key"
	case len(s.RootKey) != 32:
		return "its root key is none"
	case s.Sender == nil, len(s.Sender.Key) != 32, !isPair(s.Sender.PrivateKey, s.Sender.PublicKey), len(s.Sender.Skipped) > 0:
		return "its sending chain is damaged"
	case !checkReceivers(s.Receivers):
		return "a receiving chain is damaged"
	case errPQ != nil:
		return "its post-quantum ratchet is damaged"
	case !checkPending(s):
		return "what it repeats until it is answered is damaged"
	}
	return ""
}

func checkReceivers(chains []wire.Chain) bool {
	for i := range chains {
		c := &chains[i]
		if _, err := keys.ParsePublicKey(c.PublicKey); err != nil || len(c.Key) != 32 || len(c.PrivateKey) > 0 || !checkSkipped(c.Skipped) {
			return false
		}
	}
	return true
}

func checkSkipped(skipped wire.Skipped) bool {
	n := 0
	for k := range skipped.All() {
		old, err := k.Expanded()
		if n++; err != nil || !old && len(k.Seed) != 32 {
			return false
		}
	}
	return n <= wire.MaxSkipped
}

func checkPending(s *wire.Session) bool {
	if s.Pending == nil {
		return s.PendingKEM == nil
	}
	if _, err := keys.ParsePublicKey(s.Pending.BaseKey); err != nil || !bytes.Equal(s.Pending.BaseKey, s.BaseKey) {
		return false
	}
	const ciphertext = 1569
	return s.Version == 3 || s.PendingKEM != nil && len(s.PendingKEM.Ciphertext) == ciphertext
}
