package main

// What the relay does with a message.
type fate int

const (
	prompt fate = iota
	late        // delivered after the next two messages
	twice       // delivered two times
	lost        // never delivered
)

type line struct {
	from, text string
	fate       fate
}

// script is the conversation. The two first messages come before any answer,
// so both are first messages, whichever arrives first.
var script = []line{
	{"Ani", "Selamat pagi, Budi! Are you there?", late},
	{"Ani", "I am at the market, shall I bring mangoes?", prompt},
	{"Budi", "Pagi, Ani. Yes please, two kilos.", prompt},
	{"Ani", "They have the green ones and the yellow ones.", prompt},
	{"Budi", "Yellow.", twice},
	{"Ani", "And coffee?", lost},
	{"Ani", "Still there?", prompt},
	{"Budi", "Yes, sorry. Did you ask something?", late},
	{"Budi", "The signal is bad here.", prompt},
	{"Ani", "Coffee, yes or no?", twice},
	{"Budi", "Yes! From the stall next to the bridge.", prompt},
	{"Budi", "No sugar.", late},
	{"Budi", "And rice.", prompt},
	{"Ani", "Half an hour.", prompt},
	{"Ani", "🥭☕🍚", prompt},
	{"Budi", "Terima kasih! 🙏", prompt},
}
