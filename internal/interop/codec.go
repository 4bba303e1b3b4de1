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
	KindSenderKeyMessage       Kind = "senderKeyMessage"
	KindSenderKeyDistribution  Kind = "senderKeyDistributionMessage"
	KindServerCertificate      Kind = "serverCertificate"
	KindSenderCertificate      Kind = "senderCertificate"
	KindSealedContent          Kind = "sealedContent"        // what is in a sealed envelope
	KindScannableFingerprint   Kind = "scannableFingerprint" // any bytes, as they are
	KindServiceIDString        Kind = "serviceIdString"      // each written as serviceIdFixed
	KindServiceIDBinary        Kind = "serviceIdBinary"
	KindServiceIDFixed         Kind = "serviceIdFixed"
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
	Timestamp                        uint64 // fails in the library from 2^53
	String                           string
	Binary                           Hex
	LocalRegistrationID              uint32
	RemoteRegistrationID             uint32
	Usable                           bool

	// Sender keys. The ciphertext of a message is its Body.
	DistributionID     string
	ChainID, Iteration uint32
	ChainKey           Hex

	// Sealed sender. Certificate is what a certificate's signature covers, or
	// the sender certificate of a content; Timestamp is when one expires.
	Certificate, Server Hex
	UUID                string
	E164                *string
	Type                int
	Hint                uint32
	Group               *Hex
}

// BuildOptions are the parts of what Build makes.
type BuildOptions struct {
	// decryptionErrorMessage: the failed message, its type, when and by whom
	// it was sent.
	Original Hex    `json:"original"`
	Type     int    `json:"type"`
	Device   uint32 `json:"device"`

	// plaintextContent: the serialised decryptionErrorMessage.
	DecryptionError Hex `json:"decryptionError"`

	// Records. A kyberPreKeyRecord gets a new key pair.
	KeyID     uint32 `json:"keyId"`
	Timestamp uint64 `json:"timestamp"`
	Public    Hex    `json:"public"`
	Private   Hex    `json:"private,omitempty"`
	Signature Hex    `json:"signature"`

	// signalMessage.
	Version          int    `json:"version"`
	MACKey           Hex    `json:"macKey"`
	RatchetKey       Hex    `json:"ratchetKey"`
	Counter          uint32 `json:"counter"`
	PreviousCounter  uint32 `json:"previousCounter"`
	Ciphertext       Hex    `json:"ciphertext"`
	SenderIdentity   Hex    `json:"senderIdentity"`
	ReceiverIdentity Hex    `json:"receiverIdentity"`
	PQRatchet        Hex    `json:"pqRatchet"`

	// senderKeyMessage, with Version, Ciphertext and the Private signing key;
	// senderKeyDistributionMessage, with Version and the Public one.
	DistributionID string `json:"distributionId,omitempty"`
	ChainID        uint32 `json:"chainId"`
	Iteration      uint32 `json:"iteration"`
	ChainKey       Hex    `json:"chainKey"`

	// senderCertificate, with Device, Timestamp (when it expires), the Public
	// identity key and the server's Private one. A serverCertificate has KeyID,
	// Public, and the trust root's Private.
	UUID   string  `json:"uuid,omitempty"`
	E164   *string `json:"e164,omitempty"`
	Server Hex     `json:"server,omitempty"`
}

// SendBuild has the official library make a privateKey, identityKeyPair (of
// Private, if given), signalMessage, decryptionErrorMessage, plaintextContent,
// preKeyRecord, signedPreKeyRecord, kyberPreKeyRecord, senderKeyMessage,
// senderKeyDistributionMessage, serverCertificate or senderCertificate.
func (p *Peer) SendBuild(kind Kind, o BuildOptions) Parsing {
	return Parsing{p.Send("build", struct {
		Kind Kind `json:"kind"`
		BuildOptions
	}{kind, o})}
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

// A keyRequest is the fields of the operations on keys.
type keyRequest struct {
	Private   Hex `json:"private,omitempty"`
	Public    Hex `json:"public,omitempty"`
	Other     Hex `json:"other,omitempty"`
	Message   Hex `json:"message"`
	Signature Hex `json:"signature"`
}

// A Bytes is bytes on their way.
type Bytes struct{ reply *Reply }

// Bytes waits for them.
func (b Bytes) Bytes() ([]byte, error) {
	var out struct{ Bytes Hex }
	err := b.reply.Wait(&out)
	return out.Bytes, err
}

// A Verdict is the answer to a verification, on its way.
type Verdict struct{ reply *Reply }

// Valid waits for it. An error is one of the keys, not of the signature.
func (v Verdict) Valid() (bool, error) {
	var out struct{ Valid bool }
	err := v.reply.Wait(&out)
	return out.Valid, err
}

// SendAgree asks for the 32 bytes of X25519.
func (p *Peer) SendAgree(private, public []byte) Bytes {
	return Bytes{p.Send("agree", keyRequest{Private: private, Public: public})}
}

// SendSign asks for an XEdDSA signature.
func (p *Peer) SendSign(private, message []byte) Bytes {
	return Bytes{p.Send("sign", keyRequest{Private: private, Message: message})}
}

// SendVerify asks whether signature is one of message.
func (p *Peer) SendVerify(public, message, signature []byte) Verdict {
	return Verdict{p.Send("verify", keyRequest{Public: public, Message: message, Signature: signature})}
}

// SendSignAlternate asks for the statement that other is an identity of the
// same account.
func (p *Peer) SendSignAlternate(private, other []byte) Bytes {
	return Bytes{p.Send("signAlternate", keyRequest{Private: private, Other: other})}
}

// SendVerifyAlternate asks whether signature is that statement.
func (p *Peer) SendVerifyAlternate(public, other, signature []byte) Verdict {
	return Verdict{p.Send("verifyAlternate", keyRequest{Public: public, Other: other, Signature: signature})}
}

// GenerateKEM has a KEM key pair made, 1569 and 3169 bytes.
func (p *Peer) GenerateKEM() (public, private []byte, err error) {
	var out struct{ Public, Private Hex }
	err = p.Call("generateKEM", nil, &out)
	return out.Public, out.Private, err
}
