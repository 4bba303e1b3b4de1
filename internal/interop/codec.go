package interop

// A Kind names what the official library can parse and write again.
type Kind string

// The kinds.
const (
	KindPublicKey              Kind = "publicKey"
	KindPrivateKey             Kind = "privateKey"
	KindIdentityKeyPair        Kind = "identityKeyPair"
	KindKEMPublicKey           Kind = "kemPublicKey"
	KindKEMSecretKey           Kind = "kemSecretKey"
	KindSignalMessage          Kind = "signalMessage"
	KindPreKeySignalMessage    Kind = "preKeySignalMessage"
	KindDecryptionErrorMessage Kind = "decryptionErrorMessage"
	KindPlaintextContent       Kind = "plaintextContent"
	KindPreKeyRecord           Kind = "preKeyRecord"
	KindSignedPreKeyRecord     Kind = "signedPreKeyRecord"
	KindKyberPreKeyRecord      Kind = "kyberPreKeyRecord"
	KindSessionRecord          Kind = "sessionRecord"
	KindSenderKeyRecord        Kind = "senderKeyRecord"
)

// A Parsed is what the official library made of some bytes.
type Parsed struct {
	Bytes  Hex               // written again
	Fields Fields            // what its accessors return
	Failed map[string]string // accessors that failed, and how
}

// Fields are the results of accessors. Which are set depends on the kind; nil
// pointers are absent values.
type Fields struct {
	Raw, Public, Private, Signature  Hex
	Body, PQRatchet, RatchetKey      Hex
	KeyID, RegistrationID, DeviceID  uint32
	Counter, Version, SignedPreKeyID uint32
	PreKeyID                         *uint32
	Timestamp                        uint64
	LocalRegistrationID              uint32
	RemoteRegistrationID             uint32
	Usable                           bool
}

type parseRequest struct {
	Kind  Kind `json:"kind"`
	Bytes Hex  `json:"bytes"`
}

// Parse has the official library parse b and write it again.
func (p *Peer) Parse(kind Kind, b []byte) (*Parsed, error) {
	return p.SendParse(kind, b).Parsed()
}

// A Parsing is a Parsed on its way.
type Parsing struct{ reply *Reply }

// Parsed waits for the result.
func (r Parsing) Parsed() (*Parsed, error) {
	out := new(Parsed)
	if err := r.reply.Wait(out); err != nil {
		return nil, err
	}
	return out, nil
}

// SendParse is Parse without the wait.
func (p *Peer) SendParse(kind Kind, b []byte) Parsing {
	return Parsing{p.Send("parse", parseRequest{kind, b})}
}
