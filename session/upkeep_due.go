package session

import (
	"math"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// lasting are the kinds of prekeys that many sessions begin with, oneTime those
// of which each begins one.
var (
	lasting = []string{kindSigned, kindLastResort}
	oneTime = []string{kindPreKey, kindKEM}
)

// A census is all that upkeep goes by: the prekeys, the policy, the clock, in
// milliseconds since 1970, and what upkeep did last. Its methods are pure.
type census struct {
	stock
	policy PreKeyPolicy
	now    uint64
	last   wire.Upkeep
	first  uint64 // when the first message or copy is to go; 0: never
	looked bool   // else nobody knows
}

func (c *census) due() Due {
	out := Due{
		TopUp:   c.low(),
		Rotate:  c.rotates(kindSigned) || c.rotates(kindLastResort),
		Sweep:   c.daily() || c.vanishes(),
		PreKeys: c.count(kindPreKey), KEMPreKeys: c.count(kindKEM),
		At: moment(c.next()),
	}
	for _, kind := range preKeyKinds {
		for _, h := range c.stock[kind] {
			out.Delete = out.Delete || c.outlived(h) || c.useless(h)
			if h.damaged {
				out.Damaged++
			}
		}
	}
	out.Publish = out.TopUp || out.Rotate || c.unknown()
	return out
}

// daily reports whether old records were not looked for today.
func (c *census) daily() bool { return c.last.Swept == 0 || c.last.Swept/dayMilli != c.now/dayMilli }

// vanishes reports whether a message or a copy may be to go now.
func (c *census) vanishes() bool { return !c.looked || past(c.first, c.now) }

// low reports whether there are too few one-time prekeys of a kind.
func (c *census) low() bool { return min(c.count(kindPreKey), c.count(kindKEM)) < c.policy.Low }

// rotates reports whether the prekey of a lasting kind is to be replaced: there
// is none, it is old enough, its pair began too many sessions, or the clock was
// so wrong when it was made that it would not get old for long.
func (c *census) rotates(kind string) bool {
	h := c.current(kind)
	return h == nil || c.since(h.Created) >= milli(c.policy.Rotate) || h.Created > after(c.now, c.policy.Rotate) || c.crowded()
}

// crowded reports whether the last count found too many base keys with the
// current pair.
func (c *census) crowded() bool {
	signed, kem := c.current(kindSigned), c.current(kindLastResort)
	return signed != nil && kem != nil && c.last.SignedPreKey == signed.id && c.last.LastResort == kem.id &&
		c.last.BaseKeys > uint64(c.policy.BaseKeys)
}

// outlived reports whether a lasting prekey was replaced long enough ago. At
// the end of its time to the millisecond it is still there.
func (c *census) outlived(h *held) bool {
	return h.lasts() && h.Retired != 0 && c.since(h.Retired) > milli(c.policy.Keep)
}

// useless reports whether a one-time prekey went out in a bundle of which the
// signed prekey is gone, as all are that were made by then.
func (c *census) useless(h *held) bool {
	if h.lasts() || h.Retired == 0 {
		return false
	}
	for _, signed := range c.stock[kindSigned] {
		if signed.Created <= h.Retired {
			return false
		}
	}
	return true
}

// unknown reports whether there are prekeys that no directory has and one
// should.
func (c *census) unknown() bool {
	for _, kind := range lasting {
		if h := c.current(kind); h != nil && h.Published == 0 {
			return true
		}
	}
	return len(c.unpublished(kindPreKey))+len(c.unpublished(kindKEM)) > 0
}

// next returns when something will be due, once what is due now is done.
func (c *census) next() uint64 {
	at := (c.now/dayMilli + 1) * dayMilli
	if c.first > c.now {
		at = min(at, c.first)
	}
	for _, kind := range lasting {
		rotates, current := c.rotates(kind), c.current(kind)
		if rotates {
			at = min(at, after(c.now, c.policy.Rotate))
		}
		for _, h := range c.stock[kind] {
			switch {
			case h.damaged, c.outlived(h):
			case h.Retired != 0:
				at = min(at, after(h.Retired, c.policy.Keep)+1)
			case rotates:
				at = min(at, after(max(c.now, h.Created), c.policy.Keep)+1)
			case h == current:
				at = min(at, after(h.Created, c.policy.Rotate))
			}
		}
	}
	return at
}

// since returns how long ago t was; a time to come is 0.
func (c *census) since(t uint64) uint64 { return c.now - min(t, c.now) }

func milli(d time.Duration) uint64 { return uint64(d.Milliseconds()) }

// older reports whether at is a time more than d before now.
func older(at, now uint64, d time.Duration) bool { return now > at && now-at > milli(d) }

// after returns t + d, or the last time there is a later one than.
func after(t uint64, d time.Duration) uint64 {
	return min(t, math.MaxInt64-milli(d)) + milli(d)
}
