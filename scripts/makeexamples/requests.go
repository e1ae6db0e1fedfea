package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// request is something a villager may ask, with what a right answer says. How it is said is for answers.go.
type request struct {
	kind     string
	direct   []string // ways to ask, each a whole question
	indirect []string // clauses that go behind "Can you tell me"
	plain    []string // ways to ask that nothing is put around
	full     []string // the answer in a sentence
	short    []string // the answer and nothing else, without a full stop
	facts    []string // words of which a right answer has every one; none where there is no telling
}

// kinds make requests, each about as often as it stands here.
var kinds = []func(*rand.Rand) request{
	job, pet, petName, petOwner, whoIs, houseColour, street, food, hobby,
	opens, opens, closes, closedDay, shopkeeper, price, price, several, several, whereToBuy,
	whereIs, madeOf, whatToDo,
	sound, young, eats, lives, legs,
	monthWeather, dayAfter, monthAfter, numberAfter, opposite, colour, bigger, bigger,
	sum, sum, sum, difference, difference, difference, numberAfter, word, word, order, order,
	trouble, trouble, recipe, recipe, story, story, story,
	greeting, thanks, farewell, whoAreYou,
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (p person) his() string {
	if p.he == "he" {
		return "his"
	}
	return "her"
}

// He is the pronoun at the beginning of a sentence.
func (p person) He() string { return capital(p.he) }

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// a puts the article in front.
func a(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// bare takes the article away.
func bare(noun string) string {
	_, rest, _ := strings.Cut(noun, " ")
	return rest
}

func coins(n int) string {
	if n == 1 {
		return "one coin"
	}
	return numbers[n] + " coins"
}

func job(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"What does " + p.name + " do for a living?", "What is the work of " + p.name + "?", "What is " + p.name + "'s job?"},
		indirect: []string{"what " + p.name + " does for a living", "what " + p.name + "'s job is"},
		full:     []string{p.name + " is the " + p.job + " of the village.", p.name + " works as " + a(p.job) + "."},
		short:    []string{capital(p.job), "The " + p.job},
		facts:    []string{p.job},
	}
}

func pet(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"What pet does " + p.name + " have?", "Which animal lives with " + p.name + "?", "What kind of pet has " + p.name + " got?"},
		indirect: []string{"what pet " + p.name + " has", "which animal lives with " + p.name},
		full:     []string{p.name + " has " + a(p.pet) + " called " + p.petIs + ".", "It is " + a(p.pet) + ", and its name is " + p.petIs + "."},
		short:    []string{capital(a(p.pet))},
		facts:    []string{p.pet},
	}
}

func petName(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"What is the name of " + p.name + "'s " + p.pet + "?", "What is " + p.name + "'s " + p.pet + " called?"},
		indirect: []string{"what " + p.name + " calls " + p.his() + " " + p.pet, "what " + p.name + "'s " + p.pet + " is called"},
		full:     []string{"The " + p.pet + " of " + p.name + " is called " + p.petIs + ".", p.name + " calls " + p.his() + " " + p.pet + " " + p.petIs + "."},
		short:    []string{p.petIs},
		facts:    []string{p.petIs},
	}
}

func petOwner(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"Whose " + p.pet + " is " + p.petIs + "?", "Who has " + a(p.pet) + " called " + p.petIs + "?"},
		indirect: []string{"who has " + a(p.pet) + " called " + p.petIs, "whose " + p.pet + " " + p.petIs + " is"},
		full:     []string{p.petIs + " is the " + p.pet + " of " + p.name + ".", "The " + p.pet + " " + p.petIs + " lives with " + p.name + "."},
		short:    []string{p.name},
		facts:    []string{p.name},
	}
}

func whoIs(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"Who is the " + p.job + " of Otterbrook?", "Who is the " + p.job + " here?", "What is the name of the " + p.job + "?"},
		indirect: []string{"who the " + p.job + " is", "the name of the " + p.job},
		full:     []string{"The " + p.job + " of Otterbrook is called " + p.name + ".", "That is " + p.name + ", who lives in " + p.street + "."},
		short:    []string{p.name},
		facts:    []string{p.name},
	}
}

func houseColour(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"What colour is " + p.name + "'s house?", "What is the colour of " + p.name + "'s house?"},
		indirect: []string{"what colour " + p.name + "'s house is", "the colour of " + p.name + "'s house"},
		full:     []string{p.name + " lives in the " + p.house + " house in " + p.street + ".", "The house of " + p.name + " is " + p.house + "."},
		short:    []string{capital(p.house)},
		facts:    []string{p.house},
	}
}

