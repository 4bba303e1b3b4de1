package wire

// An Upkeep is the body of the record "upkeep": what a device's upkeep found
// and did last. No other operation writes it.
type Upkeep struct {
	Swept        uint64 // 1: when old records were swept up last, milliseconds since 1970; 0: never
	SignedPreKey uint32 // 2: id of the signed prekey then
	LastResort   uint32 // 3: id of the last-resort KEM prekey then
	BaseKeys     uint64 // 4: how many base keys were remembered with that pair
}

// ParseUpkeep reads an Upkeep of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseUpkeep(b []byte) (Upkeep, error) {
	var u Upkeep
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint64(&f, &u.Swept)
		case 2:
			r.uint32(&f, &u.SignedPreKey)
		case 3:
			r.uint32(&f, &u.LastResort)
		case 4:
			r.uint64(&f, &u.BaseKeys)
		}
	}
	return orZero(u, r.err)
}

// AppendUpkeep appends the encoding of u.
func AppendUpkeep(dst []byte, u *Upkeep) []byte {
	dst = appendUint(dst, 1, u.Swept)
	dst = appendUint(dst, 2, uint64(u.SignedPreKey))
	dst = appendUint(dst, 3, uint64(u.LastResort))
	return appendUint(dst, 4, u.BaseKeys)
}
