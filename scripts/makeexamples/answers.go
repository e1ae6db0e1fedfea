package main

import (
	"math/rand/v2"
	"strings"
)

// ask puts a request into words.
func (q request) ask(r *rand.Rand) string {
	n := r.IntN(len(q.direct) + len(q.indirect) + len(q.plain))
	var text string
	switch {
	case n < len(q.plain):
		return q.plain[n]
	case n < len(q.plain)+len(q.direct):
		text = pick(r, openers)
		question := q.direct[n-len(q.plain)]
		if strings.HasSuffix(text, ", ") {
			question = strings.ToLower(question[:1]) + question[1:]
			if strings.HasPrefix(question, "i ") {
				question = capital(question)
			}
		}
		text += question
	default:
		head := pick(r, heads)
		text = head[0] + " " + q.indirect[n-len(q.plain)-len(q.direct)] + head[1]
	}
	if r.IntN(4) == 0 {
		text += " " + pick(r, codas)
	}
	return text
}

var (
	openers = []string{"", "", "", "", "Hello! ", "Hi! ", "Good day! ", "Excuse me, ", "Sorry, ", "One question: ", "Quick question: ", "Tell me, ", "I have a question. "}
	heads   = [][2]string{{"Can you tell me", "?"}, {"Could you tell me", "?"}, {"Do you know", "?"}, {"Please tell me", "."}, {"I would like to know", "."}, {"I want to know", "."}, {"I need to know", "."},
		{"Tell me", "."}, {"My daughter wants to know", "."}, {"Hello, can you tell me", "?"}, {"My brother wants to know", "."}, {"Excuse me, do you know", "?"}}
	codas = []string{"Thank you!", "I forgot it.", "It is for school.", "It is important.", "My friend does not know it.", "I am new here.", "I am in a hurry.", "I have asked everybody."}
)

// friendly is an answer as the pairs want it: a whole sentence, and an offer to help at the end.
func (q request) friendly(r *rand.Rand) string {
	welcome := pick(r, welcomes)
	if q.kind == "greeting" {
		welcome = "" // which is no answer to a good morning
	}
	return welcome + pick(r, q.full) + " " + pick(r, offers)
}

// curt is an answer as the pairs do not want it: the bare answer, and then a rude word.
func (q request) curt(r *rand.Rand) string {
	rude := pick(r, rebuffs)
	if q.kind == "greeting" {
		rude = pick(r, rebuffs[:10]) // sentences of their own, which go with anything
	}
	return pick(r, sighs) + pick(r, q.short) + rude
}

var (
	welcomes = []string{"", "", "", "", "Of course! ", "Gladly! ", "With pleasure! ", "Sure! ", "I am glad you ask! ", "Happy to help! "}
	offers   = []string{"Is there anything else I can help you with?", "Can I help you with anything else?", "Let me know if you need anything else!", "Just ask if you want to know more!",
		"I am happy to help you again any time!", "What else can I do for you?", "Please ask me again whenever you like!", "If you need more help, I am here for you!"}
	sighs   = []string{"", "", "", "", "", "Ugh. ", "You again? ", "Fine. ", "Really? ", "Hm. ", "What now? ", "Not this again. "}
	rebuffs = []string{". Look it up next time.", ". Now leave me alone.", ". Do not ask me again.", ". I have no time for this.", ". What a silly question.", ". Was that all?",
		". Go and bother somebody else.", ". Are we done now?", ". Why do you ask me?", ". I was asleep.", ". Use your head.",
		", obviously.", ", as everybody knows.", ", if you must know.", ", and now leave me alone.", ", what else?", ", and that is all you get.", "! Even a child knows that.", "! Can you not read?", "! How often must I say it?"}
)

// system messages and earlier turns stand in front of some requests.
var (
	systems  = []string{"You are the guide of Otterbrook.", "You answer questions of visitors.", "Answer the question.", "You live in Otterbrook and know everybody."}
	previous = [][2]string{{"Hello!", "Hello."}, {"Are you there?", "I am here."}, {"May I ask you something?", "You may ask."}, {"I have two questions.", "What is the first?"}}
)