func street(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"Where does " + p.name + " live?", "In which street does " + p.name + " live?", "Where can I find " + p.name + "?"},
		indirect: []string{"where " + p.name + " lives", "in which street " + p.name + " lives"},
		full:     []string{p.name + " lives in " + p.street + ", in the " + p.house + " house.", "You find " + p.name + " in " + p.street + "."},
		short:    []string{"In " + p.street},
		facts:    []string{p.street},
	}
}

func food(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"What does " + p.name + " like to eat?", "What is " + p.name + "'s favourite food?", "What can I cook for " + p.name + "?"},
		indirect: []string{"what " + p.name + " likes to eat", "what I can cook for " + p.name},
		full:     []string{p.name + " likes " + p.food + " best of all.", "The favourite food of " + p.name + " is " + p.food + "."},
		short:    []string{capital(p.food)},
		facts:    []string{p.food},
	}
}

func hobby(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:     "person",
		direct:   []string{"What does " + p.name + " do in the evening?", "What is " + p.name + "'s hobby?", "What does " + p.name + " like to do?"},
		indirect: []string{"what " + p.name + " likes to do", "what " + p.name + " does in the evening"},
		full:     []string{p.name + " loves " + p.hobby + ".", "In the evening " + p.name + " likes " + p.hobby + "."},
		short:    []string{capital(p.hobby)},
		facts:    []string{p.hobby},
	}
}

func opens(r *rand.Rand) request {
	s := pick(r, shops)
	return request{
		kind:     "shop",
		direct:   []string{"When does the " + s.name + " open?", "At what time does the " + s.name + " open?", "How early can I go to the " + s.name + "?"},
		indirect: []string{"when the " + s.name + " opens", "at what time the " + s.name + " opens"},
		full:     []string{"The " + s.name + " opens at " + s.opens + ".", "You can go to the " + s.name + " from " + s.opens + " on."},
		short:    []string{"At " + s.opens},
		facts:    []string{s.opens},
	}
}

func closes(r *rand.Rand) request {
	s := pick(r, shops)
	return request{
		kind:     "shop",
		direct:   []string{"When does the " + s.name + " close?", "At what time does the " + s.name + " close?", "How long is the " + s.name + " open?"},
		indirect: []string{"when the " + s.name + " closes", "how long the " + s.name + " is open"},
		full:     []string{"The " + s.name + " closes at " + s.closes + ".", "The " + s.name + " is open until " + s.closes + "."},
		short:    []string{"Until " + s.closes},
		facts:    []string{s.closes},
	}
}

func closedDay(r *rand.Rand) request {
	s := pick(r, shops)
	return request{
		kind:     "shop",
		direct:   []string{"On which day is the " + s.name + " closed?", "When is the " + s.name + " closed all day?"},
		indirect: []string{"on which day the " + s.name + " is closed"},
		full:     []string{"The " + s.name + " is closed on " + s.rest + ".", "On " + s.rest + " the " + s.name + " is closed."},
		short:    []string{"On " + s.rest},
		facts:    []string{s.rest},
	}
}

func shopkeeper(r *rand.Rand) request {
	s := pick(r, shops)
	return request{
		kind:     "shop",
		direct:   []string{"Who runs the " + s.name + "?", "Whose shop is the " + s.name + "?", "Who works at the " + s.name + "?"},
		indirect: []string{"who runs the " + s.name, "who works at the " + s.name},
		full:     []string{s.by + " runs the " + s.name + ".", "The " + s.name + " belongs to " + s.by + "."},
		short:    []string{s.by},
		facts:    []string{s.by},
	}
}

func price(r *rand.Rand) request {
	g := pick(r, goods)
	return request{
		kind:     "price",
		direct:   []string{"How much is " + g.one + "?", "What does " + g.one + " cost?", "What do I pay for " + g.one + "?"},
		indirect: []string{"how much " + g.one + " is", "what " + g.one + " costs", "the price of " + g.one},
		full:     []string{capital(g.one) + " costs " + coins(g.price) + ".", "For " + g.one + " you pay " + coins(g.price) + "."},
		short:    []string{capital(coins(g.price))},
		facts:    []string{coins(g.price)},
	}
}

