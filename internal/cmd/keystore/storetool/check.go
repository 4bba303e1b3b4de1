package storetool

import (
	"bytes"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A verdict is what a record is found to be by itself: a problem, or, if other
// records have a say in it, which, and what to ask of them, in that order.
type verdict struct {
	problem string
	need    []keystore.Key
	rest    func([]other) (problem string)
}

func bad(text string) verdict { return verdict{problem: text} }

// with asks other records.
func with(rest func([]other) string, need ...keystore.Key) verdict {
	return verdict{need: need, rest: rest}
}

// missing is the problem of a record that needs another.
func missing(o other, problem string) string {
	if o.there {
		return ""
	}
	return problem
}

// checks has a check of each kind of record that packages session and group keep.
// It is given the body behind the format byte.
var checks = map[string]func(k keystore.Key, body []byte) verdict{
	"self":       checkSelf,
	"upkeep":     checkUpkeep,
	"nextid":     checkNextID,
	"prekey":     checkPreKey,
	"signed":     checkSigned,
	"kem":        checkKEM,
	"lastresort": checkKEM,
	"basekey":    checkBaseKey,
	"peer":       checkPeer,
	"identity":   checkIdentity,
	"session":    checkSession,
	"archive":    checkArchive,
	"staged":     checkStaged,
	"body":       checkBody,
	"mark":       checkMark,
	"event":      checkEvent,
	"sent":       checkSent,
	"retry":      checkRetry,
	"restore":    checkRestore,
	"link":       checkLink,
	"senderkey":  checkSenderKey,
	"group":      checkGroup,
}

// The problems that several kinds have.
const (
	badKey    = "it is not under a key of its kind"
	badBytes  = "it does not decode"
	badFields = "its fields contradict each other"
	badPair   = "its private and public key are no pair"
)

func isOwn(k keystore.Key) bool { return k.Owner == ownOwner && k.Name == "" }

func isUser(s string) bool { return s != "" && len(s) <= 1024 && utf8.ValidString(s) }

// isScope tells whether a scope is the address that a record "self" says.
func isScope(scope string, s *wire.Self) bool {
	device, ok := bytes.CutPrefix([]byte(scope), []byte(s.User+"."))
	n, isNumber := decimal(string(device), 127)
	return ok && isNumber && n == uint64(s.Device) && n > 0 && isUser(s.User)
}

func checkSelf(k keystore.Key, body []byte) verdict {
	_, problem := identityOf(k, body)
	return bad(problem)
}

// identityOf returns the identity key pair in a record "self", or what is wrong
// with that.
func identityOf(k keystore.Key, body []byte) (pair *keys.IdentityKeyPair, problem string) {
	s, err := wire.ParseSelf(body)
	switch {
	case !isOwn(k):
		return nil, badKey
	case err != nil:
		return nil, badBytes
	case !isScope(k.Scope, &s), s.RegistrationID < 1, s.RegistrationID > maxRegistrationID:
		return nil, badFields
	}
	rec, err := wire.ParseIdentityKeyPairRecord(s.Identity)
	if err == nil {
		pair, err = keys.NewIdentityKeyPair(rec.Private)
	}
	if err != nil || !bytes.Equal(pair.Public().Bytes(), rec.Public) {
		return nil, badPair
	}
	return pair, ""
}

func checkUpkeep(k keystore.Key, body []byte) verdict {
	if !isOwn(k) {
		return bad(badKey)
	}
	if _, err := wire.ParseUpkeep(body); err != nil {
		return bad(badBytes)
	}
	return verdict{}
}

func checkNextID(k keystore.Key, body []byte) verdict {
	if !isOwn(k) {
		return bad(badKey)
	}
	n, err := wire.ParseNextIDs(body)
	switch {
	case err != nil:
		return bad(badBytes)
	case max(n.PreKey, n.SignedPreKey, n.KEMPreKey) > idSpace:
		return bad(badFields)
	}
	return verdict{}
}

func checkRestore(k keystore.Key, body []byte) verdict {
	switch {
	case !isOwn(k):
		return bad(badKey)
	case len(body) > 0:
		return bad(badBytes)
	}
	return verdict{}
}

func checkIdentity(k keystore.Key, body []byte) verdict {
	if !isUser(k.Owner) || !isDevice(k.Name) {
		return bad(badKey)
	}
	id, err := wire.ParseIdentity(body)
	switch {
	case err != nil:
		return bad(badBytes)
	case !isIdentity(id.Accepted), !isIdentity(id.Seen):
		return bad("it lacks an identity key")
	}
	return verdict{}
}

func isIdentity(b []byte) bool {
	_, err := keys.ParseIdentityKey(b)
	return err == nil
}
