package wire

// A Retry is the body of the record "retry": what two devices asked of each
// other in the last day, for the bounds on that. Times are milliseconds since
// 1970.
type Retry struct {
	Reset         uint64         // 1: when a session was renewed because the peer asked; 0: never
	Requests      []RetryRequest // 2: of this device, the one that was made last at the end
	AskedSince    uint64         // 3: when the hour began in which
	Asked         uint32         // 4: so many requests were made
	AnsweredSince uint64         // 5: when the hour began in which
	Answered      uint32         // 6: so many requests of the peer were answered
	Answers       []RetryAnswer  // 7: the newest ones, the last at the end
}

// A RetryRequest tells how often this device asked for one message.
type RetryRequest struct {
	SentAt uint64 // 1: of the message
	Count  uint32 // 2
	Last   uint64 // 3: when it did so last
}

// A RetryAnswer is what a request of the peer was answered with.
type RetryAnswer struct {
	SentAt  uint64 // 1: of the message
	Hint    []byte // 2, HintSize bytes: hint of the ratchet key that the request named
	Type    uint32 // 3: of the answer
	Message []byte // 4: its bytes
}

// ParseRetry reads a Retry of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseRetry(b []byte) (Retry, error) {
	var t Retry
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint64(&f, &t.Reset)
		case 2:
			q, err := parseRetryRequest(r.message(&f))
			r.nested(err)
			t.Requests = append(t.Requests, q)
		case 3:
			r.uint64(&f, &t.AskedSince)
		case 4:
			r.uint32(&f, &t.Asked)
		case 5:
			r.uint64(&f, &t.AnsweredSince)
		case 6:
			r.uint32(&f, &t.Answered)
		case 7:
			a, err := parseRetryAnswer(r.message(&f))
			r.nested(err)
			t.Answers = append(t.Answers, a)
		}
	}
	return orZero(t, r.err)
}

func parseRetryRequest(b []byte) (RetryRequest, error) {
	var q RetryRequest
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint64(&f, &q.SentAt)
		case 2:
			r.uint32(&f, &q.Count)
		case 3:
			r.uint64(&f, &q.Last)
		}
	}
	return orZero(q, r.err)
}

func parseRetryAnswer(b []byte) (RetryAnswer, error) {
	var a RetryAnswer
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint64(&f, &a.SentAt)
		case 2:
			r.bytes(&f, &a.Hint)
		case 3:
			r.uint32(&f, &a.Type)
		case 4:
			r.bytes(&f, &a.Message)
		}
	}
	if len(a.Hint) != HintSize {
		r.fail("hint of an answer")
	}
	return orZero(a, r.err)
}

// AppendRetry appends the encoding of t.
func AppendRetry(dst []byte, t *Retry) []byte {
	dst = appendUint(dst, 1, t.Reset)
	for i := range t.Requests {
		q := &t.Requests[i]
		dst = mustLen(dst, 2, sizeUint(1, q.SentAt)+sizeUint(2, uint64(q.Count))+sizeUint(3, q.Last))
		dst = appendUint(dst, 1, q.SentAt)
		dst = appendUint(dst, 2, uint64(q.Count))
		dst = appendUint(dst, 3, q.Last)
	}
	dst = appendUint(dst, 3, t.AskedSince)
	dst = appendUint(dst, 4, uint64(t.Asked))
	dst = appendUint(dst, 5, t.AnsweredSince)
	dst = appendUint(dst, 6, uint64(t.Answered))
	for i := range t.Answers {
		a := &t.Answers[i]
		dst = mustLen(dst, 7, sizeUint(1, a.SentAt)+sizeBytes(2, len(a.Hint))+sizeUint(3, uint64(a.Type))+sizeBytes(4, len(a.Message)))
		dst = appendUint(dst, 1, a.SentAt)
		dst = appendBytes(dst, 2, a.Hint)
		dst = appendUint(dst, 3, uint64(a.Type))
		dst = appendBytes(dst, 4, a.Message)
	}
	return dst
}
