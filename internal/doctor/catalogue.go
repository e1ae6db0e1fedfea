package doctor

import "slices"

// Severity of a finding.
type Severity string

// Severities, the worst first.
const (
	Error   Severity = "error"   // no run can use the rows
	Warning Severity = "warning" // runs use them, and what is learnt is probably not what is meant
	Note    Severity = "note"    // worth knowing
)

func rank(s Severity) int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// kind is what findings with an id have in common.
type kind struct {
	id              string
	severity        Severity
	what, why, cure string
}

func order(id string) int {
	return slices.IndexFunc(catalogue, func(k kind) bool { return k.id == id })
}

func kindOf(id string) kind { return catalogue[order(id)] }

// catalogue is all that is looked for, in the order in which it is told. docs/data-doctor.md has a section for each.
var catalogue = []kind{
	{"no-rows", Error, "there are no rows",
		"nothing can be learnt",
		"give a file that has rows; docs/formats.md says which formats are read"},
	{"unreadable", Error, "the row cannot be read",
		"a run stops at such a row; with on_bad_row: skip it goes on without",
		"mend the row as the message says, or set on_bad_row: skip"},
	{"empty-completion", Error, "a completion is empty",
		"there is no token to score, and the row is left out",
		"give a completion or drop the row; often a column was filled in vain where the file was made"},
	{"identical", Error, "chosen and rejected are the same",
		"the margin is 0 whatever the model does, so the row teaches nothing and is left out",
		"drop the row, or look whether one column was copied into the other"},
	{"identical-truncated", Error, "chosen and rejected are the same after truncation",
		"what tells them apart lies behind max_length, and the row is left out",
		"raise max_length; or truncation_mode: keep_end if the difference is at the end; or shorten the prompt"},
	{"truncated-away", Error, "nothing of a completion is left after truncation",
		"the prompt alone fills max_length, so no token is scored and the row is left out",
		"raise max_length, shorten the prompt, or set truncation_mode: keep_end"},
	{"unranked", Error, "no two completions of a ranked row differ in text and in rank",
		"there is nothing to rank, and the row is left out",
		"look at the columns completions and scores; drop the row if all are as good"},

	{"blank-completion", Warning, "a completion is white space alone",
		"the model is taught to say nothing, or not to, from a row that is probably damaged",
		"give a completion or drop the row"},
	{"repeated", Warning, "the row says the same as an earlier one",
		"it counts twice, and held-out rows that repeat training rows measure memory",
		"drop all but one; a column weight says openly that a row counts more"},
	{"contradiction", Warning, "an earlier row says the opposite",
		"two rows pull the same log-probs apart and together; what remains is noise",
		"keep the one that is right; where raters disagree by nature, losses such as cdpo or robust expect wrong labels"},
	{"in-eval-data", Warning, "the prompt is in the evaluation data too",
		"evaluation then measures in part what was learnt by heart, and looks better than it is",
		"take these prompts out of one of the two; split by prompt, not by row"},
	{"border", Warning, "a token has text of both prompt and completion",
		"the completion's first token differs from what the model meets when it answers, and a piece of the prompt is scored",
		"put white space or a line end between the two: at the beginning of the completion, not at the end of the prompt; for messages look at the chat template"},
	{"no-stop", Warning, "a completion ends without a stop token",
		"the model does not learn to stop, and its answers run on",
		"use a chat_template that closes the assistant's message, or a tokenizer with an eos_token"},
	{"double-bos", Warning, "the text begins with two begin-of-text tokens",
		"the model has never seen two, and the first tokens' log-probs suffer",
		"take the token out of the text: the tokenizer puts its own in front"},
	{"double-eos", Warning, "a stop token follows another",
		"the second one is scored too, behind a place where generation has ended; it blurs lengths and log-probs",
		"take the token out of the text, where it is added anyway"},
	{"goes-on", Warning, "a completion goes on behind the stop token",
		"generation ends at the first one: what follows is scored and never said",
		"cut the completion at its stop token; give several turns as messages"},
	{"template-twice", Warning, "a message holds the chat template's own headers",
		"the template is applied once more, so that the model sees a header within a header",
		"give messages without markup, or the rendered text as text columns instead of messages"},
	{"special-in-text", Warning, "a message holds the text of a special token",
		"the tokenizer makes the token itself of it, which ends or begins a message in the middle of one",
		"take it out or write it in another way"},
	{"control-characters", Warning, "a text has control characters",
		"such bytes come from damaged files or terminals, and the model learns to write them",
		"take them out; tabs and line ends are fine"},
	{"broken-unicode", Warning, "a text has broken characters",
		"an encoding was misread where the file was made: the model learns to write Ã© or U+FFFD",
		"make the file again from its source, read and written as UTF-8"},
	{"score-against", Warning, "the rejected completion has the higher score",
		"the scores say the opposite of the columns, and losses that read them are misled",
		"swap the sides, drop the row or mend its scores"},
	{"score-tie", Warning, "both completions have the same score",
		"the one who gave the scores saw no difference, so which side is chosen is chance",
		"drop the row, or give it a small weight"},
	{"one-label", Warning, "all rows have the same label",
		"there is nothing to tell apart: the model learns to make every answer more likely, or less",
		"add rows with the other label; look how the column label is made"},
	{"length-tells", Warning, "length alone tells which side is chosen",
		"length is the easiest thing to learn, so answers grow or shrink before they become better",
		"balance the pairs by length; or take a loss with lengths in it, such as rdpo, dpo_norm or simpo, and watch the lengths of answers"},

	{"truncated", Note, "sequences are longer than max_length and are cut",
		"a cut completion loses its end and its stop token; one that is cut often teaches to break off",
		"raise max_length, which takes more memory and time, or drop the longest rows"},
	{"prompt-alone", Note, "the prompt alone has other tokens than before its completion",
		"when the tuned model answers it meets tokens that it was not trained behind",
		"put white space between the two at the beginning of the completion, not at the end of the prompt"},
	{"script-switch", Note, "the sides are written in different scripts",
		"the script is an easy thing to learn, and what else tells the sides apart may not be learnt",
		"right if the language is what is preferred; otherwise drop the row"},
	{"label-balance", Note, "one label has fewer than a quarter of the other's rows",
		"the more frequent label outweighs the other",
		"set the loss's weights of desirable and undesirable rows so that count times weight is about the same"},
}
