package main

// The village of Otterbrook, whose people, shops and places the examples talk about, and some things that are true
// everywhere. All of it is made up here, by hand.

type person struct {
	name   string
	he     string // he or she
	job    string
	pet    string // kind
	petIs  string // name
	house  string // colour
	street string
	food   string
	hobby  string
}

var people = []person{
	{"Mira", "she", "baker", "dog", "Pip", "yellow", "Mill Lane", "plum cake", "singing"},
	{"Tobin", "he", "miller", "cat", "Ash", "white", "River Road", "pea soup", "fishing"},
	{"Elda", "she", "teacher", "rabbit", "Clover", "green", "School Street", "apple pie", "reading"},
	{"Oskar", "he", "smith", "goat", "Bolt", "black", "Market Square", "roast potatoes", "playing chess"},
	{"Junia", "she", "doctor", "parrot", "Rio", "blue", "Hill Road", "mushroom soup", "rowing"},
	{"Falk", "he", "shepherd", "dog", "Storm", "grey", "Meadow Way", "goat cheese", "carving spoons"},
	{"Runa", "she", "fisher", "cat", "Pearl", "red", "Harbour Street", "fried fish", "swimming"},
	{"Bram", "he", "gardener", "hedgehog", "Thorn", "brown", "Garden Lane", "carrot stew", "painting"},
	{"Ilse", "she", "tailor", "canary", "Sunny", "pink", "Market Square", "pancakes", "dancing"},
	{"Nils", "he", "postman", "horse", "Comet", "orange", "Hill Road", "bean stew", "running"},
	{"Greta", "she", "potter", "turtle", "Pebble", "white", "Mill Lane", "onion tart", "playing the flute"},
	{"Hugo", "he", "cook", "pig", "Button", "red", "Harbour Street", "noodles", "telling jokes"},
	{"Selma", "she", "librarian", "mouse", "Comma", "blue", "School Street", "blueberry jam", "writing poems"},
	{"Arno", "he", "carpenter", "donkey", "Nail", "brown", "River Road", "rye bread", "playing the drum"},
	{"Vera", "she", "beekeeper", "sheep", "Wool", "yellow", "Meadow Way", "honey cake", "walking"},
	{"Emil", "he", "clockmaker", "owl", "Tick", "grey", "Garden Lane", "cheese toast", "collecting stamps"},
	{"Tilda", "she", "farmer", "cow", "Daisy", "green", "Meadow Way", "corn soup", "knitting"},
	{"Karl", "he", "ferryman", "duck", "Splash", "blue", "River Road", "smoked trout", "sailing"},
	{"Lotte", "she", "singer", "pony", "Melody", "orange", "School Street", "cherry cake", "climbing"},
	{"Anton", "he", "mayor", "goose", "Duke", "white", "Market Square", "dumplings", "playing cards"},
}

type shop struct {
	name   string
	opens  string
	closes string
	rest   string // the day it is closed
	by     string // who runs it
}

var shops = []shop{
	{"bakery", "six in the morning", "two in the afternoon", "Monday", "Mira"},
	{"bookshop", "ten in the morning", "six in the evening", "Sunday", "Selma"},
	{"flower shop", "eight in the morning", "five in the afternoon", "Tuesday", "Bram"},
	{"cheese shop", "nine in the morning", "one in the afternoon", "Friday", "Tilda"},
	{"pottery", "eleven in the morning", "four in the afternoon", "Wednesday", "Greta"},
	{"clock shop", "nine in the morning", "five in the afternoon", "Thursday", "Emil"},
	{"fish shop", "five in the morning", "noon", "Sunday", "Runa"},
	{"inn", "noon", "midnight", "Monday", "Hugo"},
	{"post office", "eight in the morning", "three in the afternoon", "Saturday", "Nils"},
	{"toy shop", "ten in the morning", "four in the afternoon", "Wednesday", "Arno"},
}

type good struct {
	one, many string
	shop      string
	price     int // coins
}

var goods = []good{
	{"a loaf of bread", "loaves of bread", "bakery", 2},
	{"a bun", "buns", "bakery", 1},
	{"a plum cake", "plum cakes", "bakery", 5},
	{"a map", "maps", "bookshop", 3},
	{"a picture book", "picture books", "bookshop", 6},
	{"a pencil", "pencils", "bookshop", 1},
	{"a rose", "roses", "flower shop", 2},
	{"a basket of tulips", "baskets of tulips", "flower shop", 4},
	{"a wheel of cheese", "wheels of cheese", "cheese shop", 7},
	{"a jug of milk", "jugs of milk", "cheese shop", 2},
	{"a blue bowl", "blue bowls", "pottery", 4},
	{"a tea cup", "tea cups", "pottery", 3},
	{"an alarm clock", "alarm clocks", "clock shop", 9},
	{"a trout", "trouts", "fish shop", 3},
	{"a bowl of soup", "bowls of soup", "inn", 3},
	{"a mug of cider", "mugs of cider", "inn", 2},
	{"a stamp", "stamps", "post office", 1},
	{"a wooden horse", "wooden horses", "toy shop", 5},
	{"a kite", "kites", "toy shop", 4},
	{"a spinning top", "spinning tops", "toy shop", 2},
}

