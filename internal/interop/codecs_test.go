package interop_test

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// codecOf returns what gembok makes of a kind: the parser, and the checks of
// keys that the official library makes in the same call.
func codecOf(kind interop.Kind) codec {
	c := codec{kind: kind}
	switch kind {
	case interop.KindPublicKey:
		c.parse = parsePublicKey
	case interop.KindPrivateKey:
		c.parse = parsePrivateKey
	case interop.KindIdentityKeyPair:
		c.parse = parseIdentityKeyPair
	case interop.KindKEMPublicKey:
		c.parse = func(b []byte) (outcome, error) {
			k, err := keys.ParseKEMPublicKey(b)
			return outcome{again: k.Bytes()}, err
		}
	case interop.KindKEMSecretKey:
		c.parse = func(b []byte) (outcome, error) {
			k, err := keys.ParseKEMPrivateKey(b)
			if err != nil {
				return outcome{}, err
			}
			return outcome{again: k.Bytes()}, nil
		}
	case interop.KindSignalMessage:
		c.parse = parseSignalMessage
	case interop.KindPreKeySignalMessage:
		c.parse = parsePreKeySignalMessage
	case interop.KindDecryptionErrorMessage:
		c.parse = parseDecryptionErrorMessage
	case interop.KindPlaintextContent:
		c.parse = func(b []byte) (outcome, error) {
			m, err := wire.ParsePlaintextContent(b)
			if err != nil {
				return outcome{}, err
			}
			return outcome{again: b, written: wire.AppendPlaintextContent(nil, &m), fields: interop.Fields{Body: b[1:]}}, nil
		}
	case interop.KindPreKeyRecord:
		c.parse = parsePreKeyRecord
	case interop.KindSignedPreKeyRecord, interop.KindKyberPreKeyRecord:
		c.parse = func(b []byte) (outcome, error) { return parseSignedPreKeyRecord(kind, b) }
	case interop.KindSessionRecord:
		c.parse = parseSessionRecord
	case interop.KindSenderKeyMessage:
		c.parse = parseSenderKeyMessage
	case interop.KindSenderKeyDistribution:
		c.parse = parseSenderKeyDistribution
	case interop.KindServerCertificate:
		c.parse = parseServerCertificate
	case interop.KindSenderCertificate:
		c.parse = parseSenderCertificate
	case interop.KindSealedContent:
		c.parse = parseSealedContent
	case interop.KindServiceIDString:
		c.parse = func(b []byte) (outcome, error) { return serviceID(wire.ParseServiceID(string(b))) }
	case interop.KindServiceIDBinary:
		c.parse = func(b []byte) (outcome, error) { return serviceID(wire.ParseBinaryServiceID(b)) }
	case interop.KindServiceIDFixed:
		c.parse = func(b []byte) (outcome, error) { return serviceID(wire.ParseFixedServiceID(b)) }
	}
	return c
}

func parsePublicKey(b []byte) (outcome, error) {
	k, err := keys.ParsePublicKey(b)
	if err != nil {
		return outcome{}, err
	}
	return outcome{again: k.Bytes(), fields: interop.Fields{Raw: k.Bytes()[1:]}}, nil
}

func parsePrivateKey(b []byte) (outcome, error) {
	k, err := keys.NewPrivateKey(b)
	if err != nil {
		return outcome{}, err
	}
	return outcome{again: k.Bytes(), fields: interop.Fields{Public: k.PublicKey().Bytes()}}, nil
}

func parseIdentityKeyPair(b []byte) (outcome, error) {
	rec, err := wire.ParseIdentityKeyPairRecord(b)
	if err != nil {
		return outcome{}, err
	}
	public, err := keys.ParseIdentityKey(rec.Public)
	if err != nil {
		return outcome{}, err
	}
	pair, err := keys.NewIdentityKeyPair(rec.Private)
	if err != nil {
		return outcome{}, err
	}
	rec.Private = pair.PrivateBytes()
	return outcome{
		again:  wire.AppendIdentityKeyPairRecord(nil, &rec),
		fields: interop.Fields{Public: public.Bytes(), Private: pair.PrivateBytes()},
	}, nil
}

// Of a message the official library keeps the bytes as they came, as the MAC
// covers them. Whether gembok writes the same is looked at where they are known
// to be canonical.
func parseSignalMessage(b []byte) (outcome, error) {
	m, err := wire.ParseSignalMessage(b)
	if err != nil {
		return outcome{}, err
	}
	if _, err := keys.ParsePublicKey(m.RatchetKey); err != nil {
		return outcome{}, err
	}
	written := append(wire.AppendSignalMessage(nil, &m), m.MAC...)
	return outcome{again: b, written: written, fields: interop.Fields{
		Body: full(m.Ciphertext), PQRatchet: full(m.PQRatchet), Counter: m.Counter, Version: uint32(m.Version),
	}}, nil
}

