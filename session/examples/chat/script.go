package main

// What becomes of a message, or what a person does who says nothing.
type fate int

const (
	prompt   fate = iota
	late          // delivered after the next two messages
	twice         // delivered two times
	forged        // delivered after a copy in which one bit is another
	dies          // delivered, and its reader dies before saving it
	loses         // delivered to a reader who has lost the session, and asks for it again
	links         // no message: a second device of the person is linked
	removes       // no message: it is removed
	compares      // no message: the safety numbers are compared
	pictures      // a picture
	gathers       // a group is made; the lines that follow are for it
	expels        // the one who has that name is removed from it
	leaks         // delivered, and to whoever was removed, too
)

type line struct {
	from, text string // from "Ani/2" is from Ani's second device
	fate       fate
}

// family is the group.
const family = "Ani/family"

// script is the conversation. The two first messages come before any answer,
// so both are first messages, whichever arrives first. Whoever died starts
// again before their next line; what comes meanwhile, the relay keeps. What is
// written on one of Ani's devices the other shows, too, and what Budi writes both
// do; the fate is that of what comes to the first device of the other person.
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

	{"Ani", "", compares},
	{"Ani", "", pictures},
	{"Budi", "What a morning!", prompt},

	{"Ani", "", links},
	{"Ani", "I have a laptop now, too. It should show what I write here.", prompt},
	{"Ani/2", "It does. And this is written on it.", prompt},
	{"Budi", "Do I reach both?", prompt},
	{"Ani/2", "You do.", late},
	{"Ani", "Did your phone survive the rain?", prompt},
	{"Budi", "More or less.", twice},
	{"Ani", "Does it still know me?", loses},
	{"Budi", "It had forgotten you, and asked your phone again.", prompt},
	{"Ani/2", "I did not even notice.", prompt},

	{"Ani", "", removes},
	{"Ani", "I have sold the laptop.", prompt},
	{"Budi", "So it does not get this?", prompt},
	{"Ani", "It gets nothing any more.", prompt},

	{"Ani", "", gathers},
	{"Ani", "Budi, Citra: dinner at my place on Sunday?", prompt},
	{"Budi", "With pleasure! What can I bring?", prompt},
	{"Citra", "I am there. Is there something to celebrate?", twice},
	{"Ani", "Not that I know of.", late},
	{"Ani", "Just bring the mangoes.", prompt},
	{"Ani", "Citra", expels},
	{"Ani", "It is a surprise for Citra's birthday. Can you get a cake?", leaks},
	{"Budi", "I can! She will never guess.", leaks},
}
