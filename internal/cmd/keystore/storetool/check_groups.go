package storetool

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// checkSenderKey looks at the sender keys of a device for a distribution id, or,
// where the name has none, at the list of those ids.
func checkSenderKey(k keystore.Key, body []byte) verdict {
	device, id, one := strings.Cut(k.Name, ",")
	if !isUser(k.Owner) || !isDevice(device) || one && !isDistribution(id) {
		return bad(badKey)
	}
	if !one {
		return checkSenderKeys(body)
	}
	rec, err := wire.ParseSenderKeyRecord(body)
	if err != nil {
		return bad(badBytes)
	}
	for i := range rec.States {
		if problem := stateProblem(&rec.States[i]); problem != "" {
			return bad(problem)
		}
	}
	if len(rec.States) == 0 {
		return bad(badFields)
	}
	if k.Scope == k.Owner+"."+device { // the device's own, which are on no list
		return verdict{}
	}
	return with(func(o []other) string {
		const alone = "no list of sender keys names it"
		list, _ := wire.ParseSenderKeyIndex(o[0].body)
		if o[0].sound && !slices.ContainsFunc(list.Entries, func(e wire.SenderKeyEntry) bool { return distributionID(e.ID) == id }) {
			return alone
		}
		return missing(o[0], alone)
	}, beside(k, k.Kind, k.Owner, device))
}

// isDistribution tells whether s is a distribution id as it stands in keys.
func isDistribution(s string) bool {
	id, err := wire.ParseServiceID(s)
	return err == nil && !id.PNI && id.String() == s
}

// distributionID is an id of 16 bytes as it stands in keys.
func distributionID(id []byte) string { return wire.ServiceID{UUID: [16]byte(id)}.String() }

func stateProblem(s *wire.SenderKeyState) string {
	if _, err := keys.ParseVerifyKey(s.SigningPublic); err != nil || len(s.ChainKey) != 32 || len(s.Identity) > 0 && !isIdentity(s.Identity) {
		return badFields
	}
	if len(s.SigningPrivate) == 0 {
		return ""
	}
	pair, err := keys.NewSigningKey(s.SigningPrivate)
	if err != nil || !bytes.Equal(pair.Public().Bytes(), s.SigningPublic) {
		return badPair
	}
	return ""
}

func checkSenderKeys(body []byte) verdict {
	list, err := wire.ParseSenderKeyIndex(body)
	if err != nil {
		return bad(badBytes)
	}
	seen := map[string]bool{}
	for _, e := range list.Entries {
		if e.At == 0 || !isIdentity(e.Identity) || seen[string(e.ID)] {
			return bad(badFields)
		}
		seen[string(e.ID)] = true
	}
	return verdict{}
}

func checkGroup(k keystore.Key, body []byte) verdict {
	if !isUser(k.Owner) || k.Name != "" {
		return bad(badKey)
	}
	g, err := wire.ParseGroup(body)
	if err != nil {
		return bad(badBytes)
	}
	ascending := func(a, b member) bool {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.device, b.device)) < 0
	}
	for _, list := range [][]member{membersOf(&g), excludedOf(&g), givenOf(&g)} {
		for i, m := range list {
			if !isUser(m.user) || m.device > 127 || i > 0 && !ascending(list[i-1], m) {
				return bad(badFields)
			}
		}
	}
	for i := range g.Given {
		if !isGiven(&g.Given[i]) {
			return bad(badFields)
		}
	}
	return verdict{}
}

// A member is a user, or a device of one, of a group.
type member struct {
	user   string
	device uint32
}

func membersOf(g *wire.Group) (out []member) {
	for _, user := range g.Members {
		out = append(out, member{user, 0})
	}
	return out
}

func excludedOf(g *wire.Group) (out []member) {
	for _, d := range g.Exclude {
		out = append(out, member{d.User, d.Device})
	}
	return out
}

func givenOf(g *wire.Group) (out []member) {
	for i := range g.Given {
		out = append(out, member{g.Given[i].User, g.Given[i].Device})
	}
	return out
}

// isGiven tells whether a device may have been given a key so.
func isGiven(k *wire.GroupKey) bool {
	return k.Device > 0 && k.RegistrationID <= maxRegistrationID &&
		(len(k.Identity) == 0 || isIdentity(k.Identity)) && (len(k.Session) == 0 || len(k.Session) == 32)
}