type place struct {
	name  string
	where string
	made  string // what it is made of; empty if that is no question
	todo  string // what one can do there
}

var places = []place{
	{"the old mill", "by the river", "dark wood", "watch the big wheel turn"},
	{"the stone bridge", "behind the market", "grey stone", "throw bread to the ducks"},
	{"the bell tower", "on the hill", "red brick", "see the whole valley"},
	{"the lake", "north of the village", "", "swim and row a boat"},
	{"the harbour", "at the end of Harbour Street", "white stone", "look at the boats"},
	{"the school", "next to the library", "yellow brick", "learn to read and write"},
	{"the library", "next to the school", "pale wood", "borrow ten books at once"},
	{"the forest", "west of the village", "", "pick mushrooms and berries"},
	{"the station", "at the foot of the hill", "green iron", "take the train to the sea"},
	{"the fountain", "in the middle of the market", "white marble", "sit and eat an apple"},
	{"the big meadow", "east of the village", "", "fly a kite"},
	{"the cave", "under the hill", "", "hear your own voice three times"},
}

var months = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

// weather in Otterbrook, month by month.
var weather = []string{"cold and snowy", "cold and clear", "windy", "rainy", "mild and sunny", "warm", "hot and dry", "hot with storms", "warm and calm", "foggy", "wet and grey", "cold and icy"}

var days = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

type animal struct {
	name  string // with its article
	does  string // its sound
	young string
	eats  string
	lives string
	legs  int
}

var animals = []animal{
	{"a cow", "moos", "a calf", "grass", "in a barn", 4},
	{"a horse", "neighs", "a foal", "hay", "in a stable", 4},
	{"a sheep", "bleats", "a lamb", "grass", "on the meadow", 4},
	{"a pig", "grunts", "a piglet", "nearly everything", "in a sty", 4},
	{"a cat", "meows", "a kitten", "mice", "in a house", 4},
	{"a dog", "barks", "a puppy", "meat", "in a kennel", 4},
	{"a duck", "quacks", "a duckling", "water plants", "on a pond", 2},
	{"a hen", "clucks", "a chick", "grains", "in a coop", 2},
	{"a goose", "honks", "a gosling", "grass", "near the water", 2},
	{"a frog", "croaks", "a tadpole", "flies", "in a pond", 4},
	{"an owl", "hoots", "an owlet", "mice", "in a hollow tree", 2},
	{"a bear", "growls", "a cub", "berries and fish", "in a cave", 4},
	{"a wolf", "howls", "a pup", "meat", "in the forest", 4},
	{"a bee", "buzzes", "a larva", "nectar", "in a hive", 6},
	{"a lion", "roars", "a cub", "meat", "on the plain", 4},
	{"a mouse", "squeaks", "a pup", "seeds", "in a hole", 4},
	{"a goat", "bleats", "a kid", "leaves", "on the rocks", 4},
	{"a donkey", "brays", "a foal", "hay", "in a stable", 4},
	{"a crow", "caws", "a chick", "seeds and worms", "in a nest", 2},
	{"a snake", "hisses", "a hatchling", "mice", "under a stone", 0},
}

// sizes are things from small to big.
var sizes = []string{"an ant", "a bee", "a cherry", "a mouse", "an apple", "a shoe", "a cat", "a goat", "a pony", "a horse", "a wagon", "a house", "a tower", "a mountain"}

var opposites = [][2]string{
	{"big", "small"}, {"hot", "cold"}, {"day", "night"}, {"old", "young"}, {"fast", "slow"}, {"loud", "quiet"}, {"full", "empty"}, {"light", "dark"},
	{"high", "low"}, {"wet", "dry"}, {"hard", "soft"}, {"open", "closed"}, {"happy", "sad"}, {"early", "late"}, {"strong", "weak"}, {"near", "far"},
	{"rich", "poor"}, {"sweet", "sour"}, {"clean", "dirty"}, {"thick", "thin"}, {"left", "right"}, {"first", "last"}, {"long", "short"}, {"up", "down"},
}