func parsePreKeySignalMessage(b []byte) (outcome, error) {
	m, err := wire.ParsePreKeySignalMessage(b)
	if err != nil {
		return outcome{}, err
	}
	for _, k := range [][]byte{m.BaseKey, m.IdentityKey, m.Message.RatchetKey} {
		if _, err := keys.ParsePublicKey(k); err != nil {
			return outcome{}, err
		}
	}
	out := outcome{again: b, written: wire.AppendPreKeySignalMessage(nil, &m), fields: interop.Fields{
		RegistrationID: m.RegistrationID, SignedPreKeyID: m.SignedPreKeyID, Version: uint32(m.Version),
	}}
	if m.HasPreKeyID {
		out.fields.PreKeyID = &m.PreKeyID
	}
	return out, nil
}

func parseDecryptionErrorMessage(b []byte) (outcome, error) {
	m, err := wire.ParseDecryptionErrorMessage(b)
	if err != nil {
		return outcome{}, err
	}
	written := wire.AppendDecryptionErrorMessage(nil, &m)
	out := outcome{again: b, written: written, fields: interop.Fields{DeviceID: m.Device, RatchetKey: m.RatchetKey}}
	if m.RatchetKey != nil {
		if _, err := keys.ParsePublicKey(m.RatchetKey); err != nil {
			return outcome{}, err
		}
	}
	out.timestamp(m.Timestamp)
	return out, nil
}

// timestamp is a number of JavaScript for the official library, which refuses
// one that is not exact.
func (o *outcome) timestamp(ms uint64) {
	if ms > 1<<53-1 {
		o.fails = append(o.fails, "timestamp")
		return
	}
	o.fields.Timestamp = ms
}

// keys sets the accessors of the two keys of a record, which nobody checks
// before they are asked for.
func (o *outcome) keys(public, private []byte) {
	if tooLong(public) {
		public = public[:33] // a divergence, shown with KindPublicKey
	}
	if k, err := keys.ParsePublicKey(public); err != nil {
		o.fails = append(o.fails, "public")
	} else {
		o.fields.Public = k.Bytes()
	}
	if k, err := keys.NewPrivateKey(private); err != nil {
		o.fails = append(o.fails, "private")
	} else {
		o.fields.Private = k.Bytes()
	}
}

func (o *outcome) kemKeys(public, private []byte) {
	if len(public) != 1569 || public[0] != 8 {
		o.fails = append(o.fails, "public")
	} else {
		o.fields.Public = public
	}
	if len(private) != 3169 || private[0] != 8 {
		o.fails = append(o.fails, "private")
	} else {
		o.fields.Private = private
	}
}

func parsePreKeyRecord(b []byte) (outcome, error) {
	rec, err := wire.ParsePreKeyRecord(b)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{again: wire.AppendPreKeyRecord(nil, &rec), fields: interop.Fields{KeyID: rec.ID}}
	out.keys(rec.Public, rec.Private)
	return out, nil
}

func parseSignedPreKeyRecord(kind interop.Kind, b []byte) (outcome, error) {
	rec, err := wire.ParseSignedPreKeyRecord(b)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{again: wire.AppendSignedPreKeyRecord(nil, &rec), fields: interop.Fields{KeyID: rec.ID, Signature: full(rec.Signature)}}
	out.timestamp(rec.Created)
	if kind == interop.KindKyberPreKeyRecord {
		out.kemKeys(rec.Public, rec.Private)
	} else {
		out.keys(rec.Public, rec.Private)
	}
	return out, nil
}

func serviceID(id wire.ServiceID, err error) (outcome, error) {
	if err != nil {
		return outcome{}, err
	}
	fixed := id.Fixed()
	if again, err := wire.ParseFixedServiceID(fixed[:]); err != nil || again != id {
		return outcome{}, fmt.Errorf("interop: %v is not %v: %w", again, id, err)
	}
	return outcome{again: fixed[:], fields: interop.Fields{String: id.String(), Binary: id.Binary()}}, nil
}

// full is b; absent bytes are empty ones for the official library.
func full(b []byte) interop.Hex {
	if b == nil {
		return interop.Hex{}
	}
	return b
}
