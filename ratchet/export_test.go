package ratchet

// EncryptWith is Encrypt with the post-quantum message and key given.
func (s *Session) EncryptWith(plaintext, addresses, pqMessage []byte, salt *[32]byte) ([]byte, error) {
	if err := s.checkSend(len(plaintext)); err != nil {
		return nil, err
	}
	pq, err := s.postQuantum()
	if err != nil {
		return nil, err
	}
	return s.encrypt(plaintext, addresses, pq, pqMessage, salt), nil
}

// MessageKeys returns seed, next chain key and the 80 bytes of message keys.
func MessageKeys(chainKey, salt *[32]byte) (seed, next [32]byte, keys []byte) {
	seed, next = chainSeed(chainKey), chainNext(chainKey)
	var k messageKeys
	k.expand(&seed, salt)
	return seed, next, append(append(append([]byte(nil), k.cipher[:]...), k.mac[:]...), k.iv[:]...)
}

// RootStep is rootStep.
var RootStep = rootStep