var colours = [][2]string{
	{"snow", "white"}, {"grass", "green"}, {"the sky", "blue"}, {"coal", "black"}, {"a lemon", "yellow"}, {"a ripe tomato", "red"}, {"a carrot", "orange"},
	{"an elephant", "grey"}, {"chocolate", "brown"}, {"a flamingo", "pink"}, {"a raven", "black"}, {"milk", "white"}, {"a ripe plum", "purple"},
	{"the sun", "yellow"}, {"a frog", "green"}, {"a strawberry", "red"}, {"fog", "grey"}, {"the sea", "blue"}, {"a pumpkin", "orange"}, {"a chestnut", "brown"},
}

// troubles and what helps.
var troubles = [][2]string{
	{"I am hungry", "eat a bowl of soup at the inn"}, {"I am thirsty", "drink a glass of cold water"}, {"I am tired", "lie down for an hour"},
	{"I am cold", "put on a warm coat"}, {"I am bored", "read a book from the library"}, {"I am lost", "walk down to the bell tower and look for the market"},
	{"I am wet from the rain", "sit by the fire"}, {"my tooth hurts", "go to see Junia"}, {"my clock has stopped", "bring it to Emil"},
	{"my shoe is torn", "bring it to Ilse"}, {"my table is broken", "ask Arno to mend it"}, {"I have missed the train", "wait for the next one at noon"},
	{"I cannot sleep", "drink warm milk with honey"}, {"my hands are dirty", "wash them with soap"}, {"I have lost my key", "look under the mat first"},
	{"my plants look sad", "give them some water"}, {"I have a cold", "drink hot tea and stay in bed"}, {"my soup is too hot", "blow on it and wait a little"},
	{"I am afraid of the dark", "light a small lamp"}, {"I have quarrelled with my friend", "say sorry and bring a cake"},
}

// recipes, each in three steps that follow each other.
var recipes = [][4]string{
	{"make tea", "boil the water", "put in the leaves", "wait three minutes"},
	{"make porridge", "warm the milk", "stir in the oats", "cook it for five minutes"},
	{"bake bread", "knead the dough", "let it rest for two hours", "bake it until it is brown"},
	{"plant a tree", "dig a deep hole", "put in the tree", "water it well"},
	{"make a kite", "tie two sticks into a cross", "glue on the paper", "add a long tail"},
	{"clean a window", "wash it with warm water", "wipe it with a cloth", "polish it with paper"},
	{"boil an egg", "boil the water", "put in the egg", "wait six minutes"},
	{"make a fire", "lay dry leaves on the ground", "put small sticks on them", "light them with a match"},
	{"catch a fish", "put a worm on the hook", "throw the line into the river", "sit very still"},
	{"make apple juice", "wash the apples", "cut them into pieces", "press them hard"},
	{"send a letter", "write the name on the front", "put on a stamp", "bring it to the post office"},
	{"make butter", "pour cream into a jar", "shake it for ten minutes", "pour off the milk"},
}

// What stories are made of.
var (
	heroes = []string{"a fox", "a hare", "a little bear", "a brave mouse", "an old owl", "a young wolf", "a shy hedgehog", "a hungry crow", "a clever goat", "a small dragon", "a lazy cat", "a tiny frog"}
	things = []string{"a silver bell", "a red kite", "a golden key", "a broken clock", "a blue feather", "a round stone", "a lost shoe", "a sweet pear", "an old map", "a warm lamp", "a long rope", "a strange egg"}
	scenes = []string{"in the forest", "by the river", "on the hill", "behind the mill", "near the lake", "under the bridge", "at the market", "in a dark cave"}
	turns  = []string{"It gave it to a friend who was sad", "It carried it home through the rain", "It showed it to all the animals", "It hid it under a big tree", "It followed it to a secret door", "It shared it with a hungry bird"}
	ends   = []string{"and they were friends from that day on", "and everybody danced until the morning", "and it slept well that night", "and it was never alone again", "and the whole village was happy", "and the stars shone all night"}
)

var numbers = []string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
	"sixteen", "seventeen", "eighteen", "nineteen", "twenty", "twenty-one", "twenty-two", "twenty-three", "twenty-four", "twenty-five", "twenty-six", "twenty-seven",
	"twenty-eight", "twenty-nine", "thirty", "thirty-one", "thirty-two", "thirty-three", "thirty-four", "thirty-five", "thirty-six"}

var items = [][2]string{{"apple", "apples"}, {"pear", "pears"}, {"egg", "eggs"}, {"coin", "coins"}, {"book", "books"}, {"nut", "nuts"}, {"button", "buttons"},
	{"stone", "stones"}, {"fish", "fish"}, {"candle", "candles"}, {"flower", "flowers"}, {"plum", "plums"}}
