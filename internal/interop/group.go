package interop

// SenderKeyDistribution returns the message that tells the others the party's
// own sender key of a distribution id, a UUID, and makes the key if there is none.
func (a *Party) SenderKeyDistribution(id string) ([]byte, error) {
	return Bytes{a.peer.Send("senderKeyDistribution", request{Party: a.handle, DistributionID: id})}.Bytes()
}

// ProcessSenderKey takes in such a message from remote.
func (a *Party) ProcessSenderKey(remote Address, distribution []byte) error {
	return a.peer.Call("processSenderKey", request{Party: a.handle, Remote: &remote, Message: &Message{Bytes: distribution}}, nil)
}

// GroupEncrypt encrypts one message with the party's own sender key.
func (a *Party) GroupEncrypt(id string, plaintext []byte) ([]byte, error) {
	text := Hex(plaintext)
	return Bytes{a.peer.Send("groupEncrypt", request{Party: a.handle, DistributionID: id, Plaintext: &text})}.Bytes()
}

// GroupDecrypt decrypts one message of the sender remote.
func (a *Party) GroupDecrypt(remote Address, message []byte) ([]byte, error) {
	return a.SendGroupDecrypt(remote, message).Plaintext()
}

// SendGroupDecrypt is GroupDecrypt without the wait.
func (a *Party) SendGroupDecrypt(remote Address, message []byte) Decrypted {
	return Decrypted{a.peer.Send("groupDecrypt", request{Party: a.handle, Remote: &remote, Message: &Message{Bytes: message}})}
}

// SenderKey returns the serialised sender-key record of a sender, which may be
// the party itself; nil if there is none.
func (a *Party) SenderKey(sender Address, id string) ([]byte, error) {
	var out struct{ Record Hex }
	err := a.peer.Call("getSenderKey", request{Party: a.handle, Remote: &sender, DistributionID: id}, &out)
	return out.Record, err
}

// SetSenderKey replaces the sender-key record of a sender, which may be the party
// itself; nil deletes it, so that the next message makes another key.
func (a *Party) SetSenderKey(sender Address, id string, record []byte) error {
	in := request{Party: a.handle, Remote: &sender, DistributionID: id}
	if record != nil {
		in.Record = (*Hex)(&record)
	}
	return a.peer.Call("setSenderKey", in, nil)
}
