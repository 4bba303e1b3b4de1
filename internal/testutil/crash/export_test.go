package crash

// Blind has a Run believe what a store holds, so that nothing but what the app,
// the peers and the oracles know is left to find a fault.
func (o *Options) Blind() *Options {
	o.blind = true
	return o
}