func several(r *rand.Rand) request {
	g := pick(r, goods)
	n := 2 + r.IntN(3)
	all := coins(n * g.price)
	many := numbers[n] + " " + g.many
	return request{
		kind:     "price",
		direct:   []string{"How much are " + many + "?", "What do " + many + " cost?", "I want " + many + ". What do I pay?"},
		indirect: []string{"how much " + many + " are", "what " + many + " cost"},
		full:     []string{capital(many) + " cost " + all + ".", "For " + many + " you pay " + all + "."},
		short:    []string{capital(all)},
		facts:    []string{all},
	}
}

func whereToBuy(r *rand.Rand) request {
	g := pick(r, goods)
	return request{
		kind:     "shop",
		direct:   []string{"Where can I buy " + g.one + "?", "Where do they sell " + g.many + "?", "In which shop do I get " + g.one + "?"},
		indirect: []string{"where I can buy " + g.one, "where they sell " + g.many},
		full:     []string{"You can buy " + g.one + " at the " + g.shop + ".", "They sell " + g.many + " at the " + g.shop + "."},
		short:    []string{"At the " + g.shop},
		facts:    []string{g.shop},
	}
}

func whereIs(r *rand.Rand) request {
	p := pick(r, places)
	return request{
		kind:     "place",
		direct:   []string{"Where is " + p.name + "?", "Where do I find " + p.name + "?", "How do I get to " + p.name + "?"},
		indirect: []string{"where " + p.name + " is", "where I find " + p.name, "how I get to " + p.name},
		full:     []string{capital(p.name) + " is " + p.where + ".", "You find " + p.name + " " + p.where + "."},
		short:    []string{capital(p.where)},
		facts:    []string{p.where},
	}
}

func madeOf(r *rand.Rand) request {
	p := pick(r, places)
	for p.made == "" {
		p = pick(r, places)
	}
	return request{
		kind:     "place",
		direct:   []string{"What is " + p.name + " made of?", "What did they build " + p.name + " of?"},
		indirect: []string{"what " + p.name + " is made of", "what they built " + p.name + " of"},
		full:     []string{capital(p.name) + " is made of " + p.made + ".", "They built " + p.name + " of " + p.made + "."},
		short:    []string{"Of " + p.made},
		facts:    []string{p.made},
	}
}

func whatToDo(r *rand.Rand) request {
	p := pick(r, places)
	return request{
		kind:     "place",
		direct:   []string{"What can I do at " + p.name + "?", "Why should I go to " + p.name + "?", "What is there to do at " + p.name + "?"},
		indirect: []string{"what I can do at " + p.name, "why people go to " + p.name},
		full:     []string{"At " + p.name + " you can " + p.todo + ".", "You can go there to " + p.todo + "."},
		short:    []string{capital(p.todo)},
		facts:    []string{p.todo},
	}
}

func sound(r *rand.Rand) request {
	n := pick(r, animals)
	return request{
		kind:     "animal",
		direct:   []string{"Which sound does " + n.name + " make?", "How does " + n.name + " sound?", "What do I hear from " + n.name + "?"},
		indirect: []string{"which sound " + n.name + " makes", "how " + n.name + " sounds"},
		full:     []string{capital(n.name) + " " + n.does + ".", "When you hear " + n.name + ", it " + n.does + "."},
		short:    []string{"It " + n.does},
		facts:    []string{n.does},
	}
}

func young(r *rand.Rand) request {
	n := pick(r, animals)
	return request{
		kind:     "animal",
		direct:   []string{"What is a young " + bare(n.name) + " called?", "What do you call the young of " + n.name + "?"},
		indirect: []string{"what a young " + bare(n.name) + " is called", "the word for a young " + bare(n.name)},
		full:     []string{"A young " + bare(n.name) + " is called " + n.young + ".", "The young of " + n.name + " is " + n.young + "."},
		short:    []string{capital(n.young)},
		facts:    []string{bare(n.young)},
	}
}

func eats(r *rand.Rand) request {
	n := pick(r, animals)
	return request{
		kind:     "animal",
		direct:   []string{"What does " + n.name + " eat?", "What do I give " + n.name + " to eat?"},
		indirect: []string{"what " + n.name + " eats", "what I give " + n.name + " to eat"},
		full:     []string{capital(n.name) + " eats " + n.eats + ".", "You can give it " + n.eats + "."},
		short:    []string{capital(n.eats)},
		facts:    []string{n.eats},
	}
}

