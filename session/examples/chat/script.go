package main

// What the relay does with a message.
type fate int

const (
	prompt fate = iota
	late        // delivered after the next two messages
	twice       // delivered two times
	forged      // delivered after a copy in which one bit is another
	dies        // delivered, and its reader dies before saving it
)

type line struct {
	from, text string
	fate       fate
}

// script is the conversation. The two first messages come before any answer,
// so both are first messages, whichever arrives first. Whoever died starts
// again before their next line; what comes meanwhile, the relay keeps.
var script = []line{
	{"Ani", "Selamat pagi, Budi! Are you there?", late},
	{"Ani", "I am at the market, shall I bring mangoes?", prompt},
	{"Budi", "Pagi, Ani. Yes please, two kilos.", prompt},
	{"Ani", "They have the green ones and the yellow ones.", prompt},
	{"Budi", "Yellow.", twice},
	{"Ani", "And coffee?", late},
	{"Ani", "Still there?", prompt},
	{"Budi", "Yes, sorry. Did you ask something?", late},
	{"Budi", "The signal is bad here.", prompt},
	{"Ani", "Coffee, yes or no?", twice},
	{"Budi", "Yes! From the stall next to the bridge.", forged},
	{"Budi", "No sugar.", late},
	{"Budi", "And rice.", prompt},
	{"Ani", "Half an hour.", prompt},
	{"Budi", "Can you fetch my parcel at the post office, too?", dies},
	{"Budi", "It is under my name.", prompt},
	{"Budi", "Ani?", prompt},
	{"Ani", "My phone died. The parcel, yes, I have that message.", prompt},
	{"Budi", "All of them?", late},
	{"Budi", "The parcel, my name?", prompt},
	{"Ani", "All of them, and once.", prompt},
	{"Ani", "🥭☕🍚📦", twice},
	{"Budi", "Terima kasih! 🙏", prompt},
	{"Ani", "Sama-sama.", prompt},
}
