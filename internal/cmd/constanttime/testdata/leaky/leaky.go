// Package leaky has what constanttime must find.
package leaky

// Divide divides by a secret.
func Divide(x, y uint32) uint32 { return x / y }

// DivideLong divides in the runtime where registers have 32 bits.
func DivideLong(x, y uint64) uint64 { return x % y }

// Select branches on a secret.
func Select(secret uint32, out *[2]uint32) {
	if secret > 1664 {
		out[0]++
		return
	}
	out[1]++
}

// Sum branches on a secret in a loop, inlined from pick.
func Sum(in *[256]int32) (sum int32) {
	for _, x := range in {
		sum += pick(x)
	}
	return sum
}

func pick(x int32) int32 {
	if x&1 != 0 {
		return x * x
	}
	return -3 * x >> 1
}

// Clean does nothing of the kind.
func Clean(in *[256]int32) (sum int32) {
	for _, x := range in {
		sum += x * x >> 3
	}
	return sum
}