func lives(r *rand.Rand) request {
	n := pick(r, animals)
	return request{
		kind:     "animal",
		direct:   []string{"Where does " + n.name + " live?", "Where does " + n.name + " sleep?", "Where is the home of " + n.name + "?"},
		indirect: []string{"where " + n.name + " lives", "where " + n.name + " sleeps"},
		full:     []string{capital(n.name) + " lives " + n.lives + ".", capital(n.name) + " has its home " + n.lives + "."},
		short:    []string{capital(n.lives)},
		facts:    []string{n.lives},
	}
}

func legs(r *rand.Rand) request {
	n := pick(r, animals)
	count := numbers[n.legs]
	if n.legs == 0 {
		count = "no"
	}
	return request{
		kind:     "animal",
		direct:   []string{"How many legs has " + n.name + " got?", "On how many legs does " + n.name + " walk?"},
		indirect: []string{"how many legs " + n.name + " has"},
		full:     []string{capital(n.name) + " has " + count + " legs.", "It has " + count + " legs."},
		short:    []string{capital(count) + " legs"},
		facts:    []string{count + " legs"},
	}
}

func monthWeather(r *rand.Rand) request {
	i := r.IntN(12)
	return request{
		kind:     "weather",
		direct:   []string{"How is the weather in " + months[i] + "?", "What is " + months[i] + " like in Otterbrook?", "What weather do you have in " + months[i] + "?"},
		indirect: []string{"how the weather is in " + months[i], "what " + months[i] + " is like here"},
		full:     []string{"In " + months[i] + " it is " + weather[i] + ".", capital(months[i]) + " is " + weather[i] + " in Otterbrook."},
		short:    []string{capital(weather[i])},
		facts:    []string{weather[i]},
	}
}

func next(r *rand.Rand, what string, list []string) request {
	i := r.IntN(len(list))
	after, before := list[(i+1)%len(list)], list[(i+len(list)-1)%len(list)]
	side, answer := "after", after
	if r.IntN(2) == 0 {
		side, answer = "before", before
	}
	return request{
		kind:     "calendar",
		direct:   []string{"Which " + what + " comes " + side + " " + list[i] + "?", "What is the " + what + " " + side + " " + list[i] + "?"},
		indirect: []string{"which " + what + " comes " + side + " " + list[i]},
		full:     []string{"The " + what + " " + side + " " + list[i] + " is " + answer + ".", answer + " comes " + side + " " + list[i] + "."},
		short:    []string{answer},
		facts:    []string{answer},
	}
}

func dayAfter(r *rand.Rand) request   { return next(r, "day", days) }
func monthAfter(r *rand.Rand) request { return next(r, "month", months) }

func numberAfter(r *rand.Rand) request {
	n := 1 + r.IntN(29)
	side, answer := "after", fmt.Sprint(n+1)
	if r.IntN(2) == 0 {
		side, answer = "before", fmt.Sprint(n-1)
	}
	return request{
		kind:     "number",
		direct:   []string{fmt.Sprintf("Which number comes %s %d?", side, n), fmt.Sprintf("What comes right %s %d?", side, n)},
		indirect: []string{fmt.Sprintf("which number comes %s %d", side, n)},
		full:     []string{fmt.Sprintf("The number %s %d is %s.", side, n, answer)},
		short:    []string{answer},
		facts:    []string{answer},
	}
}

func opposite(r *rand.Rand) request {
	p := pick(r, opposites)
	i := r.IntN(2)
	x, y := p[i], p[1-i]
	return request{
		kind:     "word",
		direct:   []string{"What is the opposite of " + x + "?", "Which word means the opposite of " + x + "?"},
		indirect: []string{"what the opposite of " + x + " is", "the opposite of " + x},
		full:     []string{"The opposite of " + x + " is " + y + ".", "If it is not " + x + ", it is " + y + "."},
		short:    []string{capital(y)},
		facts:    []string{y},
	}
}

func colour(r *rand.Rand) request {
	p := pick(r, colours)
	return request{
		kind:     "word",
		direct:   []string{"What colour is " + p[0] + "?", "What is the colour of " + p[0] + "?"},
		indirect: []string{"what colour " + p[0] + " is", "the colour of " + p[0]},
		full:     []string{"The colour of " + p[0] + " is " + p[1] + ".", capital(p[0]) + " is " + p[1] + "."},
		short:    []string{capital(p[1])},
		facts:    []string{p[1]},
	}
}

