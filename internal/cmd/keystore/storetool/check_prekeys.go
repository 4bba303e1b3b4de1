package storetool

import (
	"bytes"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// stored reads what the records of prekeys have in common: the key, the times
// and the record of the key pair. Id is what the key says.
func stored(k keystore.Key, body []byte) (id uint64, record []byte, problem string) {
	id, ok := decimal(k.Name, idSpace-1)
	if !ok || k.Owner != ownOwner {
		return 0, nil, badKey
	}
	p, err := wire.ParseStoredPreKey(body)
	switch {
	case err != nil:
		return 0, nil, badBytes
	case p.Created == 0:
		return 0, nil, badFields
	}
	return id, p.Record, ""
}

func checkPreKey(k keystore.Key, body []byte) verdict {
	id, record, problem := stored(k, body)
	if problem != "" {
		return bad(problem)
	}
	rec, err := wire.ParsePreKeyRecord(record)
	switch {
	case err != nil:
		return bad(badBytes)
	case uint64(rec.ID) != id:
		return bad(badFields)
	case !isPair(rec.Private, rec.Public):
		return bad(badPair)
	}
	return with(func(o []other) string {
		return allocated(o[0], id, func(n *wire.NextIDs) uint32 { return n.PreKey })
	}, beside(k, "nextid", ownOwner, ""))
}

// isPair tells whether a private and a public Curve25519 key belong together.
func isPair(private, public []byte) bool {
	p, err := keys.NewPrivateKey(private)
	return err == nil && bytes.Equal(p.PublicKey().Bytes(), public)
}

// allocated tells whether the ids that are given out next are behind id. They
// begin anew after 24 bits, so the half of them behind counts as below.
func allocated(next other, id uint64, of func(*wire.NextIDs) uint32) string {
	if !next.sound {
		return missing(next, "there is no record of the ids given out")
	}
	n, _ := wire.ParseNextIDs(next.body)
	if (uint64(of(&n))-1-id)%idSpace >= idSpace/2 {
		return "its id is not given out yet"
	}
	return ""
}

func checkSigned(k keystore.Key, body []byte) verdict {
	rec, problem := signedRecord(k, body)
	if problem != "" {
		return bad(problem)
	}
	if !isPair(rec.Private, rec.Public) {
		return bad(badPair)
	}
	public, _ := keys.ParsePublicKey(rec.Public)
	return signedBy(k, &rec, func(n *wire.NextIDs) uint32 { return n.SignedPreKey },
		func(id keys.IdentityKey) error { return id.VerifyPreKey(public, rec.Signature) })
}

func checkKEM(k keystore.Key, body []byte) verdict {
	rec, problem := signedRecord(k, body)
	if problem != "" {
		return bad(problem)
	}
	private, err := keys.ParseKEMPrivateKey(rec.Private)
	if err != nil || !bytes.Equal(private.Public().Bytes(), rec.Public) {
		return bad(badPair)
	}
	return signedBy(k, &rec, func(n *wire.NextIDs) uint32 { return n.KEMPreKey },
		func(id keys.IdentityKey) error { return id.VerifyKEMPreKey(private.Public(), rec.Signature) })
}

func signedRecord(k keystore.Key, body []byte) (rec wire.SignedPreKeyRecord, problem string) {
	id, record, problem := stored(k, body)
	if problem != "" {
		return rec, problem
	}
	rec, err := wire.ParseSignedPreKeyRecord(record)
	switch {
	case err != nil:
		return rec, badBytes
	case uint64(rec.ID) != id:
		return rec, badFields
	}
	return rec, ""
}

// signedBy asks for the ids given out, and for the identity key that signed.
func signedBy(k keystore.Key, rec *wire.SignedPreKeyRecord, next func(*wire.NextIDs) uint32, verify func(keys.IdentityKey) error) verdict {
	id := uint64(rec.ID)
	return with(func(o []other) string {
		if problem := allocated(o[0], id, next); problem != "" {
			return problem
		}
		if !o[1].sound {
			return ""
		}
		if pair, _ := identityOf(o[1].Key, o[1].body); verify(pair.Public()) != nil {
			return "its signature is not the device's"
		}
		return ""
	}, beside(k, "nextid", ownOwner, ""), selfKey(k.Scope))
}

func checkBaseKey(k keystore.Key, body []byte) verdict {
	if _, _, ok := pairOf(k.Owner); !ok || !isHex(k.Name, 32) {
		return bad(badKey)
	}
	if len(body) > 0 {
		return bad(badBytes)
	}
	return verdict{}
}