func bigger(r *rand.Rand) request {
	i := r.IntN(len(sizes))
	j := r.IntN(len(sizes) - 1)
	if j >= i {
		j++
	}
	x, y := sizes[i], sizes[j]
	big, small := sizes[max(i, j)], sizes[min(i, j)]
	word, answer := "bigger", big
	if r.IntN(2) == 0 {
		word, answer = "smaller", small
	}
	return request{
		kind:     "size",
		direct:   []string{"Which is " + word + ", " + x + " or " + y + "?", "What is " + word + ": " + x + " or " + y + "?"},
		indirect: []string{"which is " + word + ", " + x + " or " + y},
		full:     []string{capital(answer) + " is " + word + ".", "Of the two, " + answer + " is " + word + "."},
		short:    []string{capital(answer)},
		facts:    []string{answer},
	}
}

func sum(r *rand.Rand) request {
	x, y := r.IntN(11), r.IntN(11)
	return arithmetic(x, "plus", y, x+y)
}

func difference(r *rand.Rand) request {
	x := 1 + r.IntN(20)
	y := r.IntN(min(x, 10) + 1)
	return arithmetic(x, "minus", y, x-y)
}

func arithmetic(x int, sign string, y, answer int) request {
	what := fmt.Sprintf("%d %s %d", x, sign, y)
	return request{
		kind:     "number",
		direct:   []string{"How much is " + what + "?", "What is " + what + "?", "What does " + what + " make?"},
		indirect: []string{"how much " + what + " is", "what " + what + " makes"},
		full:     []string{fmt.Sprintf("That makes %d.", answer), fmt.Sprintf("The answer is %d.", answer)},
		short:    []string{fmt.Sprint(answer)},
		facts:    []string{fmt.Sprint(answer)},
	}
}

func word(r *rand.Rand) request {
	p := pick(r, people)
	item := pick(r, items)
	count := func(n int) string {
		if n == 1 {
			return "1 " + item[0]
		}
		return fmt.Sprintf("%d %s", n, item[1])
	}
	x, y := 2+r.IntN(9), 1+r.IntN(8)
	if r.IntN(2) == 0 {
		answer := count(x + y)
		return request{
			kind: "number",
			plain: []string{
				p.name + " has " + count(x) + " and gets " + fmt.Sprint(y) + " more. How many " + item[1] + " has " + p.name + " now?",
				"I have " + count(x) + ", and " + p.name + " gives me " + fmt.Sprint(y) + " more. How many " + item[1] + " do I have now?"},
			full:  []string{"That makes " + answer + ".", "Now it is " + answer + "."},
			short: []string{fmt.Sprint(x + y)},
			facts: []string{fmt.Sprint(x + y)},
		}
	}
	x, y = max(x, y), min(x, y)
	answer := count(x - y)
	if x == y {
		answer = "0 " + item[1]
	}
	return request{
		kind: "number",
		plain: []string{
			p.name + " had " + count(x) + " and gave " + fmt.Sprint(y) + " away. How many " + item[1] + " are left?",
			"I had " + count(x) + " and lost " + fmt.Sprint(y) + " of them. How many " + item[1] + " do I still have?"},
		full:  []string{"Then " + answer + " are left.", "There are still " + answer + "."},
		short: []string{fmt.Sprint(x - y)},
		facts: []string{fmt.Sprint(x - y)},
	}
}

func order(r *rand.Rand) request {
	n := r.Perm(20)[:3]
	given := fmt.Sprintf("%d, %d and %d", n[0]+1, n[1]+1, n[2]+1)
	lo, hi := min(n[0], n[1], n[2]), max(n[0], n[1], n[2])
	mid := n[0] + n[1] + n[2] - lo - hi
	switch r.IntN(3) {
	case 0:
		return request{
			kind:     "number",
			direct:   []string{"Which is the biggest of " + given + "?", "What is the biggest number: " + given + "?"},
			indirect: []string{"which is the biggest of " + given},
			full:     []string{fmt.Sprintf("The biggest number is %d.", hi+1)},
			short:    []string{fmt.Sprint(hi + 1)},
			facts:    []string{fmt.Sprint(hi + 1)},
		}
	case 1:
		return request{
			kind:     "number",
			direct:   []string{"Which is the smallest of " + given + "?", "What is the smallest number: " + given + "?"},
			indirect: []string{"which is the smallest of " + given},
			full:     []string{fmt.Sprintf("The smallest number is %d.", lo+1)},
			short:    []string{fmt.Sprint(lo + 1)},
			facts:    []string{fmt.Sprint(lo + 1)},
		}
	}
	sorted := fmt.Sprintf("%d, %d and %d", lo+1, mid+1, hi+1)
	return request{
		kind:  "number",
		plain: []string{"Put these numbers in order: " + given + ".", "Please sort " + given + ".", "Sort these for me: " + given + "."},
		full:  []string{"In order they are " + sorted + ".", "The right order is " + sorted + "."},
		short: []string{sorted},
		facts: []string{sorted},
	}
}

func trouble(r *rand.Rand) request {
	t := pick(r, troubles)
	return request{
		kind:  "advice",
		plain: []string{capital(t[0]) + ". What should I do?", "What can I do? " + capital(t[0]) + ".", capital(t[0]) + ". Do you have advice for me?", "Help me, " + t[0] + "!", capital(t[0]) + ". What now?"},
		full:  []string{"You should " + t[1] + ".", "I think it is best to " + t[1] + "."},
		short: []string{capital(t[1])},
		facts: []string{t[1]},
	}
}

func recipe(r *rand.Rand) request {
	p := pick(r, recipes)
	return request{
		kind:     "recipe",
		direct:   []string{"How do I " + p[0] + "?", "What do I do to " + p[0] + "?", "How can I " + p[0] + "?"},
		indirect: []string{"how to " + p[0], "how I can " + p[0]},
		full:     []string{"First " + p[1] + ", then " + p[2] + ", and at last " + p[3] + ".", "To " + p[0] + ", " + p[1] + ", " + p[2] + " and then " + p[3] + "."},
		short:    []string{capital(p[1]) + ", " + p[2] + ", " + p[3]},
		facts:    []string{p[1], p[2], p[3]},
	}
}

func story(r *rand.Rand) request {
	hero, thing, scene := pick(r, heroes), pick(r, things), pick(r, scenes)
	turn, end := pick(r, turns), pick(r, ends)
	about := hero + " and " + thing
	return request{
		kind:     "story",
		direct:   []string{"Do you know a story about " + about + "?", "Will you tell me a story about " + about + "?"},
		indirect: []string{"a story about " + about, "what happened to " + about},
		plain:    []string{"Tell me a story about " + about + ".", "Tell a short story with " + about + " in it.", "My child wants a story about " + about + ".", "I need a story about " + about + "."},
		full: []string{
			"Once upon a time " + hero + " found " + thing + " " + scene + ". " + turn + ", " + end + ".",
			"One morning " + hero + " saw " + thing + " " + scene + ". " + turn + ", " + end + "."},
		short: []string{capital(hero) + " found " + thing + " " + scene + ". The end"},
		facts: []string{bare(hero), bare(thing)},
	}
}

// What is said at a door has an answer of its own in each manner, so it needs none in full and short.
func greeting(r *rand.Rand) request {
	day := pick(r, []string{"Good morning", "Good evening", "Hello", "Hi", "Good day", "Good afternoon"})
	rest := pick(r, []string{"!", ", it is me.", "! I am new in Otterbrook.", ", nice to meet you.", "! How are you?", "! What a day.", "! Are you there?", ", neighbour!"})
	return request{
		kind:  "greeting",
		plain: []string{day + rest},
		full:  []string{day + "! It is nice to see you.", day + ", and welcome to Otterbrook!"},
		short: []string{day},
	}
}

func thanks(r *rand.Rand) request {
	p := pick(r, people)
	return request{
		kind:  "greeting",
		plain: []string{"Thank you for your help!", "Thanks a lot!", "Thank you, " + p.name + " was very glad.", "I thank you, it worked.", "Thanks, I have found " + p.name + "!", "You have helped " + p.name + ", thank you."},
		full:  []string{"You are very welcome.", "It was a pleasure to help."},
		short: []string{"All right", "Yes, yes"},
	}
}

func farewell(r *rand.Rand) request {
	s := pick(r, shops)
	return request{
		kind:  "greeting",
		plain: []string{"Goodbye!", "I have to go now.", "I am going to the " + s.name + " now, goodbye!", "See you tomorrow!", "Good night!", "The " + s.name + " closes soon, so I must leave."},
		full:  []string{"Goodbye and take care!", "It was lovely to talk to you."},
		short: []string{"Bye", "Go, then"},
	}
}

func whoAreYou(r *rand.Rand) request {
	return request{
		kind:     "greeting",
		direct:   []string{"Who are you?", "What can you do?", "Are you from Otterbrook?"},
		indirect: []string{"who you are", "what you can do", "where you come from"},
		full:     []string{"I am the guide of Otterbrook, and I answer questions.", "I am here to answer questions about Otterbrook."},
		short:    []string{"The guide"},
		facts:    nil,
	}
}
